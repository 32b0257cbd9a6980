//! The slow way to read a head, taken only after the fast way has refused it. Servers send heads that are not quite
//! HTTP, and browsers show their pages: those come through, with a remark. What another reader could take for the
//! framing of the body stays refused, for then two readers see two ends, and the rest of one response becomes another.
//! Source: RFC 9112, sections 2.2, 5 and 11.1.

use httparse::Header;

use crate::error::{Code, Failure};

/// The lines of a head.
pub(super) struct Lines<'a> {
    /// The first line, with its end.
    pub(super) status: &'a [u8],
    pub(super) headers: Vec<Header<'a>>,
    /// The length of the head, in bytes.
    pub(super) length: usize,
    pub(super) tolerated: Tolerated,
}

/// What was read although it breaks the rules.
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own, and any may come with any")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tolerated {
    /// Control bytes in the value of a header.
    pub(super) control: bool,
    /// Lines that are no headers, which were passed over.
    pub(super) no_header: bool,
    /// Blanks before the first header.
    pub(super) blank: bool,
    /// `Transfer-Encoding: identity`.
    pub(super) identity: bool,
    /// Chunked is named more than once.
    pub(super) repeated: bool,
    /// A length beside chunked.
    pub(super) both: bool,
    /// A transfer coding in HTTP/1.0, which has none.
    pub(super) too_old: bool,
    /// A length or a transfer coding in an interim response, which has no body.
    pub(super) interim: bool,
}

impl Tolerated {
    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            control: self.control | other.control,
            no_header: self.no_header | other.no_header,
            blank: self.blank | other.blank,
            identity: self.identity | other.identity,
            repeated: self.repeated | other.repeated,
            both: self.both | other.both,
            too_old: self.too_old | other.too_old,
            interim: self.interim | other.interim,
        }
    }

    /// Whether nothing was wrong.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// The remark on it. None: nothing was wrong.
    pub(crate) fn remark(self) -> Option<Box<str>> {
        if self.is_nothing() {
            return None;
        }
        let parts = [
            (self.control, "a control byte in a header"),
            (self.no_header, "a line that is no header"),
            (self.blank, "a blank before the first header"),
            (self.identity, "Transfer-Encoding: identity"),
            (self.repeated, "Transfer-Encoding names chunked more than once"),
            (self.both, "Content-Length beside Transfer-Encoding"),
            (self.too_old, "Transfer-Encoding in HTTP/1.0"),
            (self.interim, "an interim response that says how long its body is"),
        ];
        let said: Vec<_> = parts.iter().filter(|(is, _)| *is).map(|(_, words)| *words).collect();
        Some(format!("tolerated: {}", said.join("; ")).into())
    }
}

/// Reads the lines of a head at the start of `bytes`. None: it has not ended yet.
///
/// # Errors
/// `protocol.header`.
pub(super) fn lines(bytes: &[u8]) -> Result<Option<Lines<'_>>, Failure> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let mut rest = bytes.get(start..).unwrap_or_default();
    let Some(status) = take_line(&mut rest) else { return Ok(None) };
    let mut head = Lines { status, headers: Vec::new(), length: 0, tolerated: Tolerated::default() };
    let mut last = Last::Status;
    while let Some(line) = take_line(&mut rest) {
        let text = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if text.is_empty() {
            head.length = bytes.len() - rest.len();
            return Ok(Some(head));
        }
        if text.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(refused("a header holds NUL or a bare CR"));
        }
        let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line = text.get(blanks..).unwrap_or_default();
        last = match (last, blanks) {
            (Last::Header, 1..) => {
                head.fold(bytes, text)?;
                Last::Header
            }
            // A reader that skips the line before may take this one for a header.
            (Last::NoHeader, 1..) if may_frame(name_in(line)) => {
                return Err(refused("a malformed header that may frame the body"));
            }
            (Last::NoHeader, 1..) => Last::NoHeader,
            _ => head.read(line, blanks > 0)?,
        };
    }
    Ok(None)
}

/// What the line before was.
enum Last {
    Status,
    Header,
    NoHeader,
}

/// The next line, with its end, if it has ended.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(b'\n', rest)? + 1;
    let (line, behind) = rest.split_at_checked(end)?;
    *rest = behind;
    Some(line)
}

impl<'a> Lines<'a> {
    /// Reads a line that is not the continuation of another.
    fn read(&mut self, line: &'a [u8], after_blanks: bool) -> Result<Last, Failure> {
        let name = name_in(line);
        let value = line.get(name.len() + 1..).unwrap_or_default();
        let is_header =
            name.len() < line.len() && !name.is_empty() && name.iter().all(|&byte| is_token(byte));
        let has_control = value.iter().any(|&byte| is_control(byte));
        if (after_blanks || has_control || !is_header) && may_frame(name) {
            return Err(refused("a malformed header that may frame the body"));
        }
        self.tolerated.blank |= after_blanks;
        let text = std::str::from_utf8(name).ok().filter(|_| is_header);
        let Some(name) = text else {
            self.tolerated.no_header = true;
            return Ok(Last::NoHeader);
        };
        self.tolerated.control |= has_control;
        self.headers.push(Header { name, value: trimmed(value) });
        Ok(Last::Header)
    }

    /// Adds a continuation line to the last header: its value reaches to the end of `line`, which is in `bytes`.
    fn fold(&mut self, bytes: &'a [u8], line: &'a [u8]) -> Result<(), Failure> {
        let Some(header) = self.headers.last_mut() else { return Ok(()) };
        let has_control = line.iter().any(|&byte| is_control(byte));
        if has_control && may_frame(header.name.as_bytes()) {
            return Err(refused("a malformed header that may frame the body"));
        }
        self.tolerated.control |= has_control;
        let offset = |part: &[u8]| part.as_ptr() as usize - bytes.as_ptr() as usize;
        let (start, end) = (offset(header.value), offset(line) + line.len());
        header.value = trimmed(bytes.get(start..end).unwrap_or_default());
        Ok(())
    }
}

/// What is wrong with a trailer, a line behind a chunked body. All but the first may continue the one before.
///
/// # Errors
/// `protocol.header`.
pub(super) fn trailer(line: &[u8], is_first: bool) -> Result<Tolerated, Failure> {
    let control = line.iter().any(|&byte| is_control(byte));
    if !is_first && line.starts_with(b" ") | line.starts_with(b"\t") {
        return Ok(Tolerated { control, ..Tolerated::default() });
    }
    let name = name_in(line);
    let no_header = name.len() == line.len() || name.is_empty() || !name.iter().all(|&byte| is_token(byte));
    if no_header && may_frame(name) {
        return Err(refused("a malformed trailer that may frame a body"));
    }
    Ok(Tolerated { control, no_header, ..Tolerated::default() })
}

/// What is before the colon; all, if there is none.
fn name_in(line: &[u8]) -> &[u8] {
    memchr::memchr(b':', line).and_then(|at| line.get(..at)).unwrap_or(line)
}

/// Whether a reader with other habits could take the line of this name for the framing of the body, or for the start
/// of another response.
fn may_frame(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |word: &[u8]| memchr::memmem::find(&name, word).is_some();
    has(b"content-length") || has(b"transfer-encoding") || name.starts_with(b"http/")
}

/// Source: RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at + 1);
    value.get(start..end).unwrap_or_default()
}

fn refused(detail: &'static str) -> Failure {
    Failure::new(Code::ProtocolHeader, detail)
}
