//! Bodies as text: which encoding a body is in, and its characters.
//!
//! The order is that of browsers: a byte order mark, the charset of Content-Type, what the document declares itself.
//! Labels are those of the Encoding Standard, so `latin1` is windows-1252, as every page that says so means it.
//!
//! Source: <https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding>,
//! <https://encoding.spec.whatwg.org/>

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::prescan;

/// How many bytes of a document may declare its encoding.
const PRESCANNED: usize = 1024;

/// The encoding of a label. Not "replacement", which the standard has for labels whose text browsers refuse to show:
/// a body of which only U+FFFD is left helps nobody.
pub(crate) fn named(label: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(label)
}

/// The encoding of a body with this Content-Type. UTF-8 if nothing says another.
pub(crate) fn encoding_of(content_type: &[u8], body: &[u8]) -> &'static Encoding {
    let marked = Encoding::for_bom(body).map(|(encoding, _)| encoding);
    marked.or_else(|| declared(content_type)).or_else(|| declared_inside(content_type, body)).unwrap_or(UTF_8)
}

/// The encoding that Content-Type names, if it is one.
pub(crate) fn declared(content_type: &[u8]) -> Option<&'static Encoding> {
    let mut rest = content_type;
    loop {
        rest = rest.get(rest.iter().position(|&byte| byte == b';')? + 1..)?;
        let end = rest.iter().position(|byte| b"=;".contains(byte))?;
        let (name, value) = rest.split_at_checked(end)?;
        let Some(value) = value.strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        let quoted = value.strip_prefix(b"\"");
        let (value, ends): (_, &[u8]) = quoted.map_or((value, b";,"), |quoted| (quoted, b"\""));
        let (value, after) = match value.iter().position(|byte| ends.contains(byte)) {
            Some(at) => value.split_at_checked(at)?,
            None => (value, &[][..]),
        };
        if name.trim_ascii().eq_ignore_ascii_case(b"charset") {
            // Some servers use the quotes of other languages.
            let value = value.trim_ascii();
            let value = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'")).unwrap_or(value);
            return named(value);
        }
        rest = after;
    }
}

/// The encoding that the first bytes of a document show, in the way of its type.
fn declared_inside(content_type: &[u8], body: &[u8]) -> Option<&'static Encoding> {
    let start = body.get(..PRESCANNED).unwrap_or(body);
    let essence = content_type.split(|byte| b";,".contains(byte)).next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    match essence.as_slice() {
        b"" | b"text/html" | b"application/xhtml+xml" => prescan::html(start),
        _ if essence.ends_with(b"/xml") || essence.ends_with(b"+xml") => prescan::xml(start),
        _ if essence.ends_with(b"/json") || essence.ends_with(b"+json") => utf16_json(start),
        _ => None,
    }
}

/// UTF-16, where the zero bytes of the first two characters say so: JSON begins with ASCII (RFC 4627, section 3).
fn utf16_json(start: &[u8]) -> Option<&'static Encoding> {
    match start {
        [0, 0, ..] | [_, 0, 0, 0, ..] => None,
        [0, _, ..] => Some(UTF_16BE),
        [_, 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}

/// A body as text in an encoding, without its byte order mark. What is not in the encoding becomes U+FFFD.
pub(crate) fn decoded<'a>(encoding: &'static Encoding, body: &'a [u8]) -> Cow<'a, str> {
    encoding.decode_with_bom_removal(body).0
}

/// A JSON body as text, where only Content-Type says its encoding. None: `json.loads` finds it out from the bytes.
///
/// # Errors
/// The body is not in the encoding that Content-Type names.
pub(crate) fn json_text<'a>(content_type: &[u8], body: &'a [u8]) -> PyResult<Option<Cow<'a, str>>> {
    let marked = Encoding::for_bom(body).is_some();
    let Some(encoding) = declared(content_type).filter(|&encoding| !marked && encoding != UTF_8) else {
        return Ok(None);
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(body);
    text.map(Some).ok_or_else(|| {
        PyValueError::new_err(format!(
            "the body is not {}, which its Content-Type says it is",
            encoding.name().to_lowercase()
        ))
    })
}

/// Return a body as text, as `Response.text` does.
#[pyfunction]
#[pyo3(signature = (body, content_type=None))]
pub(crate) fn body_text<'a>(body: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    decoded(encoding_of(content_type.unwrap_or_default().as_bytes(), body), body)
}
