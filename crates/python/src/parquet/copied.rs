//! Files are joined without decoding them: their row groups are copied as they are encoded.

use std::fs::File;

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_select::filter::filter_record_batch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Open;

impl Open {
    /// Copies a row group of a file, without those rows whose bit in `hidden` is set.
    pub(super) fn copy(&mut self, file: File, group: usize, hidden: &[u8]) -> Result<(), ParquetError> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
        let wanted =
            if hidden.is_empty() { None } else { Some(wanted_of(file.try_clone()?, group, hidden)?) };
        let (some, all) = wanted.as_ref().map_or((true, true), |wanted| {
            let count = wanted.true_count();
            (count > 0, count == wanted.len())
        });
        if !some {
            return Ok(());
        }
        if !all || metadata.file_metadata().schema_descr() != self.writer.schema_descr() {
            let rows = rows_of(&metadata, group)?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_row_groups(vec![group]);
            let mut batches = reader.with_batch_size(rows).build()?.collect::<Result<Vec<_>, _>>()?;
            if let (Some(wanted), [batch]) = (&wanted, batches.as_mut_slice()) {
                *batch = filter_record_batch(batch, wanted)?;
            }
            return self.encode_fitted(batches);
        }
        let found = metadata.row_groups().get(group).ok_or_else(|| no_group(group))?;
        let mut copy = self.writer.next_row_group()?;
        for column in found.columns() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().cast_unsigned(),
                rows_written: found.num_rows().cast_unsigned(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            copy.append_column(&file, close)?;
        }
        copy.close()?;
        Ok(())
    }
}

/// Which rows of a row group are wanted, by their positions.
fn wanted_of(file: File, group: usize, hidden: &[u8]) -> Result<BooleanArray, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let rows = rows_of(builder.metadata(), group)?;
    let index = ProjectionMask::columns(builder.parquet_schema(), ["index"]);
    let reader = builder.with_row_groups(vec![group]).with_projection(index).with_batch_size(rows).build()?;
    let mut wanted = Vec::with_capacity(rows);
    for batch in reader {
        let batch = batch?;
        let positions =
            batch.column_by_name("index").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let positions = positions.ok_or_else(|| ParquetError::General("there is no index".to_owned()))?;
        wanted.extend(positions.values().iter().map(|&position| {
            let byte = usize::try_from(position >> 3).ok().and_then(|byte| hidden.get(byte));
            byte.is_none_or(|byte| byte >> (position & 7) & 1 == 0)
        }));
    }
    Ok(BooleanArray::from(wanted))
}

fn rows_of(metadata: &ParquetMetaData, group: usize) -> Result<usize, ParquetError> {
    let found = metadata.row_groups().get(group).ok_or_else(|| no_group(group))?;
    Ok(usize::try_from(found.num_rows()).unwrap_or_default().max(1))
}

fn no_group(group: usize) -> ParquetError {
    ParquetError::General(format!("there is no row group {group}"))
}
