//! The column of bodies. Each body is copied once, to where its page is compressed, and the memory of a page is used again for
//! the next one: memory of this size that is new each time costs as much as compressing does.
//!
//! Source: Apache Parquet's format, "Data Pages" and "Encodings" (PLAIN, RLE).

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

/// A page ends at this many bytes or rows.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: u32 = 20_000;
/// Room before the values for their definition levels, which are known at the end. Most pages have one run of them.
const ROOM: usize = 64;
/// A buffer that is larger than this after a page goes back.
const KEPT_BYTES: usize = 4 << 20;

/// The bodies of a row group, so far.
pub(super) struct BodyColumn {
    compression: Compression,
    zstd: Option<Compressor<'static>>,
    /// Room, and the values of the open page.
    page: Vec<u8>,
    levels: Levels,
    packed: Vec<u8>,
    /// The pages that are complete.
    chunk: Vec<u8>,
    rows: u64,
    unpacked_bytes: usize,
}

impl BodyColumn {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            compression,
            zstd: None,
            page: Vec::new(),
            levels: Levels::default(),
            packed: Vec::new(),
            chunk: Vec::new(),
            rows: 0,
            unpacked_bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the body of a row.
    ///
    /// # Errors
    /// It has more than 4 GiB.
    pub(super) fn append(&mut self, body: Option<&[u8]>) -> Result<(), ParquetError> {
        if self.page.is_empty() {
            self.page.resize(ROOM, 0);
        }
        self.levels.push(body.is_some());
        if let Some(body) = body {
            let length = u32::try_from(body.len())
                .map_err(|_| ParquetError::General("a body has more than 4 GiB".to_owned()))?;
            self.page.extend_from_slice(&length.to_le_bytes());
            self.page.extend_from_slice(body);
        }
        self.rows += 1;
        if self.page.len() >= PAGE_BYTES || self.levels.count() >= PAGE_ROWS {
            self.end_page()?;
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let (levels, count) = self.levels.take();
        let start = ROOM.checked_sub(levels.len());
        match start.and_then(|start| self.page.get_mut(start..ROOM)) {
            Some(room) => room.copy_from_slice(&levels),
            None => drop(self.page.splice(..ROOM, levels)),
        }
        let data = self.page.get(start.unwrap_or_default()..).unwrap_or_default();
        let packed = match self.compression {
            Compression::ZSTD(level) => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Compressor::new(level.compression_level())?),
                };
                self.packed.clear();
                self.packed.reserve(zstd::zstd_safe::compress_bound(data.len()));
                zstd.compress_to_buffer(data, &mut self.packed)?;
                &self.packed
            }
            Compression::LZ4_RAW => {
                self.packed.resize(lz4_flex::block::get_maximum_output_size(data.len()), 0);
                let length = lz4_flex::block::compress_into(data, &mut self.packed).map_err(other)?;
                self.packed.truncate(length);
                &self.packed
            }
            Compression::SNAPPY => {
                self.packed.resize(snap::raw::max_compress_len(data.len()), 0);
                let length = snap::raw::Encoder::new().compress(data, &mut self.packed).map_err(other)?;
                self.packed.truncate(length);
                &self.packed
            }
            _ => data,
        };
        let page = Page::DataPage {
            buf: Bytes::copy_from_slice(packed),
            num_values: count,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let page = CompressedPage::new(page, data.len());
        let mut out = TrackedWrite::new(&mut self.chunk);
        let mut writer = SerializedPageWriter::new(&mut out);
        self.unpacked_bytes += writer.write_page(page)?.uncompressed_size;
        writer.close()?;
        drop(out);
        for buffer in [&mut self.page, &mut self.packed] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        Ok(())
    }

    /// The pages, and what the footer says of them. The column is empty after that.
    pub(super) fn finish(
        &mut self,
        column: ColumnDescPtr,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        if self.levels.count() > 0 {
            self.end_page()?;
        }
        // The next row group is likely as long.
        let next = Vec::with_capacity(self.chunk.len());
        let chunk = Bytes::from(std::mem::replace(&mut self.chunk, next));
        let rows_written = std::mem::take(&mut self.rows);
        let unpacked = std::mem::take(&mut self.unpacked_bytes);
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(self.compression)
            .set_encodings(vec![Encoding::RLE, Encoding::PLAIN])
            .set_num_values(rows_written.cast_signed())
            .set_total_compressed_size((chunk.len() as u64).cast_signed())
            .set_total_uncompressed_size((unpacked as u64).cast_signed())
            .set_data_page_offset(0)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: chunk.len() as u64,
            rows_written,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok((chunk, close))
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// Which rows of a page have a body, in runs.
#[derive(Default)]
struct Levels {
    runs: Vec<(bool, u32)>,
    count: u32,
}

impl Levels {
    fn push(&mut self, has_body: bool) {
        self.count += 1;
        match self.runs.last_mut() {
            Some((last, length)) if *last == has_body => *length += 1,
            _ => self.runs.push((has_body, 1)),
        }
    }

    fn count(&self) -> u32 {
        self.count
    }

    /// How a page begins with them, and of how many rows they are; there are none after that.
    fn take(&mut self) -> (Vec<u8>, u32) {
        let mut encoded = vec![0; size_of::<u32>()];
        for (has_body, length) in self.runs.drain(..) {
            // A run of one value: twice its length as a varint, and the value.
            let mut header = u64::from(length) << 1;
            while header >= 0x80 {
                encoded.push(header as u8 | 0x80);
                header >>= 7;
            }
            encoded.push(header as u8);
            encoded.push(u8::from(has_body));
        }
        let length = (encoded.len() - size_of::<u32>()) as u32;
        encoded.splice(..size_of::<u32>(), length.to_le_bytes());
        (encoded, std::mem::take(&mut self.count))
    }
}
