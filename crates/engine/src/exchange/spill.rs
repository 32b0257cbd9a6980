//! A body on its way to a file: decoded, counted and hashed piece by piece.
//!
//! Writing goes to the system's page cache from the shard's thread, as much as one read brought. What is durable is for the
//! consumer to see to: nothing here waits for the disk itself.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::decode::{Decoding, Limits, Step, Stream};
use crate::error::Failure;
use crate::spool::{BodyFile, BodyFolder};

/// The most that is read at once for a file.
const READ: usize = 128 << 10;
/// After so many decoded bytes others get their turn.
const TURN: u64 = 1 << 20;

/// Why a body did not get to its file.
pub(super) enum Trouble {
    /// The disk failed.
    Disk(io::Error),
    /// The body cannot be decoded, or is too large.
    Body(Failure),
}

/// A body that is being written.
pub(crate) struct Spill {
    file: File,
    body: BodyFile,
    hash: Option<Context>,
    decoding: Option<Stream>,
    left: Option<String>,
    wire_bytes: u64,
    /// What was read last, until it is written.
    piece: Vec<u8>,
    decoded: Vec<u8>,
}

/// A body in its file.
pub(super) struct Spilled {
    pub(super) file: Arc<BodyFile>,
    /// It is only the first part, because it is longer than allowed.
    pub(super) truncated: bool,
    pub(super) left: Option<String>,
    pub(super) trailing: bool,
}

impl Spill {
    /// Creates the file, for a body with these codings. `decoding` has what came so far, as received.
    pub(super) async fn begin(
        folder: &BodyFolder,
        decoding: Decoding,
        limits: Limits,
    ) -> Result<Box<Self>, Trouble> {
        let (file, body) = folder.create().map_err(Trouble::Disk)?;
        let is_plain = decoding.is_done();
        let (stream, piece, left) = decoding.into_stream(limits).map_err(Trouble::Body)?;
        let mut spill = Box::new(Self {
            file,
            body,
            hash: folder.hashes().then(|| Context::new(&SHA256)),
            decoding: (!is_plain).then_some(stream),
            left,
            wire_bytes: 0,
            piece,
            decoded: Vec::new(),
        });
        spill.take().await?;
        spill.piece = Vec::with_capacity(READ);
        Ok(spill)
    }

    /// Where to read the next piece to, and how much at most.
    pub(super) fn room(&mut self) -> (&mut Vec<u8>, usize) {
        (&mut self.piece, READ)
    }

    /// Bytes as received, with what was read last.
    pub(super) fn received(&self) -> u64 {
        self.wire_bytes + self.piece.len() as u64
    }

    /// Drops all but the first bytes, as received, of what was read last.
    pub(super) fn cut(&mut self, most: u64) {
        let keeps = most.saturating_sub(self.wire_bytes);
        self.piece.truncate(usize::try_from(keeps).unwrap_or(usize::MAX));
    }

    /// Writes what was read last.
    pub(super) async fn take(&mut self) -> Result<(), Trouble> {
        let piece = std::mem::take(&mut self.piece);
        self.wire_bytes += piece.len() as u64;
        let taken = match &mut self.decoding {
            None => self.write(&piece).map_err(Trouble::Disk),
            Some(stream) => {
                stream.feed(&piece);
                self.decode(false, false).await
            }
        };
        self.piece = piece;
        self.piece.clear();
        taken
    }

    /// Whether nothing more of it can be used: it is as long as allowed.
    pub(super) fn is_full(&self) -> bool {
        self.decoding.as_ref().is_some_and(Stream::is_truncated)
    }

    /// The body has ended. `partial`: it is known to be a prefix.
    pub(super) async fn finish(mut self: Box<Self>, partial: bool) -> Result<Spilled, Trouble> {
        self.decode(true, partial).await?;
        let Self { mut body, hash, decoding, left, .. } = *self;
        let truncated = partial || decoding.as_ref().is_some_and(Stream::is_truncated);
        let trailing = decoding.as_ref().is_some_and(Stream::has_trailing);
        body.sha256 = hash.and_then(|hash| hash.finish().as_ref().try_into().ok());
        Ok(Spilled { file: Arc::new(body), truncated, left, trailing })
    }

    async fn decode(&mut self, ended: bool, partial: bool) -> Result<(), Trouble> {
        let mut since_turn = 0;
        let mut decoded = std::mem::take(&mut self.decoded);
        while let Some(stream) = &mut self.decoding {
            decoded.clear();
            match stream.next(&mut decoded, ended, partial).map_err(Trouble::Body)? {
                Step::Piece => self.write(&decoded).map_err(Trouble::Disk)?,
                Step::Hungry | Step::Whole => break,
            }
            since_turn += decoded.len() as u64;
            if since_turn >= TURN {
                since_turn = 0;
                tokio::task::yield_now().await;
            }
        }
        self.decoded = decoded;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.body.bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        Ok(())
    }
}
