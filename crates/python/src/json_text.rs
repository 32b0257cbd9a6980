//! Text as JSON in which characters that control a terminal or change the direction of its text are escaped, so that it
//! is safe to print what a server sends. Every JSON parser gets them back.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{self, Formatter};

/// Appends a value.
pub(crate) fn to_json(out: &mut Vec<u8>, formatter: impl Formatter, value: &impl Serialize) {
    let mut serializer = ser::Serializer::with_formatter(out, formatter);
    // Writing to memory does not fail.
    value.serialize(&mut serializer).unwrap_or_default();
}

/// Appends a string, as [`Inert`] does, in one pass.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let (plain, left) = rest.split_at(plain_length(rest.as_bytes()));
        out.extend_from_slice(plain.as_bytes());
        let Some(char) = left.chars().next() else { break };
        let short = match char {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\t' => Some("\\t"),
            '\r' => Some("\\r"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            _ => None,
        };
        let (here, behind) = left.split_at(char.len_utf8());
        match short {
            Some(escaped) => out.extend_from_slice(escaped.as_bytes()),
            // Writing to memory does not fail.
            None if char < ' ' || steers(char) => push_escaped(out, char).unwrap_or_default(),
            None => out.extend_from_slice(here.as_bytes()),
        }
        rest = behind;
    }
    out.push(b'"');
}

/// How many bytes at the start of UTF-8 text need no look: neither escaped nor the first of a character that might be.
fn plain_length(bytes: &[u8]) -> usize {
    const AT_ONCE: usize = 16;
    let (chunks, _) = bytes.as_chunks::<AT_ONCE>();
    // Without branches inside a chunk, so that it is looked at in one step.
    let is_plain = |chunk: &[u8; AT_ONCE]| {
        !chunk.iter().fold(false, |any, &byte| any | !(0x20..0x7f).contains(&byte) | is_quote(byte))
    };
    let skipped = chunks.iter().take_while(|chunk| is_plain(chunk)).count() * AT_ONCE;
    let rest = bytes.get(skipped..).unwrap_or_default();
    skipped + rest.iter().position(|&byte| needs_look(byte)).unwrap_or(rest.len())
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

/// Controls, quotes, and the first bytes of the characters that steer.
fn needs_look(byte: u8) -> bool {
    byte < b' ' || is_quote(byte) || matches!(byte, 0x7f | 0xc2 | 0xd8 | 0xe2)
}

fn push_escaped(out: &mut Vec<u8>, char: char) -> io::Result<()> {
    write!(out, "\\u{:04x}", u32::from(char))
}

/// DEL, the C1 controls, and the marks that change the direction of text (Unicode Standard Annex 9).
fn steers(char: char) -> bool {
    matches!(char, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON that cannot control a terminal.
pub(crate) struct Inert;

impl Formatter for Inert {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_but(writer, fragment, steers)
    }
}

/// Appends what is JSON already: what is escaped stands in its strings only.
pub(crate) fn push_inert(out: &mut Vec<u8>, json: &str) {
    // Writing to memory does not fail.
    write_but(out, json, steers).unwrap_or_default();
}

/// JSON in ASCII.
pub(crate) struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_but(writer, fragment, |char| !char.is_ascii())
    }
}

/// JSON with what is not ASCII in it escaped: such characters are only in strings.
pub(crate) fn to_ascii(json: &str) -> String {
    let mut out = Vec::with_capacity(json.len());
    // Writing to memory does not fail.
    write_but(&mut out, json, |char| !char.is_ascii()).unwrap_or_default();
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes text with some of its characters escaped, of which none is in ASCII but DEL.
fn write_but<W: ?Sized + Write>(writer: &mut W, text: &str, is_escaped: fn(char) -> bool) -> io::Result<()> {
    // The greatest byte is found many bytes at a time; checking each character takes ten times as long.
    if text.bytes().fold(0, u8::max) < 0x7f {
        return writer.write_all(text.as_bytes());
    }
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|&(_, char)| is_escaped(char)) {
        let (before, behind) = rest.split_at(at);
        writer.write_all(before.as_bytes())?;
        for unit in found.encode_utf16(&mut [0; 2]) {
            write!(writer, "\\u{unit:04x}")?;
        }
        rest = behind.get(found.len_utf8()..).unwrap_or_default();
    }
    writer.write_all(rest.as_bytes())
}
