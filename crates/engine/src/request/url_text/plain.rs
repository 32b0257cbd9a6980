//! The fast way to read a URL: recognises a text that is already in its normal form.
//!
//! One pass over the bytes, no allocation. It may always return "unknown"; it must never accept what the URL standard
//! would change.

/// The longest host name the DNS can hold in its text form, in bytes, without a trailing dot (RFC 1035 §2.3.4).
pub(super) const MAX_HOST_BYTES: usize = 253;

pub(super) const HTTP: &str = "http://";
pub(super) const HTTPS: &str = "https://";

/// The positions of the parts in a text that is already normalised.
pub(super) struct Plain {
    pub(super) host_end: usize,
    pub(super) path_start: usize,
    /// Where the query ends; what follows is the fragment.
    pub(super) end: usize,
    pub(super) port: u16,
}

impl Plain {
    /// Recognises a text that the standard would change only by adding `/` as path and dropping the fragment.
    /// `None` says nothing about validity: the slow way decides. O(length), no allocation.
    pub(super) fn scan(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (host_start, default_port) = if text.starts_with(HTTPS) {
            (HTTPS.len(), 443)
        } else if text.starts_with(HTTP) {
            (HTTP.len(), 80)
        } else {
            return None;
        };
        let host = host_start..host_start + run(bytes, host_start, HOST);
        if !is_plain_host(bytes.get(host.clone())?) {
            return None;
        }
        let (path_start, port) = match bytes.get(host.end) {
            Some(b':') => plain_port(bytes, host.end + 1, default_port)?,
            _ => (host.end, default_port),
        };
        let end = plain_end(bytes, path_start)?;
        Some(Self { host_end: host.end, path_start, end, port })
    }
}

const HOST: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;

/// For each byte, the parts of a URL in which it needs no encoding.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        let mut class = 0;
        if matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_') {
            class |= HOST;
        }
        // `^` is left out: later editions of the standard encode it, earlier ones do not.
        if !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'}') {
            class |= PATH;
        }
        if !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\'') {
            class |= QUERY;
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated while compiling")]
        {
            classes[byte as usize] = class;
        }
        byte += 1;
    }
    classes
};

/// How many bytes from `start` on belong to `class`.
fn run(bytes: &[u8], start: usize, class: u8) -> usize {
    let of = |byte: u8| CLASSES.get(usize::from(byte)).copied().unwrap_or_default();
    let rest = bytes.get(start..).unwrap_or_default();
    rest.iter().position(|&byte| of(byte) & class == 0).unwrap_or(rest.len())
}

/// Whether a host of plain characters is its own normal form: no punycode to check, no empty label, and not
/// one of the many spellings of an IPv4 address except the canonical one.
fn is_plain_host(host: &[u8]) -> bool {
    let name = host.strip_suffix(b".").unwrap_or(host);
    if name.is_empty() || name.len() > MAX_HOST_BYTES {
        return false;
    }
    let mut label_start = 0;
    let mut previous = b'.';
    for (position, &byte) in name.iter().enumerate() {
        match (previous, byte) {
            (b'.', b'.') | (b'-', b'-') => return false,
            (_, b'.') => label_start = position + 1,
            _ => {}
        }
        previous = byte;
    }
    match name.get(label_start) {
        None => false,
        Some(b'0'..=b'9') => is_dotted_quad(host),
        Some(_) => true,
    }
}

fn is_dotted_quad(host: &[u8]) -> bool {
    // The standard library takes the canonical spelling only: four decimal numbers without leading zeros.
    std::str::from_utf8(host).is_ok_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Reads a port that would be written the same way again: 1 to 65535, no leading zero, not the default one.
/// Returns where it ends, and the port.
fn plain_port(bytes: &[u8], start: usize, default_port: u16) -> Option<(usize, u16)> {
    let rest = bytes.get(start..)?;
    let length = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let digits = rest.get(..length)?;
    if digits.first()? == &b'0' {
        return None;
    }
    let port: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (port != default_port).then_some((start + length, port))
}

/// Where path and query end, if none of their bytes would change.
fn plain_end(bytes: &[u8], path_start: usize) -> Option<usize> {
    let path_end = path_start + run(bytes, path_start, PATH);
    let path = bytes.get(path_start..path_end)?;
    if path.first().is_some_and(|&byte| byte != b'/') || has_dot_segment(path) {
        return None;
    }
    let query_end = match bytes.get(path_end) {
        // Without a path, `/` would have to be put in front of the query.
        Some(b'?') if !path.is_empty() => path_end + 1 + run(bytes, path_end + 1, QUERY),
        _ => path_end,
    };
    match bytes.get(query_end) {
        None => Some(query_end),
        // The fragment is dropped, but a space or control character in it still makes the URL invalid.
        Some(b'#') => bytes.iter().skip(query_end).all(u8::is_ascii_graphic).then_some(query_end),
        Some(_) => None,
    }
}

/// Whether a segment may be `.` or `..` in any spelling. True for every segment that starts like one.
fn has_dot_segment(path: &[u8]) -> bool {
    let mut after_slash = false;
    for (position, &byte) in path.iter().enumerate() {
        if after_slash && (byte == b'.' || (byte == b'%' && path.get(position + 1) == Some(&b'2'))) {
            return true;
        }
        after_slash = byte == b'/';
    }
    false
}
