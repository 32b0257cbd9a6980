//! How values of a row are shown: in `Response`, and in every form of the result table.

use std::borrow::Cow;

use http::Version;
use hurtle_engine::Timings;

/// Phases by name, in seconds.
pub(crate) fn phases(timings: &Timings) -> [(&'static str, Option<f64>); 7] {
    let phases = [
        ("queue", timings.queue),
        ("dns", timings.dns),
        ("connect", timings.connect),
        ("tls", timings.tls),
        ("first_byte", timings.first_byte),
        ("body", timings.body),
        ("total", timings.total),
    ];
    phases.map(|(name, value)| (name, value.map(|value| value.as_secs_f64())))
}

/// The version as it is usually written.
pub(crate) fn version_text(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// A header's value as text: UTF-8 if it is valid, otherwise Latin-1, in which every byte is a character.
pub(crate) fn text_of_header(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|&byte| char::from(byte)).collect()),
    }
}
