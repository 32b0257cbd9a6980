//! How files are encoded: which columns have a dictionary or bounds, and how all of them are compressed.

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Columns worth a dictionary: few values are different. One of bodies or URLs would be abandoned after a page anyway.
const FEW_VALUES: [&[&str]; 14] = [
    &["method"],
    &["status"],
    &["error"],
    &["http_version"],
    &["remote_ip"],
    &["content_type"],
    &["content_encoding"],
    &["encoding_left"],
    &["body_encoding"],
    &["truncated"],
    &["change"],
    &["body_run"],
    &["headers", "list", "element", "name"],
    &["headers", "list", "element", "value"],
];
/// Columns with minimum and maximum in the footer, which let a reader skip row groups.
const WITH_BOUNDS: [&str; 8] =
    ["index", "status", "error", "attempts", "fetched_at", "t_total", "t_first_byte", "bytes_body"];

/// The properties of a file.
pub(super) fn properties(compression: Compression, noted: Vec<KeyValue>) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_coerce_types(true)
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(noted));
    for path in FEW_VALUES {
        let path = ColumnPath::new(path.iter().map(|&part| part.to_owned()).collect());
        properties = properties.set_column_dictionary_enabled(path, true);
    }
    for name in WITH_BOUNDS {
        let path = ColumnPath::new(vec![name.to_owned()]);
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    properties.build()
}

/// How pages are compressed: "zstd:1", "lz4", "snappy" or "none".
///
/// # Errors
/// Another name, or another level than zstd has.
pub(super) fn compression(name: &str) -> Result<Compression, ParquetError> {
    match name.split_once(':') {
        Some(("zstd", level)) => {
            let level = level.parse().map_err(|_| unknown(name))?;
            Ok(Compression::ZSTD(ZstdLevel::try_new(level)?))
        }
        None if name == "lz4" => Ok(Compression::LZ4_RAW),
        None if name == "snappy" => Ok(Compression::SNAPPY),
        None if name == "none" => Ok(Compression::UNCOMPRESSED),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> ParquetError {
    ParquetError::General(format!("{name} is no compression"))
}
