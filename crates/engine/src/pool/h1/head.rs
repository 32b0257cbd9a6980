//! Reads the head of a response, and from it how the body is framed and whether the connection stays open. Pure.
//! httparse splits the text; what the fields mean is decided here. Source: RFC 9112, sections 4, 5, 6 and 9.3.

use std::mem::MaybeUninit;

use http::Version;
use httparse::{Error, ParserConfig, Status};

use super::chunked::Chunked;
use super::lenient::{self, Tolerated};
use crate::error::{Code, Failure};
use crate::headers::HeaderBlock;
use crate::outcome::Received;

/// The largest head and the largest header in it, in bytes, and the most headers.
pub(crate) const MAX_HEAD: usize = 256 << 10;
const MAX_HEADER: usize = 64 << 10;
const MAX_HEADERS: usize = 5000;
/// Headers that are read without a heap allocation.
const FEW_HEADERS: usize = 64;

/// How a body is framed, and how much of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many more bytes.
    Length(u64),
    /// Chunked.
    Chunked(Chunked),
    /// To the end of the connection.
    Close,
}

/// The head of a final response.
#[derive(Debug)]
pub(crate) struct Head {
    /// The response, up to its body.
    pub(crate) received: Box<Received>,
    pub(crate) framing: Framing,
    /// The connection may serve another request after the body.
    pub(crate) keep_alive: bool,
    /// What may follow although nothing should.
    pub(super) stray: Stray,
    /// What breaks the rules, in it or in the interim ones before it.
    pub(crate) tolerated: Tolerated,
}

impl Head {
    /// It came behind an interim response that broke the rules.
    pub(super) fn tolerate(&mut self, tolerated: Tolerated) {
        self.tolerated = self.tolerated.and(tolerated);
        self.keep_alive &= tolerated.is_nothing();
    }
}

/// What a careless server may send behind a response that has no body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stray {
    /// Nothing: the response has a body, and its end is known.
    #[default]
    Nothing,
    /// Bytes that nothing announces.
    Bytes,
    /// The body that a response to HEAD describes, of this length; `u64::MAX` if it is chunked.
    Body(u64),
}

/// How a head has to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// The request was a HEAD.
    pub(crate) without_body: bool,
    /// Nothing that breaks the rules is tolerated.
    pub(crate) strict: bool,
}

/// What the bytes so far contain.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Not yet a whole head.
    Partial,
    /// An interim response of this length: the final one follows.
    Interim(Tolerated, usize),
    /// A head of this length.
    Final(Head, usize),
}

/// Reads a head at the start of `bytes`.
///
/// # Errors
/// `protocol.*`, `too_large.headers`.
pub(crate) fn parse(bytes: &[u8], reading: Reading) -> Result<Parsed, Failure> {
    let mut few = [const { MaybeUninit::uninit() }; FEW_HEADERS];
    let mut split_up = split(bytes, &mut few, reading, false);
    if let Err(Error::TooManyHeaders | Error::HeaderName) = split_up {
        // A line that continues a header begins as no name does.
        let mut many = vec![MaybeUninit::uninit(); MAX_HEADERS];
        split_up = split(bytes, &mut many, reading, true);
    }
    match split_up {
        Ok(parsed) => parsed,
        Err(Error::HeaderName | Error::HeaderValue) if !reading.strict => parse_leniently(bytes, reading),
        Err(error) => Err(malformed(error)),
    }
}

fn split<'a>(
    bytes: &'a [u8],
    room: &mut [MaybeUninit<httparse::Header<'a>>],
    reading: Reading,
    may_fold: bool,
) -> Result<Result<Parsed, Failure>, Error> {
    let mut response = httparse::Response::new(&mut []);
    let status = config(may_fold).parse_response_with_uninit_headers(&mut response, bytes, room)?;
    Ok(match status {
        Status::Partial if bytes.len() < MAX_HEAD => Ok(Parsed::Partial),
        Status::Complete(length) if length > MAX_HEAD => Err(too_large()),
        Status::Partial => Err(too_large()),
        Status::Complete(length) => {
            let text = bytes.get(..length).unwrap_or_default();
            understand(&response, text, may_fold, reading, Tolerated::default())
        }
    })
}

/// The same for a head that breaks the rules.
#[cold]
fn parse_leniently(bytes: &[u8], reading: Reading) -> Result<Parsed, Failure> {
    let Some(mut lines) = lenient::lines(bytes)? else {
        return if bytes.len() < MAX_HEAD { Ok(Parsed::Partial) } else { Err(too_large()) };
    };
    if lines.length > MAX_HEAD || lines.headers.len() > MAX_HEADERS {
        return Err(too_large());
    }
    let first = [lines.status, b"\r\n"].concat();
    let mut response = httparse::Response::new(&mut []);
    config(false).parse_response_with_uninit_headers(&mut response, &first, &mut []).map_err(malformed)?;
    let httparse::Response { version, code, reason, .. } = response;
    let response = httparse::Response { version, code, reason, headers: &mut lines.headers };
    let text = bytes.get(..lines.length).unwrap_or_default();
    understand(&response, text, true, reading, lines.tolerated)
}

/// `may_fold`: a value may go on in the next line. Source: RFC 9112, section 5.2.
fn config(may_fold: bool) -> ParserConfig {
    let mut config = ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(may_fold);
    config
}

fn malformed(error: Error) -> Failure {
    match error {
        Error::Status | Error::Token => {
            Failure::new(Code::ProtocolStatusLine, "the status line is malformed")
        }
        Error::Version => Failure::new(Code::ProtocolVersion, "the response is not HTTP/1.0 or HTTP/1.1"),
        Error::TooManyHeaders => too_large(),
        Error::HeaderName | Error::HeaderValue | Error::NewLine => {
            Failure::new(Code::ProtocolHeader, "a header is malformed")
        }
    }
}

fn too_large() -> Failure {
    let limits =
        format!("the head exceeds {MAX_HEAD} bytes, {MAX_HEADER} in one header, or {MAX_HEADERS} headers");
    Failure::new(Code::TooLargeHeaders, limits)
}

/// What Transfer-Encoding says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Coding {
    /// Missing.
    #[default]
    Absent,
    /// Chunked, and nothing else: the only coding that was requested.
    Chunked,
    /// Chunked, more than once. No sender may apply it twice (RFC 9112, section 6.1), but proxies name it twice.
    Repeated,
    /// Identity, and nothing else: a coding that RFC 2616 had, and that does nothing.
    Identity,
    Other,
}

impl Coding {
    /// With one more coding. Any other mix could mean one thing to us and another to a proxy.
    fn and(self, coding: &[u8]) -> Self {
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        match self {
            Self::Absent if is("chunked") => Self::Chunked,
            Self::Chunked | Self::Repeated if is("chunked") => Self::Repeated,
            Self::Absent | Self::Identity if is("identity") => Self::Identity,
            _ => Self::Other,
        }
    }
}

/// What the fields of a head say about the body and the connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    coding: Coding,
    close: bool,
    keep_alive: bool,
}

fn understand(
    response: &httparse::Response<'_, '_>,
    text: &[u8],
    may_fold: bool,
    reading: Reading,
    mut tolerated: Tolerated,
) -> Result<Parsed, Failure> {
    let status = response.code.unwrap_or_default();
    if (100..200).contains(&status) && status != 101 {
        // Source: RFC 9110, sections 8.6 and 15.2, and RFC 9112, section 6.1.
        tolerated.interim = response.headers.iter().any(|header| frames(header.name));
        refuse(tolerated, reading)?;
        return Ok(Parsed::Interim(tolerated, text.len()));
    }
    if status < 100 {
        return Err(malformed(Error::Status));
    }
    let mut fields = Fields::default();
    let mut headers = HeaderBlock::with_capacity(text.len() + 2 * response.headers.len());
    for header in response.headers.iter() {
        fields.read(header.name, header.value)?;
        if header.name.len() + header.value.len() > MAX_HEADER {
            return Err(too_large());
        }
        if may_fold && header.value.contains(&b'\n') {
            headers.push(header.name.as_bytes(), &unfold(header.value));
        } else {
            headers.push(header.name.as_bytes(), header.value);
        }
    }
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    tolerated.identity = fields.coding == Coding::Identity;
    tolerated.repeated = fields.coding == Coding::Repeated;
    tolerated.both = matches!(fields.coding, Coding::Chunked | Coding::Repeated) && fields.length.is_some();
    tolerated.too_old = fields.coding != Coding::Absent && version == Version::HTTP_10;
    refuse(tolerated, reading)?;
    let framing = fields.framing(status, reading)?;
    let stray = fields.stray(status, reading);
    let keep_alive =
        if version == Version::HTTP_11 { !fields.close } else { fields.keep_alive && !fields.close };
    let reason = response.reason.map(str::as_bytes).filter(|reason| !is_standard(status, reason));
    let reason = reason.map(Into::into);
    let received = Box::new(Received { status, version, reason, headers, ..Received::default() });
    let head = Head {
        received,
        // In a head that breaks the rules an intermediary may see another end of the body: no other response must follow
        // on this connection. Source: RFC 9112, sections 6.1 and 6.3.
        keep_alive: keep_alive
            && tolerated.is_nothing()
            && (reading.without_body || !matches!(stray, Stray::Body(_)))
            && framing != Framing::Close
            && status != 101,
        framing,
        stray,
        tolerated,
    };
    Ok(Parsed::Final(head, text.len()))
}

/// Refuses what is tolerated elsewhere, if the caller wants that.
fn refuse(tolerated: Tolerated, reading: Reading) -> Result<(), Failure> {
    if !reading.strict {
        return Ok(());
    }
    tolerated.remark().map_or(Ok(()), |remark| {
        let detail = remark.trim_start_matches("tolerated: ").to_owned();
        let code = if tolerated.interim { Code::ProtocolHeader } else { Code::ProtocolTransferEncoding };
        Err(Failure::new(code, detail))
    })
}

/// Whether a header of this name says where the body ends.
fn frames(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
}

fn is_standard(status: u16, reason: &[u8]) -> bool {
    if status == 200 && reason == b"OK" {
        return true;
    }
    let standard = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.is_empty() || standard.is_some_and(|standard| standard.as_bytes() == reason)
}

/// Joins the lines of a folded value with a space. Source: RFC 9112, section 5.2.
fn unfold(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.collect::<Vec<_>>().join(&b' ')
}

impl Fields {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Failure> {
        // Only few names matter: most others already differ in length.
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in tokens(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.read_length(value)?,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                let before = self.coding;
                self.coding = tokens(value).fold(before, Coding::and);
                if self.coding == Coding::Absent {
                    self.coding = Coding::Other;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The same length more than once is one length; anything else is an attack or a bug.
    fn read_length(&mut self, value: &[u8]) -> Result<(), Failure> {
        let invalid = |detail| Failure::new(Code::ProtocolContentLength, detail);
        let mut any = false;
        for text in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            any = true;
            if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
                return Err(invalid("Content-Length is not a number"));
            }
            let length = text.iter().try_fold(0_u64, |length, digit| {
                length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            });
            // A number that overflows is still a number: it is over every limit.
            let length = length.unwrap_or(u64::MAX);
            if self.length.is_some_and(|known| known != length) {
                return Err(invalid("Content-Length contradicts itself"));
            }
            self.length = Some(length);
        }
        if any { Ok(()) } else { Err(invalid("Content-Length is empty")) }
    }

    /// Source: RFC 9112, section 6.3.
    fn framing(&self, status: u16, reading: Reading) -> Result<Framing, Failure> {
        if reading.without_body || has_no_body(status) {
            return Ok(Framing::Length(0));
        }
        match self.coding {
            Coding::Absent | Coding::Identity => Ok(self.length.map_or(Framing::Close, Framing::Length)),
            Coding::Chunked | Coding::Repeated => Ok(Framing::Chunked(Chunked::new(reading.strict))),
            Coding::Other => {
                let detail = "Transfer-Encoding is not chunked, the only coding that was requested";
                Err(Failure::new(Code::ProtocolTransferEncoding, detail))
            }
        }
    }

    /// What may follow behind the head of a response without a body.
    fn stray(&self, status: u16, reading: Reading) -> Stray {
        match (self.coding, self.length) {
            _ if !reading.without_body && !has_no_body(status) => Stray::Nothing,
            (Coding::Absent, None | Some(0)) => Stray::Bytes,
            (Coding::Absent, Some(length)) => Stray::Body(length),
            _ => Stray::Body(u64::MAX),
        }
    }
}

fn has_no_body(status: u16) -> bool {
    matches!(status, 101 | 204 | 304)
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn head_of(method_head: bool, text: &str) -> Result<Head, Code> {
        match parse(text.as_bytes(), Reading { without_body: method_head, strict: false }) {
            Ok(Parsed::Final(head, length)) => {
                assert_eq!(length, text.find("\r\n\r\n").map_or(text.len(), |at| at + 4));
                Ok(head)
            }
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.code),
        }
    }

    fn head(fields: &str) -> Result<Head, Code> {
        head_of(false, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
    }

    fn framing(fields: &str) -> Result<Framing, Code> {
        head(fields).map(|head| head.framing)
    }

    #[test]
    fn a_head_is_read_as_it_came() {
        let head =
            head_of(false, "HTTP/1.1 404 Nope\r\nA: 1\r\nb:2 \r\nA: 3\r\nContent-Length: 7\r\n\r\nbody")
                .unwrap();
        assert_eq!((head.received.status, head.received.version), (404, Version::HTTP_11));
        assert_eq!(head.received.reason.as_deref(), Some(&b"Nope"[..]));
        let headers: Vec<_> = head.received.headers.iter().collect();
        let expected = [("a", &b"1"[..]), ("b", b"2"), ("a", b"3"), ("content-length", b"7")];
        assert_eq!(headers, expected);
        assert_eq!((head.framing, head.keep_alive), (Framing::Length(7), true));
    }

    #[test]
    fn a_standard_reason_is_not_kept() {
        assert_eq!(head_of(false, "HTTP/1.1 404 Not Found\r\n\r\n").unwrap().received.reason, None);
        assert_eq!(head_of(false, "HTTP/1.1 404\r\n\r\n").unwrap().received.reason, None);
    }

    #[test]
    fn any_prefix_is_partial() {
        let text = "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n";
        for text in [text, "HTTP/1.1 200 OK\r\nP3P : x\r\nA: 1\u{1}\r\n b\r\n\r\n"] {
            for length in 0..text.len() {
                let parsed = parse(text.as_bytes().get(..length).unwrap(), Reading::default());
                assert!(matches!(parsed, Ok(Parsed::Partial)), "{length}: {parsed:?}");
            }
        }
    }

    #[test]
    fn an_interim_response_is_none() {
        let text = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        assert!(
            matches!(parse(text, Reading::default()), Ok(Parsed::Interim(wrong, 37)) if wrong.is_nothing())
        );
    }

    #[test]
    fn status_lines_are_strict() {
        for line in ["HTTP/1.1 2 OK", "HTTP/1.1 -20 OK", "HTTP/1.1 abc", "HTTP/1.1 2000 OK", "HTTP/1.1 099 X"]
        {
            let parsed = head_of(false, &format!("{line}\r\n\r\n"));
            assert_eq!(parsed.map(|head| head.received.status), Err(Code::ProtocolStatusLine), "{line}");
        }
        for line in
            ["HTTP/1.2 200 OK", "HTTP/0.9 200 OK", "ICY 200 OK", "<html>hello</html>", "SSH-2.0-OpenSSH"]
        {
            let parsed = head_of(false, &format!("{line}\r\n\r\n"));
            assert_eq!(parsed.map(|head| head.received.status), Err(Code::ProtocolVersion), "{line}");
        }
    }

    #[test]
    fn what_is_no_header_is_passed_over_unless_it_may_frame_the_body() {
        let strict = Reading { strict: true, ..Reading::default() };
        for (field, passes) in [
            ("no colon\r\n", true),
            ("a b: c\r\n", true),
            (": x\r\n", true),
            ("a: \0\r\n", false),
            ("a: b\rc\r\n", false),
            ("content-length : 5\r\n", false),
        ] {
            assert_eq!(
                head(field).map(|head| head.tolerated.no_header).ok(),
                passes.then_some(true),
                "{field:?}"
            );
            let refused = parse(format!("HTTP/1.1 200 OK\r\n{field}\r\n").as_bytes(), strict);
            assert_eq!(refused.unwrap_err().code, Code::ProtocolHeader, "{field:?}");
        }
    }

    #[test]
    fn bare_lf_ends_a_header_line() {
        assert_eq!(
            head_of(false, "HTTP/1.1 200 OK\nContent-Length: 2\n\n").unwrap().framing,
            Framing::Length(2)
        );
    }

    #[test]
    fn a_folded_value_is_joined() {
        let head = head("A: one\r\n  two\r\n\tthree\r\n").unwrap();
        assert_eq!(head.received.headers.get_all("a").collect::<Vec<_>>(), [b"one two three"]);
    }

    #[test]
    fn lengths_agree_or_are_refused() {
        assert_eq!(framing("Content-Length: 6\r\n"), Ok(Framing::Length(6)));
        assert_eq!(framing("Content-Length: 6, 6\r\nContent-Length: 6\r\n"), Ok(Framing::Length(6)));
        assert_eq!(framing("Content-Length: 36893488147419103232\r\n"), Ok(Framing::Length(u64::MAX)));
        for value in ["-1", "+1", "6x", "0x6", "", "6, 7", "6,", "1 2"] {
            let refused = framing(&format!("Content-Length: {value}\r\n"));
            assert_eq!(refused, Err(Code::ProtocolContentLength), "{value:?}");
        }
        let twice = framing("Content-Length: 6\r\nContent-Length: 7\r\n");
        assert_eq!(twice, Err(Code::ProtocolContentLength));
    }

    #[test]
    fn chunked_wins_over_a_length_and_ends_the_connection() {
        let head = head("Content-Length: 6\r\nTransfer-Encoding: Chunked\r\n").unwrap();
        assert_eq!(head.framing, Framing::Chunked(Chunked::new(false)));
        assert!(!head.keep_alive);
        assert!(head_of(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().keep_alive);
    }

    #[test]
    fn other_transfer_codings_are_refused() {
        for value in [
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "xchunked",
            "",
            "identity, chunked",
            "chunked, identity",
        ] {
            let refused = framing(&format!("Transfer-Encoding: {value}\r\n"));
            assert_eq!(refused, Err(Code::ProtocolTransferEncoding), "{value:?}");
        }
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_say() {
        for status in ["204 No Content", "304 Not Modified"] {
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n");
            assert_eq!(head_of(false, &text).unwrap().framing, Framing::Length(0));
        }
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(head_of(true, text).unwrap().framing, Framing::Length(0));
    }

    #[test]
    fn who_says_close_or_speaks_the_old_version_is_not_kept() {
        let keep_alive = |line: &str, fields: &str| {
            head_of(false, &format!("{line} 200 OK\r\nContent-Length: 0\r\n{fields}\r\n")).unwrap().keep_alive
        };
        assert!(keep_alive("HTTP/1.1", ""));
        assert!(!keep_alive("HTTP/1.1", "Connection: x, Close\r\n"));
        assert!(!keep_alive("HTTP/1.0", ""));
        assert!(keep_alive("HTTP/1.0", "Connection: keep-alive\r\n"));
        assert!(!head("").unwrap().keep_alive);
    }

    #[test]
    fn thousands_of_headers_are_read_and_too_many_refused() {
        let many = |count| {
            head(&"Set-Cookie: a=b\r\n".repeat(count)).map(|head| head.received.headers.iter().count())
        };
        assert_eq!(many(1000), Ok(1000));
        assert_eq!(many(MAX_HEADERS), Ok(MAX_HEADERS));
        assert_eq!(many(MAX_HEADERS + 1), Err(Code::TooLargeHeaders));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MAX_HEAD));
        assert_eq!(parse(endless.as_bytes(), Reading::default()).unwrap_err().code, Code::TooLargeHeaders);
        let one = |length| head(&format!("A: {}\r\n", "x".repeat(length))).map(|head| head.received.status);
        assert_eq!((one(MAX_HEADER - 1), one(MAX_HEADER)), (Ok(200), Err(Code::TooLargeHeaders)));
        let whole = head(&format!("A: {}\r\n", "x".repeat(MAX_HEADER - 1)).repeat(5));
        assert_eq!(whole.map(|head| head.received.status), Err(Code::TooLargeHeaders));
    }
}
