//! The content of `/bytes/N` in the usual content codings.

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::bodies::{MAX_BODY, cached};
use super::query::number;
use super::{Ask, Outcome, Refusal, octets};
use crate::content::Content;
use crate::payload::Payload;

/// A way to encode a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Coding {
    Gzip,
    /// The zlib format, which RFC 9110 section 8.4.1.2 calls `deflate`.
    Deflate,
    /// A bare deflate stream, which some servers send under that name.
    RawDeflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The value of Content-Encoding, and a name of our own.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Gzip => ("gzip", "gzip"),
            Self::Deflate => ("deflate", "deflate"),
            Self::RawDeflate => ("deflate", "raw-deflate"),
            Self::Brotli => ("br", "br"),
            Self::Zstd => ("zstd", "zstd"),
        }
    }

    /// Encodes in memory; only the encoded form is ever held whole.
    fn encode(self, content: Content) -> io::Result<Bytes> {
        let encoded = match self {
            Self::Gzip => copy(content, GzEncoder::new(Vec::new(), Compression::fast()))?.finish()?,
            Self::Deflate => copy(content, ZlibEncoder::new(Vec::new(), Compression::fast()))?.finish()?,
            Self::RawDeflate => {
                copy(content, DeflateEncoder::new(Vec::new(), Compression::fast()))?.finish()?
            }
            Self::Brotli => copy(content, CompressorWriter::new(Vec::new(), 4096, 4, 18))?.into_inner(),
            Self::Zstd => copy(content, ZstdEncoder::new(Vec::new(), 1)?)?.finish()?,
        };
        Ok(Bytes::from(encoded))
    }
}

fn copy<W: Write>(content: Content, mut encoder: W) -> io::Result<W> {
    for piece in content {
        encoder.write_all(&piece)?;
    }
    Ok(encoder)
}

/// `/gzip/N`, `/deflate/N`, `/raw-deflate/N`, `/br/N`, `/zstd/N`, each with `?seed=S`
pub(super) fn encoded(ask: &Ask<'_>, coding: Coding, length: &str) -> Outcome {
    let length = number("N", length, 0..=MAX_BODY)?;
    let seed = ask.query().number("seed", 0, 0..=u64::MAX)?;
    let (header, name) = coding.names();
    let body = cached((length, seed, name), || coding.encode(Content::new(length, seed)))
        .map_err(|error| Refusal::BadRequest(format!("cannot encode: {error}")))?;
    let mut response = octets(Payload::whole(body));
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(header));
    Ok(response)
}
