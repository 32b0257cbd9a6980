//! The rows of JSON lines, with only the columns that somebody wants: everything else is passed over.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How a column's value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Index,
    /// Its JSON, as text.
    Meta,
    /// Bytes: as text in `body`, or in `body_base64`.
    Body,
    Plain,
}

struct Column<'py> {
    name: String,
    key: Bound<'py, PyString>,
    kind: Kind,
}

/// Return the wanted columns of each line as a dict; a key that a line lacks is None. Of `meta` the JSON is returned.
///
/// None stands for a line that only Python's parser may judge: it is damaged, or unusual.
#[pyfunction]
pub(crate) fn rows_of_lines<'py>(
    py: Python<'py>,
    lines: &[u8],
    columns: Vec<String>,
) -> PyResult<Bound<'py, PyList>> {
    // A line without a position is no row, whether that is wanted or not.
    let mut wanted: Vec<_> = columns
        .into_iter()
        .map(|name| {
            let kind = match name.as_str() {
                "index" => Kind::Index,
                "meta" => Kind::Meta,
                "body" => Kind::Body,
                _ => Kind::Plain,
            };
            Column { key: PyString::intern(py, &name), name, kind }
        })
        .collect();
    let is_index_wanted = wanted.iter().any(|column| column.kind == Kind::Index);
    if !is_index_wanted {
        wanted.push(Column { name: "index".into(), key: PyString::intern(py, "index"), kind: Kind::Index });
    }
    let rows = PyList::empty(py);
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        match parsed(py, line, &wanted) {
            Some(values) => {
                let row = PyDict::new(py);
                for (column, value) in wanted.iter().zip(values) {
                    if is_index_wanted || column.kind != Kind::Index {
                        row.set_item(&column.key, value)?;
                    }
                }
                rows.append(row)?;
            }
            None => rows.append(py.None())?,
        }
    }
    Ok(rows)
}

fn parsed<'py>(
    py: Python<'py>,
    line: &[u8],
    wanted: &[Column<'py>],
) -> Option<Vec<Option<Bound<'py, PyAny>>>> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let values = RowSeed { py, wanted }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    let mut of_index = wanted.iter().zip(&values).filter(|(column, _)| column.kind == Kind::Index);
    of_index.all(|(_, value)| value.is_some()).then_some(values)
}

struct RowSeed<'a, 'py> {
    py: Python<'py>,
    wanted: &'a [Column<'py>],
}

impl<'de, 'py> DeserializeSeed<'de> for RowSeed<'_, 'py> {
    type Value = Vec<Option<Bound<'py, PyAny>>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, 'py> Visitor<'de> for RowSeed<'_, 'py> {
    type Value = Vec<Option<Bound<'py, PyAny>>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.wanted.len()];
        let mut coded = None;
        let mut next = 0;
        while let Some(Key(key)) = map.next_key()? {
            let (name, is_coded) = match &*key {
                "body_base64" => ("body", true),
                name => (name, false),
            };
            // hurtle writes the keys in one order: the one that is wanted next mostly comes next.
            let (before, behind) = self.wanted.split_at(next);
            let later = behind.iter().position(|column| column.name == name).map(|at| next + at);
            let found = later.or_else(|| before.iter().position(|column| column.name == name));
            next = found.map_or(next, |at| at + 1);
            let Some((column, value)) =
                found.and_then(|at| Some((self.wanted.get(at)?, values.get_mut(at)?)))
            else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let py = self.py;
            match column.kind {
                Kind::Index => {
                    let index = map.next_value::<u64>()?;
                    *value = Some(index.into_bound_py_any(py).map_err(A::Error::custom)?);
                }
                Kind::Meta => {
                    let text = map.next_value::<&'de RawValue>()?;
                    let is_null = text.get() == "null";
                    *value = (!is_null).then(|| PyString::new(py, text.get()).into_any());
                }
                Kind::Body if is_coded => {
                    let Some(text) = map.next_value::<Option<String>>()? else { continue };
                    let bytes = STANDARD.decode(text).map_err(A::Error::custom)?;
                    coded = Some((self.wanted.iter().position(|one| one.kind == Kind::Body), bytes));
                }
                Kind::Body => {
                    let text = map.next_value::<Option<String>>()?;
                    *value = text.map(|text| PyBytes::new(py, text.as_bytes()).into_any());
                }
                Kind::Plain => *value = Some(map.next_value_seed(ValueSeed { py })?),
            }
        }
        if let Some((Some(at), bytes)) = coded
            && let Some(value) = values.get_mut(at)
        {
            *value = Some(PyBytes::new(self.py, &bytes).into_any());
        }
        Ok(values)
    }
}

/// A key. Those of hurtle have no escapes and are not copied.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

/// Any value as Python's parser would return it.
struct ValueSeed<'py> {
    py: Python<'py>,
}

impl<'de, 'py> DeserializeSeed<'de> for ValueSeed<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'py> ValueSeed<'py> {
    fn of<T: IntoPyObjectExt<'py>, E: Error>(self, value: T) -> Result<Bound<'py, PyAny>, E> {
        value.into_bound_py_any(self.py).map_err(E::custom)
    }
}

impl<'de, 'py> Visitor<'de> for ValueSeed<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.of(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.of(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.of(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // Python has integers of any length.
        if value.fract() == 0.0 && value.abs() >= 9e15 {
            return Err(E::custom(PyTypeError::new_err("a number that may be a long integer")));
        }
        self.of(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        self.of(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        while let Some(value) = seq.next_element_seed(ValueSeed { py: self.py })? {
            list.append(value).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(ValueSeed { py: self.py })?;
            dict.set_item(key, value).map_err(A::Error::custom)?;
        }
        Ok(dict.into_any())
    }
}
