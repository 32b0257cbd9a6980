//! The result table's columns of lists: redirects and headers.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{ArrayBuilder, Int16Builder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, ListArray, StringArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use hurtle_engine::{Headers, Hop};

use crate::shown::text_of_header;

/// How columns store texts of which few are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Each row has its own copy.
    Plain,
    /// Each is stored once, in a dictionary. A Parquet writer uses it directly, and need not search for equal values.
    Distinct,
}

static HOP_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new("url", DataType::Utf8, false), Field::new("status", DataType::Int16, false)])
});

fn header_fields(texts: Texts) -> Fields {
    let kind = match texts {
        Texts::Plain => DataType::Utf8,
        Texts::Distinct => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    };
    Fields::from(vec![Field::new("name", kind.clone(), false), Field::new("value", kind, false)])
}

/// The type of the column of redirects.
pub(crate) fn redirects_type() -> DataType {
    DataType::new_list(DataType::Struct(HOP_FIELDS.clone()), false)
}

/// The type of the column of headers.
pub(crate) fn headers_type(texts: Texts) -> DataType {
    DataType::new_list(DataType::Struct(header_fields(texts)), false)
}

/// The redirects of every row.
#[derive(Debug)]
pub(crate) struct Redirects {
    urls: StringBuilder,
    statuses: Int16Builder,
    ends: Ends,
}

impl Redirects {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { urls: StringBuilder::new(), statuses: Int16Builder::new(), ends: Ends::with_capacity(rows) }
    }

    pub(crate) fn append(&mut self, hops: &[Hop]) {
        for hop in hops {
            self.urls.append_value(&hop.url);
            self.statuses.append_value(hop.status.cast_signed());
        }
        self.ends.append(self.urls.len());
    }

    pub(crate) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        self.ends.finish(&HOP_FIELDS, vec![Arc::new(self.urls.finish()), Arc::new(self.statuses.finish())])
    }
}

/// The headers of every row.
///
/// Those of one host are mostly the same from row to row: headers equal to the previous row's are neither parsed nor
/// hashed.
#[derive(Debug)]
pub(crate) struct HeaderLists {
    names: Words,
    values: Words,
    ends: Ends,
    last: LastRow,
}

/// The headers of the previous row.
#[derive(Debug, Default)]
struct LastRow {
    block: Vec<u8>,
    /// Where they begin among those of all rows.
    start: usize,
    content_type: Option<usize>,
    content_encoding: Option<usize>,
}

impl HeaderLists {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            names: Words::default(),
            values: Words::default(),
            ends: Ends::with_capacity(rows),
            last: LastRow::default(),
        }
    }

    /// Appends a row's headers.
    pub(crate) fn append(&mut self, headers: Headers<'_>) {
        let start = self.names.len();
        if headers.as_bytes() == self.last.block {
            self.names.repeat_from(self.last.start);
            self.values.repeat_from(self.last.start);
        } else {
            self.read(headers);
        }
        self.last.start = start;
        self.ends.append(self.names.len());
    }

    fn read(&mut self, headers: Headers<'_>) {
        self.last.block.clear();
        self.last.block.extend_from_slice(headers.as_bytes());
        (self.last.content_type, self.last.content_encoding) = (None, None);
        for (place, (name, value)) in headers.enumerate() {
            let likely = self.last.start + place;
            self.names.append(name.as_bytes(), likely);
            let at = self.values.append(value, likely);
            // If a header appears twice, the first counts.
            match name {
                "content-type" => self.last.content_type.get_or_insert(at),
                "content-encoding" => self.last.content_encoding.get_or_insert(at),
                _ => continue,
            };
        }
    }

    /// The media type in the last row's headers.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.last.content_type.and_then(|at| self.values.get(at))
    }

    /// The content coding in the last row's headers.
    pub(crate) fn content_encoding(&self) -> Option<&str> {
        self.last.content_encoding.and_then(|at| self.values.get(at))
    }

    pub(crate) fn finish(self, texts: Texts) -> Result<ArrayRef, ArrowError> {
        let elements = vec![self.names.finish(texts)?, self.values.finish(texts)?];
        self.ends.finish(&header_fields(texts), elements)
    }
}

/// A column of texts of which few are different.
#[derive(Debug, Default)]
struct Words {
    distinct: Vec<Arc<str>>,
    keys_by_word: HashMap<Arc<str>, i32>,
    keys: Vec<i32>,
}

impl Words {
    fn len(&self) -> usize {
        self.keys.len()
    }

    /// The text at a place.
    fn get(&self, at: usize) -> Option<&str> {
        self.word(*self.keys.get(at)?)
    }

    fn word(&self, key: i32) -> Option<&str> {
        self.distinct.get(usize::try_from(key).ok()?).map(AsRef::as_ref)
    }

    /// Appends the texts from `start` on once more.
    fn repeat_from(&mut self, start: usize) {
        self.keys.extend_from_within(start.min(self.keys.len())..);
    }

    /// Appends a text and returns its place. It is first compared with the one at `likely`.
    fn append(&mut self, text: &[u8], likely: usize) -> usize {
        let key = match self.keys.get(likely) {
            Some(&key) if self.word(key).is_some_and(|word| word.as_bytes() == text) => key,
            _ => self.key_of(&text_of_header(text)),
        };
        self.keys.push(key);
        self.keys.len() - 1
    }

    fn key_of(&mut self, text: &str) -> i32 {
        if let Some(&key) = self.keys_by_word.get(text) {
            return key;
        }
        let key = i32::try_from(self.distinct.len()).unwrap_or(i32::MAX);
        let word: Arc<str> = Arc::from(text);
        self.distinct.push(Arc::clone(&word));
        self.keys_by_word.insert(word, key);
        key
    }

    fn finish(self, texts: Texts) -> Result<ArrayRef, ArrowError> {
        if texts == Texts::Plain {
            let words = self.keys.iter().filter_map(|&key| self.word(key));
            return Ok(Arc::new(StringArray::from_iter_values(words)));
        }
        let words = StringArray::from_iter_values(&self.distinct);
        let keys = Int32Array::from(self.keys);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(words))?))
    }
}

/// Where each row's list ends among the elements of all rows.
#[derive(Debug)]
struct Ends {
    offsets: Vec<i32>,
}

impl Ends {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets }
    }

    /// Ends a row's list behind so many elements of all rows.
    fn append(&mut self, elements: usize) {
        self.offsets.push(i32::try_from(elements).unwrap_or(i32::MAX));
    }

    /// A column of lists: `elements` hold those of all rows, one column for each field.
    fn finish(self, fields: &Fields, elements: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        let elements = StructArray::try_new(fields.clone(), elements, None)?;
        let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), false));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(elements), None)?))
    }
}
