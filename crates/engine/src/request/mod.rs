//! Requests and their parts, as the engine keeps them while they wait.

mod auth;
mod url_text;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};

use crate::error::Failure;
use crate::options::Timeouts;
pub use auth::basic;
pub use url_text::host_name;
pub(crate) use url_text::{Parsed, Target};

/// What a request that waits takes besides its URL, and what one takes that is more than a plain GET.
const PLAIN_BYTES: usize = 140;
const SPEC_BYTES: usize = 512;

/// One request. A plain GET is its URL and nothing else, so that millions can wait cheaply.
#[derive(Clone, Debug)]
pub struct Request {
    /// Position in the input, from 0; the request's identity.
    pub index: u64,
    /// The URL to send.
    pub(crate) target: Target,
    /// What differs from a plain GET.
    pub spec: Option<Box<Spec>>,
}

/// The parts of a request beyond its URL.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The method.
    pub method: Method,
    /// The caller's own headers; they win over the shared ones.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body to send.
    pub body: Option<Bytes>,
    /// Limits of one attempt, if they differ from the engine's.
    pub timeout: Option<Timeouts>,
    /// Whether the body is decoded, if that differs from the engine's.
    pub decode_content: Option<bool>,
    /// Of the requests that wait for the same host, those with the highest priority go first.
    pub priority: i32,
    /// The URL as the caller wrote it, without credentials, if it differs from what is sent.
    pub asked: Option<Box<str>>,
    /// Identical requests: each gets a row of its own, none is sent.
    pub copies: Vec<Twin>,
    /// Conditional headers that check whether an earlier response is still valid.
    pub conditions: Option<Box<Conditions>>,
}

/// Conditional headers for one URL. They are sent to that URL only, wherever redirects lead: the validators of one
/// URL say nothing about another.
///
/// Source: RFC 9110, section 15.4 (a redirected request drops validators that the implementation added).
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The URL, as it is sent.
    pub url: Box<str>,
    /// If-None-Match, If-Modified-Since.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request that gets the response of another.
#[derive(Clone, Debug)]
pub struct Twin {
    /// Position in the input.
    pub index: u64,
    /// The URL as the caller wrote it, without credentials, if the other was written differently.
    pub asked: Option<Box<str>>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            method: Method::GET,
            headers: Vec::new(),
            body: None,
            timeout: None,
            decode_content: None,
            priority: 0,
            asked: None,
            copies: Vec::new(),
            conditions: None,
        }
    }
}

impl Request {
    /// About how much memory it takes while it waits, in bytes, with the caller's object if it may have one.
    pub(crate) fn bytes_waiting(&self) -> u32 {
        let own = self.spec.as_ref().map_or(0, |spec| SPEC_BYTES + spec.body.as_ref().map_or(0, Bytes::len));
        u32::try_from(PLAIN_BYTES + self.target.as_str().len() + own).unwrap_or(u32::MAX)
    }

    /// The method to send.
    pub fn method(&self) -> &Method {
        self.spec.as_ref().map_or(&Method::GET, |spec| &spec.method)
    }

    /// Whether it has a body to send.
    pub(crate) fn has_body(&self) -> bool {
        self.spec.as_ref().and_then(|spec| spec.body.as_ref()).is_some_and(|body| !body.is_empty())
    }

    /// A plain GET of another path of the same origin.
    pub(crate) fn sibling(&self, path: &str) -> Self {
        let target = self.target.join(path).map_or_else(|_| self.target.clone(), |parsed| parsed.target);
        Self { index: self.index, target, spec: None }
    }

    /// The conditions of the URL that is sent now.
    pub(crate) fn conditions(&self) -> &[(HeaderName, HeaderValue)] {
        match self.spec.as_ref().and_then(|spec| spec.conditions.as_deref()) {
            Some(Conditions { url, headers }) if **url == *self.target.as_str() => headers,
            _ => &[],
        }
    }

    /// Its rank among the requests that wait for the same host.
    pub fn priority(&self) -> i32 {
        self.spec.as_ref().map_or(0, |spec| spec.priority)
    }

    /// Requests that get the same response.
    pub fn copies(&self) -> &[Twin] {
        self.spec.as_ref().map_or(&[], |spec| &spec.copies)
    }

    /// Lets the request at `index`, which was written as `url`, get the response too.
    pub fn answer_also(&mut self, index: u64, url: &str) {
        let written = without_userinfo(url);
        let asked = (written != self.asked()).then(|| written.into());
        self.spec.get_or_insert_default().copies.push(Twin { index, asked });
    }

    /// Adds conditions for `url`, which redirects may lead to; None: for the URL that is requested first.
    pub fn ask_if(&mut self, url: Option<&str>, headers: Vec<(HeaderName, HeaderValue)>) {
        let url = url.unwrap_or_else(|| self.target.as_str()).into();
        self.spec.get_or_insert_default().conditions = Some(Box::new(Conditions { url, headers }));
    }

    /// The URL that is sent.
    pub fn url(&self) -> &str {
        self.target.as_str()
    }

    /// The host that it is sent to, as limits name it: lower-case, in ASCII, IPv6 without brackets.
    pub fn host(&self) -> &str {
        self.target.host()
    }

    /// Whether it is sent encrypted.
    pub fn is_https(&self) -> bool {
        self.target.is_https()
    }

    /// The URL as the caller wrote it, without credentials.
    pub fn asked(&self) -> &str {
        self.spec.as_ref().and_then(|spec| spec.asked.as_deref()).unwrap_or_else(|| self.target.as_str())
    }
}

/// One row of the input: a request, or the reason why it cannot be sent. Either way it ends as one row.
#[derive(Clone, Debug)]
pub enum Submission {
    /// To be sent.
    Send(Request),
    /// Never sent.
    Refuse {
        /// Position in the input.
        index: u64,
        /// The method, if it is known.
        method: Method,
        /// The URL as given, without credentials.
        url: Box<str>,
        /// Why.
        failure: Failure,
    },
}

impl Submission {
    /// Reads `url`; credentials in it become an Authorization header, unless the caller set one. `params` are
    /// appended to the query, already encoded.
    pub fn new(index: u64, url: &str, spec: Option<Box<Spec>>, params: Option<&str>) -> Self {
        match Target::parse(url) {
            Ok(parsed) => Self::Send(request(index, url, parsed, spec, params)),
            Err(failure) => Self::refuse(index, spec.map_or(Method::GET, |spec| spec.method), url, failure),
        }
    }

    /// A row of the input that is not sent. Credentials in `url` are left out.
    pub fn refuse(index: u64, method: Method, url: &str, failure: Failure) -> Self {
        Self::Refuse { index, method, url: without_userinfo(url).into(), failure }
    }

    /// About how much memory it takes while it waits, in bytes.
    pub(crate) fn bytes_waiting(&self) -> u32 {
        match self {
            Self::Send(request) => request.bytes_waiting(),
            Self::Refuse { url, .. } => u32::try_from(PLAIN_BYTES + url.len()).unwrap_or(u32::MAX),
        }
    }

    /// How many rows it ends as.
    pub fn rows(&self) -> usize {
        match self {
            Self::Send(request) => 1 + request.copies().len(),
            Self::Refuse { .. } => 1,
        }
    }

    /// Position in the input.
    pub fn index(&self) -> u64 {
        match self {
            Self::Send(request) => request.index,
            Self::Refuse { index, .. } => *index,
        }
    }
}

fn request(
    index: u64,
    url: &str,
    parsed: Parsed,
    mut spec: Option<Box<Spec>>,
    params: Option<&str>,
) -> Request {
    let mut target = parsed.target;
    if let Some((user, password)) = parsed.userinfo {
        let spec = spec.get_or_insert_default();
        if !spec.headers.iter().any(|(name, _)| name == AUTHORIZATION) {
            spec.headers.extend(basic(&user, &password).map(|value| (AUTHORIZATION, value)));
        }
    }
    if let Some(params) = params {
        target = target.with_params(params);
    }
    if target.as_str() != url {
        spec.get_or_insert_default().asked = Some(without_userinfo(url).into());
    }
    Request { index, target, spec }
}

/// Schemes whose addresses are people's, not a user with a password.
pub(crate) const MAILBOXES: [&str; 6] = ["mailto", "sip", "sips", "xmpp", "acct", "im"];

/// The text without user and password, whatever else is wrong with it.
///
/// Browsers take `http:user:password@host` and `http:\\user:password@host` for URLs, and people paste
/// `user:password@host`. A password that should have been encoded may hold what ends the authority: what stands in front of
/// it is no port then.
fn without_userinfo(url: &str) -> Cow<'_, str> {
    let (scheme, rest) = match url.split_once(':') {
        _ if url.starts_with(['/', '\\']) => ("", url),
        Some((scheme, rest)) if rest.starts_with(['/', '\\']) || is_one_of(scheme, &["http", "https"]) => {
            (scheme, rest)
        }
        Some((scheme, _)) if is_one_of(scheme, &MAILBOXES) => return Cow::Borrowed(url),
        _ => ("", url),
    };
    let is_marked = rest.len() < url.len() || rest.starts_with(['/', '\\']);
    let rest = rest.trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_cut = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !host.starts_with('[') && !port.bytes().all(|byte| byte.is_ascii_digit()));
    let end = if is_marked && is_cut { rest.rfind('@') } else { authority.rfind('@') };
    let Some((userinfo, rest)) = end.and_then(|end| rest.split_at_checked(end)) else {
        return Cow::Borrowed(url);
    };
    if !is_marked && !userinfo.contains(':') {
        return Cow::Borrowed(url); // a mailbox, or anything else
    }
    let rest = rest.get(1..).unwrap_or_default();
    Cow::Owned(if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") })
}

fn is_one_of(scheme: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|known| scheme.trim().eq_ignore_ascii_case(known))
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    fn sent(url: &str, params: Option<&str>) -> Request {
        match Submission::new(0, url, None, params) {
            Submission::Send(request) => request,
            Submission::Refuse { failure, .. } => panic!("{failure}"),
        }
    }

    #[test]
    fn a_plain_url_needs_nothing_beside_its_text() {
        let request = sent("http://a.example/x?y=1", None);
        assert!(request.spec.is_none());
        assert_eq!(request.asked(), "http://a.example/x?y=1");
    }

    #[test]
    fn i13_no_form_of_a_url_shows_a_password() {
        for (url, shown) in [
            ("http://u:p@h/x", "http://h/x"),
            ("http://p@h", "http://h"),
            ("http://u:p@q@h/@", "http://h/@"),
            ("http:////u:p@h/", "http://h/"),
            ("http:u:p@h/", "http://h/"),
            ("HTTPS:/u:p@h", "HTTPS://h"),
            ("http:\\\\u:p@h\\x", "http://h\\x"),
            ("ftp://u:p@h/", "ftp://h/"),
            ("//u:p@h/", "h/"),
            ("//p@h/", "h/"),
            ("u:p@h/", "h/"),
            ("http://u:p@", "http://"),
            ("http://u:p@h:99999/", "http://h:99999/"),
            ("http://u:p/q@h/", "http://h/"),
            ("http://u:p\\@h/", "http://h/"),
            ("http://u:p#q@r@h/", "http://h/"),
            ("http://u@corp:p?q@h/", "http://h/"),
            ("ftp://u:1p/q@h/", "ftp://h/"),
            ("http://h:80/a@b", "http://h:80/a@b"),
            ("http://h:/a@b", "http://h:/a@b"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://h/a@b", "http://h/a@b"),
            ("http:///h?a@b", "http:///h?a@b"),
            ("mailto:a@b.example", "mailto:a@b.example"),
            ("a@b.example", "a@b.example"),
            ("h:80/a@b", "h:80/a@b"),
            ("", ""),
            ("@", "@"),
        ] {
            assert_eq!(without_userinfo(url), shown, "{url}");
        }
    }

    #[test]
    fn the_url_is_reported_as_it_was_written() {
        let request = sent("http://A.example", None);
        assert_eq!((request.asked(), request.target.as_str()), ("http://A.example", "http://a.example/"));
        let request = sent("http://a.example/", Some("k=v"));
        assert_eq!(
            (request.asked(), request.target.as_str()),
            ("http://a.example/", "http://a.example/?k=v")
        );
    }

    #[test]
    fn credentials_become_a_header_and_are_seen_nowhere_else() {
        let request = sent("http://me:s%20cret@a.example/", None);
        assert_eq!(request.asked(), "http://a.example/");
        assert_eq!(request.target.as_str(), "http://a.example/");
        let headers = request.spec.map(|spec| spec.headers).unwrap_or_default();
        assert_eq!(headers, [(AUTHORIZATION, HeaderValue::from_static("Basic bWU6cyBjcmV0"))]);
    }

    #[test]
    fn credentials_are_found_when_another_url_follows_or_the_scheme_is_none() {
        for (text, shown) in [
            (
                "http:me:secret@a.example/?next=https://b.example/",
                "http://a.example/?next=https://b.example/",
            ),
            ("h+tp:\\\\me:secret@a.example\\x", "h+tp://a.example\\x"),
            ("me:secret@a.example/://", "a.example/://"),
            ("mailto:me@a.example", "mailto:me@a.example"),
            ("https://a.example/?mail=x@y", "https://a.example/?mail=x@y"),
        ] {
            assert_eq!(without_userinfo(text), shown);
        }
    }

    #[test]
    fn a_refused_url_keeps_its_row_without_credentials() {
        match Submission::new(7, "ftp://me:secret@a.example/x", None, None) {
            Submission::Refuse { index, url, failure, .. } => {
                assert_eq!((index, &*url, failure.code.as_str()), (7, "ftp://a.example/x", "input.scheme"));
                assert!(!failure.detail.contains("secret"));
            }
            Submission::Send(request) => panic!("{request:?}"),
        }
    }
}
