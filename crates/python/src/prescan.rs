//! The encoding that a document declares in its first bytes: "prescan a byte stream to determine its encoding", "get an
//! attribute", "get an XML encoding" and "extract a character encoding from a meta element" of the HTML standard. Every
//! document that says its encoding so is read by browsers in exactly this way, broken markup included.
//!
//! Source: <https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding>

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

use crate::charset::named;

/// The encoding that HTML declares in `bytes`, by a `<meta>` or an XML declaration.
pub(crate) fn html(bytes: &[u8]) -> Option<&'static Encoding> {
    utf16_declaration(bytes)
        .or_else(|| Prescan { bytes, at: 0 }.meta().ok())
        .or_else(|| xml_declaration(bytes))
}

/// The encoding that XML declares in `bytes`.
pub(crate) fn xml(bytes: &[u8]) -> Option<&'static Encoding> {
    utf16_declaration(bytes).or_else(|| xml_declaration(bytes))
}

/// `<?x` in UTF-16.
fn utf16_declaration(bytes: &[u8]) -> Option<&'static Encoding> {
    if bytes.starts_with(b"<\0?\0x\0") {
        return Some(UTF_16LE);
    }
    bytes.starts_with(b"\0<\0?\0x").then_some(UTF_16BE)
}

/// "Get an XML encoding".
fn xml_declaration(bytes: &[u8]) -> Option<&'static Encoding> {
    const NAME: &[u8] = b"encoding";
    if !bytes.starts_with(b"<?xml") {
        return None;
    }
    // The declaration has to end, but the standard does not say that the name has to come before that.
    position(bytes, b'>')?;
    let name = bytes.windows(NAME.len()).position(|window| window == NAME)?;
    let rest = skip_blank(bytes.get(name + NAME.len()..)?);
    let rest = skip_blank(rest.strip_prefix(b"=")?);
    let (&quote, rest) = rest.split_first()?;
    if quote != b'"' && quote != b'\'' {
        return None;
    }
    let label = rest.get(..position(rest, quote)?)?;
    if label.iter().any(|&byte| byte <= b' ') {
        return None;
    }
    named(label).map(ascii_compatible)
}

/// Without leading bytes up to 0x20.
fn skip_blank(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|&&byte| byte <= b' ').count();
    bytes.get(blank..).unwrap_or_default()
}

/// What a declaration in ASCII can mean: not UTF-16, in which it could not have been read.
fn ascii_compatible(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&byte| byte == wanted)
}

/// The bytes end, and with them the prescan.
struct End;

/// A place in the bytes.
struct Prescan<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// An attribute: name and value, in lower case.
type Attribute = (Vec<u8>, Vec<u8>);

impl Prescan<'_> {
    /// The encoding of the first `<meta>` that names one.
    fn meta(&mut self) -> Result<&'static Encoding, End> {
        loop {
            let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty()).ok_or(End)?;
            if rest.starts_with(b"<!--") {
                // The two hyphens before the end may be those of the beginning.
                self.at += rest.windows(3).position(|window| window == b"-->").ok_or(End)? + 2;
            } else if begins_meta(rest) {
                self.at += b"<meta".len();
                if let Some(encoding) = self.encoding_of_meta()? {
                    return Ok(encoding);
                }
            } else if begins_tag(rest) {
                self.at += rest.iter().position(|&byte| is_space(byte) || byte == b'>').ok_or(End)?;
                while self.attribute()?.is_some() {}
            } else if matches!(rest, [b'<', b'!' | b'/' | b'?', ..]) {
                self.at += position(rest, b'>').ok_or(End)?;
            }
            self.at += 1;
        }
    }

    /// What the attributes of a `<meta>` say: an encoding, or nothing.
    fn encoding_of_meta(&mut self) -> Result<Option<&'static Encoding>, End> {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let (mut is_content_type, mut needs_that) = (false, false);
        let (mut charset, mut is_said) = (None, false);
        while let Some((name, value)) = self.attribute()? {
            if seen.contains(&name) {
                continue;
            }
            match name.as_slice() {
                b"http-equiv" => is_content_type = value == b"content-type",
                b"content" if !is_said => {
                    charset = encoding_in_content(&value);
                    (is_said, needs_that) = (charset.is_some(), charset.is_some());
                }
                // Even if it is no encoding, which `content` does not replace.
                b"charset" => (charset, is_said, needs_that) = (named(&value), true, false),
                _ => {}
            }
            seen.push(name);
        }
        let encoding = charset.filter(|_| is_content_type || !needs_that);
        Ok(encoding.map(
            |encoding| {
                if encoding == X_USER_DEFINED { WINDOWS_1252 } else { ascii_compatible(encoding) }
            },
        ))
    }

    /// "Get an attribute". None: the tag ends.
    fn attribute(&mut self) -> Result<Option<Attribute>, End> {
        while is_space(self.byte()?) || self.byte()? == b'/' {
            self.at += 1;
        }
        if self.byte()? == b'>' {
            return Ok(None);
        }
        let mut name = Vec::new();
        loop {
            match self.byte()? {
                b'=' if !name.is_empty() => break,
                b'/' | b'>' => return Ok(Some((name, Vec::new()))),
                byte if is_space(byte) => break,
                byte => name.push(byte.to_ascii_lowercase()),
            }
            self.at += 1;
        }
        self.skip_spaces()?;
        if self.byte()? != b'=' {
            return Ok(Some((name, Vec::new())));
        }
        self.at += 1;
        self.skip_spaces()?;
        let value = match self.byte()? {
            quote @ (b'"' | b'\'') => {
                self.at += 1;
                let value = self.until(|byte| byte == quote)?;
                self.at += 1;
                value
            }
            _ => self.until(|byte| is_space(byte) || byte == b'>')?,
        };
        Ok(Some((name, value)))
    }

    fn byte(&self) -> Result<u8, End> {
        self.bytes.get(self.at).copied().ok_or(End)
    }

    fn skip_spaces(&mut self) -> Result<(), End> {
        while is_space(self.byte()?) {
            self.at += 1;
        }
        Ok(())
    }

    /// The bytes before the first for which `ends`, in lower case.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> Result<Vec<u8>, End> {
        let mut found = Vec::new();
        while !ends(self.byte()?) {
            found.push(self.byte()?.to_ascii_lowercase());
            self.at += 1;
        }
        Ok(found)
    }
}

fn begins_meta(rest: &[u8]) -> bool {
    rest.get(..6).is_some_and(|tag| {
        tag.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"<meta"))
            && tag.last().is_some_and(|&byte| is_space(byte) || byte == b'/')
    })
}

fn begins_tag(rest: &[u8]) -> bool {
    matches!(rest, [b'<', b'/', byte, ..] | [b'<', byte, ..] if byte.is_ascii_alphabetic())
}

/// "Extract a character encoding from a meta element", from the value of `content` in lower case.
fn encoding_in_content(content: &[u8]) -> Option<&'static Encoding> {
    const NAME: &[u8] = b"charset";
    let mut rest = content;
    let value = loop {
        let at = rest.windows(NAME.len()).position(|window| window == NAME)?;
        rest = skip_ascii_spaces(rest.get(at + NAME.len()..)?);
        if let Some(value) = rest.strip_prefix(b"=") {
            break skip_ascii_spaces(value);
        }
    };
    let label = match value {
        [quote @ (b'"' | b'\''), quoted @ ..] => quoted.get(..position(quoted, *quote)?)?,
        _ => value.split(|&byte| is_space(byte) || byte == b';').next()?,
    };
    named(label)
}

fn skip_ascii_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|&&byte| is_space(byte)).count();
    bytes.get(spaces..).unwrap_or_default()
}
