//! The heads of requests. What all of them share is rendered once; a plain GET adds its path and its host.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderName, HeaderValue, Method, Uri, Version};

use super::accepted::Accepted;
use super::redirect::{Audience, keeps_header};
use crate::request::Request;

type Header = (HeaderName, HeaderValue);

/// The headers of every request.
pub(crate) struct Heads {
    shared: Vec<Header>,
    /// All of them as lines, except Host.
    lines: Vec<u8>,
    /// The codings that they ask for.
    accepted: Accepted,
    /// Headers that the caller lets redirects take to another origin.
    kept: Vec<HeaderName>,
    /// Accept-Encoding is the engine's own.
    own_codings: bool,
}

/// On whose behalf a request is sent, and to whom.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking {
    pub(crate) audience: Audience,
    /// The engine wants it for itself: as a whole, and whether or not it has changed.
    pub(crate) is_errand: bool,
}

/// What is asked for.
pub(crate) struct Ask<'a> {
    pub(crate) request: &'a Request,
    pub(crate) asking: Asking,
    /// Headers that ask for the rest of a body.
    pub(super) rest: &'a [Header],
    /// It goes to a proxy in the clear, which is told the whole URL and these lines.
    pub(super) to_proxy: Option<&'a [u8]>,
}

/// The headers of one request.
struct Choice<'a> {
    shared: &'a [Header],
    own: &'a [Header],
    conditions: &'a [Header],
    rest: &'a [Header],
    kept: &'a [HeaderName],
    asking: Asking,
    /// Accept-Encoding is left out.
    no_codings: bool,
    length: Option<usize>,
}

impl Heads {
    /// `shared` are the headers of every request; they win over the engine's own. `kept` are names of those that redirects
    /// may take to another origin.
    pub(crate) fn new(shared: &[Header], kept: &[HeaderName]) -> Self {
        let engine = [
            (ACCEPT, HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd")),
        ];
        let is_given = |name: &HeaderName| shared.iter().any(|(given, _)| given == name);
        let own_codings = !is_given(&ACCEPT_ENCODING) && !is_given(&RANGE);
        let is_own = |name: &HeaderName| !is_given(name) && (name != ACCEPT_ENCODING || own_codings);
        let mut all: Vec<Header> = engine.into_iter().filter(|(name, _)| is_own(name)).collect();
        all.extend(shared.iter().filter(|(name, _)| !frames(name)).cloned());
        let mut lines = Vec::new();
        for (name, value) in all.iter().filter(|(name, _)| name != HOST) {
            write_line(&mut lines, name, value);
        }
        let accepted = accepted_by(&all).unwrap_or(Accepted::ALL);
        Self { shared: all, lines, accepted, kept: kept.into(), own_codings }
    }

    /// The content codings that `request` asks for.
    pub(crate) fn accepted(&self, request: &Request) -> Accepted {
        request.spec.as_ref().and_then(|spec| accepted_by(&spec.headers)).unwrap_or(self.accepted)
    }

    /// Whether `request` asks for a part of what its URL has.
    pub(crate) fn asks_for_part(&self, request: &Request) -> bool {
        let own = request.spec.as_ref().map_or(&[][..], |spec| &spec.headers);
        self.shared.iter().chain(own).any(|(name, _)| name == RANGE)
    }

    /// Writes the head of a request for HTTP/1.1. If a redirect led away from the origin that the caller named, the headers
    /// meant for that origin are left out.
    pub(crate) fn write_http1(&self, out: &mut Vec<u8>, ask: &Ask<'_>) {
        let choice = self.choose(ask);
        let request = ask.request;
        let target = &request.target;
        let host = choice.host().map_or(target.authority().as_bytes(), HeaderValue::as_bytes);
        let parts: [&[u8]; 6] = [
            request.method().as_str().as_bytes(),
            b" ",
            if ask.to_proxy.is_some() { target.as_str() } else { target.path_and_query() }.as_bytes(),
            b" HTTP/1.1\r\nhost: ",
            host,
            b"\r\n",
        ];
        out.reserve(parts.iter().map(|part| part.len()).sum::<usize>() + self.lines.len() + 2);
        for part in parts {
            out.extend_from_slice(part);
        }
        let is_plain = choice.own.is_empty() && choice.conditions.is_empty() && choice.rest.is_empty();
        if is_plain && ask.asking.audience == Audience::Asked && !ask.asking.is_errand {
            out.extend_from_slice(&self.lines);
        } else {
            for (name, value) in choice.all() {
                write_line(out, name, value);
            }
        }
        if let Some(length) = choice.length {
            write_line(out, &CONTENT_LENGTH, &HeaderValue::from(length));
        }
        out.extend_from_slice(ask.to_proxy.unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }

    /// The same request for HTTP/2. None: its URL cannot be sent there.
    pub(crate) fn http2(&self, ask: &Ask<'_>) -> Option<http::Request<()>> {
        let choice = self.choose(ask);
        let request = ask.request;
        let mut uri = Uri::try_from(request.target.as_str()).ok()?;
        if let Some(host) = choice.host() {
            let mut parts = uri.into_parts();
            parts.authority = Some(host.as_bytes().try_into().ok()?);
            uri = Uri::from_parts(parts).ok()?;
        }
        let mut out = http::Request::new(());
        for (name, value) in choice.all().filter(|(name, _)| !is_of_connection(name)) {
            out.headers_mut().append(name.clone(), value.clone());
        }
        if let Some(length) = choice.length {
            out.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        *out.uri_mut() = uri;
        *out.method_mut() = request.method().clone();
        *out.version_mut() = Version::HTTP_2;
        Some(out)
    }

    /// The User-Agent that is sent with `request`.
    pub(crate) fn user_agent<'a>(
        &'a self,
        request: &'a Request,
        audience: Audience,
    ) -> Option<&'a HeaderValue> {
        let asking = Asking { audience, is_errand: false };
        let choice = self.choose(&Ask { request, asking, rest: &[], to_proxy: None });
        choice.all().find(|(name, _)| name == USER_AGENT).map(|(_, value)| value)
    }

    fn choose<'a>(&'a self, ask: &Ask<'a>) -> Choice<'a> {
        let &Ask { request, asking, rest, .. } = ask;
        let spec = request.spec.as_deref();
        let body = spec.and_then(|spec| spec.body.as_ref()).map_or(0, Bytes::len);
        let length = (body > 0 || expects_body(request.method())).then_some(body);
        let own = spec.map_or(&[][..], |spec| &spec.headers);
        // A part of a coded body cannot be decoded by itself.
        let no_codings = self.own_codings && own.iter().any(|(name, _)| name == RANGE);
        let (shared, conditions, kept) = (&self.shared, request.conditions(), &self.kept);
        Choice { shared, own, conditions, rest, kept, asking, no_codings, length }
    }
}

impl<'a> Choice<'a> {
    /// All headers except Host and those that frame the body: a request's own header replaces the shared one of that
    /// name.
    fn all(&self) -> impl Iterator<Item = &'a Header> {
        let (own, no_codings) = (self.own, self.no_codings);
        let is_replaced = move |name: &HeaderName| {
            (no_codings && name == ACCEPT_ENCODING) || own.iter().any(|(given, _)| given == name)
        };
        let shared = self.shared.iter().filter(move |(name, _)| !is_replaced(name));
        let own = own.iter().filter(|(name, _)| !frames(name));
        let (Asking { audience, is_errand }, kept) = (self.asking, self.kept);
        let may_go = move |name: &HeaderName| match audience {
            Audience::Asked => true,
            Audience::Other => keeps_header(name) || kept.contains(name),
            Audience::Exposed => keeps_header(name),
        };
        let goes = move |(name, _): &&Header| name != HOST && may_go(name) && !(is_errand && limits(name));
        shared.chain(own).filter(goes).chain(self.conditions).chain(self.rest)
    }

    /// The Host that the caller set, for the origin that the caller named.
    fn host(&self) -> Option<&'a HeaderValue> {
        let all = || self.own.iter().chain(self.shared);
        if self.asking.audience > Audience::Asked {
            None
        } else {
            all().find(|(name, _)| name == HOST).map(|(_, value)| value)
        }
    }
}

/// What these headers ask for; None: they do not have Accept-Encoding.
fn accepted_by(headers: &[Header]) -> Option<Accepted> {
    let mut values = headers.iter().filter(|(name, _)| name == ACCEPT_ENCODING).peekable();
    values.peek()?;
    Some(Accepted::of(values.map(|(_, value)| value.as_bytes())))
}

/// Whether a header frames the body; those are set by the engine.
fn frames(name: &HeaderName) -> bool {
    name == CONTENT_LENGTH || name == TRANSFER_ENCODING
}

/// Whether a header asks for a part only, or for what fulfils a condition.
fn limits(name: &HeaderName) -> bool {
    [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].contains(name)
}

/// Whether a header is about one connection of HTTP/1.1. Source: RFC 9113, section 8.2.2.
fn is_of_connection(name: &HeaderName) -> bool {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, UPGRADE].contains(name)
}

/// Whether a server may expect a length although there is no body. Source: RFC 9110, section 8.6.
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The head of an HTTP/2 response, written as HTTP/1.1.
pub(super) fn response_head(head: &http::response::Parts) -> Vec<u8> {
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        write_line(&mut out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn write_line(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::request::{Spec, Submission};

    fn ask(request: &Request, audience: Audience) -> Ask<'_> {
        Ask { request, asking: Asking { audience, is_errand: false }, rest: &[], to_proxy: None }
    }

    fn header(name: &str, value: &str) -> Header {
        (name.parse().unwrap(), value.parse().unwrap())
    }

    fn request(spec: Option<Spec>) -> Request {
        match Submission::new(0, "https://a.example:8443/x?y", spec.map(Box::new), None) {
            Submission::Send(request) => request,
            Submission::Refuse { failure, .. } => panic!("{failure}"),
        }
    }

    fn written(shared: &[Header], spec: Option<Spec>, audience: Audience) -> String {
        let mut out = Vec::new();
        Heads::new(shared, &[]).write_http1(&mut out, &ask(&request(spec), audience));
        String::from_utf8(out).unwrap()
    }

    const ENGINE: &str = "accept: */*\r\naccept-encoding: gzip, deflate, br, zstd\r\n";

    #[test]
    fn a_plain_get_is_its_path_its_host_and_what_all_have() {
        let shared = [header("user-agent", "me"), header("x-a", "1"), header("x-a", "2")];
        let expected = format!(
            "GET /x?y HTTP/1.1\r\nhost: a.example:8443\r\n{ENGINE}user-agent: me\r\nx-a: 1\r\nx-a: 2\r\n\r\n"
        );
        assert_eq!(written(&shared, None, Audience::Asked), expected);
    }

    #[test]
    fn what_is_given_replaces_what_all_have() {
        let shared = [header("accept", "text/html"), header("x-a", "1")];
        let headers = vec![header("x-a", "2"), header("x-a", "3"), header("host", "other")];
        let text = written(&shared, Some(Spec { headers, ..Spec::default() }), Audience::Asked);
        assert!(text.starts_with("GET /x?y HTTP/1.1\r\nhost: other\r\n"), "{text}");
        assert!(text.ends_with("accept: text/html\r\nx-a: 2\r\nx-a: 3\r\n\r\n"), "{text}");
        assert_eq!(text.matches("host:").count(), 1);
    }

    #[test]
    fn the_engine_alone_frames_the_body() {
        let headers = vec![header("content-length", "99"), header("transfer-encoding", "chunked")];
        let body = Some(Bytes::from_static(b"abc"));
        let spec = Spec { method: Method::POST, headers, body, ..Spec::default() };
        let text = written(&[header("content-length", "7")], Some(spec), Audience::Asked);
        assert!(text.ends_with("content-length: 3\r\n\r\n"), "{text}");
        assert_eq!((text.matches("length").count(), text.matches("transfer").count()), (1, 0));
        let empty = Spec { method: Method::PUT, ..Spec::default() };
        assert!(written(&[], Some(empty), Audience::Asked).contains("content-length: 0\r\n"));
    }

    #[test]
    fn h32_no_coding_is_asked_for_beside_a_range() {
        let range = || Some(Spec { headers: vec![header("range", "bytes=0-9")], ..Spec::default() });
        let asks =
            |shared: &[Header], spec| written(shared, spec, Audience::Asked).contains("accept-encoding");
        assert!(!asks(&[], range()));
        assert!(!asks(&[header("range", "bytes=0-9")], None));
        assert!(asks(&[header("accept-encoding", "br")], range()));
        let both = vec![header("range", "bytes=0-9"), header("accept-encoding", "br")];
        assert!(asks(&[], Some(Spec { headers: both, ..Spec::default() })));
    }

    #[test]
    fn another_origin_is_told_nothing_private() {
        let shared = [header("authorization", "a"), header("user-agent", "me"), header("host", "b")];
        let headers = vec![header("x-key", "b"), header("accept-language", "c")];
        let text = written(&shared, Some(Spec { headers, ..Spec::default() }), Audience::Other);
        let expected = format!(
            "GET /x?y HTTP/1.1\r\nhost: a.example:8443\r\n{ENGINE}user-agent: me\r\naccept-language: c\r\n\r\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_the_caller_lets_go_along_goes_to_another_origin_and_never_into_the_clear() {
        let shared = [header("x-team", "a"), header("x-other", "b")];
        let heads = Heads::new(&shared, &["x-team", "x-key", "host"].map(HeaderName::from_static));
        let headers =
            vec![header("x-key", "1"), header("x-key", "2"), header("host", "b"), header("cookie", "c")];
        let request = request(Some(Spec { headers, ..Spec::default() }));
        for (audience, sent) in
            [(Audience::Other, "x-team: a\r\nx-key: 1\r\nx-key: 2\r\n"), (Audience::Exposed, "")]
        {
            let mut text = Vec::new();
            heads.write_http1(&mut text, &ask(&request, audience));
            let expected = format!("GET /x?y HTTP/1.1\r\nhost: a.example:8443\r\n{ENGINE}{sent}\r\n");
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn conditions_go_to_their_url_alone() {
        let asked = |url: Option<&str>| {
            let mut request = request(None);
            request.ask_if(url, vec![header("if-none-match", "\"a\"")]);
            request
        };
        let heads = Heads::new(&[], &[]);
        for (url, audience, sent) in [
            (None, Audience::Asked, true),
            (Some("https://a.example:8443/x?y"), Audience::Other, true),
            (Some("https://a.example:8443/x"), Audience::Asked, false),
        ] {
            let mut text = Vec::new();
            heads.write_http1(&mut text, &ask(&asked(url), audience));
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.ends_with("if-none-match: \"a\"\r\n\r\n"), sent, "{text}");
        }
        let mut moved = asked(None);
        assert!(heads.http2(&ask(&moved, Audience::Asked)).unwrap().headers().contains_key("if-none-match"));
        moved.target = moved.target.join("/z").unwrap().target;
        assert!(!heads.http2(&ask(&moved, Audience::Asked)).unwrap().headers().contains_key("if-none-match"));
    }

    #[test]
    fn http2_says_the_same() {
        let shared = [header("x-a", "1"), header("host", "b.example"), header("connection", "close")];
        let out = Heads::new(&shared, &[]).http2(&ask(&request(None), Audience::Asked)).unwrap();
        assert_eq!(out.uri(), "https://b.example/x?y");
        let names: Vec<_> = out.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "accept-encoding", "x-a"]);
    }
}
