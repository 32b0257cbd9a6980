//! Columns of a Parquet file as Python values.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Datelike, Timelike};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDate, PyDateTime, PyDict, PyList, PyString, PyTzInfo};

/// One value for each row.
type Values<'py> = Vec<Bound<'py, PyAny>>;

/// The rows of a batch as dicts with these columns, in this order; one that the batch lacks is None.
pub(super) fn rows<'py>(
    py: Python<'py>,
    batch: &RecordBatch,
    columns: &[Py<PyString>],
) -> PyResult<Bound<'py, PyList>> {
    let rows: Vec<_> = (0..batch.num_rows()).map(|_| PyDict::new(py)).collect();
    for column in columns {
        let name = column.bind(py);
        match batch.column_by_name(&name.to_string_lossy()) {
            Some(found) => {
                let found = values(py, found).map_err(|error| of_column(py, name, &error))?;
                set(&rows, name, found)?;
            }
            None => {
                for row in &rows {
                    row.set_item(name, py.None())?;
                }
            }
        }
    }
    PyList::new(py, rows)
}

fn of_column(py: Python<'_>, name: &Bound<'_, PyString>, error: &PyErr) -> PyErr {
    PyValueError::new_err(format!("column {}: {}", name.to_string_lossy(), error.value(py)))
}

fn set<'py>(rows: &[Bound<'py, PyDict>], name: &Bound<'py, PyString>, values: Values<'py>) -> PyResult<()> {
    rows.iter().zip(values).try_for_each(|(row, value)| row.set_item(name, value))
}

fn values<'py>(py: Python<'py>, array: &dyn Array) -> PyResult<Values<'py>> {
    match array.data_type() {
        DataType::Boolean => {
            each(py, array.as_boolean(), |value| Ok(PyBool::new(py, value).to_owned().into_any()))
        }
        DataType::Utf8 => texts(py, array),
        DataType::Binary => {
            each(py, array.as_binary::<i32>(), |value| Ok(PyBytes::new(py, value).into_any()))
        }
        DataType::FixedSizeBinary(_) => {
            each(py, array.as_fixed_size_binary().iter(), |value| Ok(PyBytes::new(py, value).into_any()))
        }
        DataType::Int8 => numbers::<Int8Type>(py, array),
        DataType::Int16 => numbers::<Int16Type>(py, array),
        DataType::Int32 => numbers::<Int32Type>(py, array),
        DataType::Int64 => numbers::<Int64Type>(py, array),
        DataType::UInt8 => numbers::<UInt8Type>(py, array),
        DataType::UInt16 => numbers::<UInt16Type>(py, array),
        DataType::UInt32 => numbers::<UInt32Type>(py, array),
        DataType::UInt64 => numbers::<UInt64Type>(py, array),
        DataType::Float32 => numbers::<Float32Type>(py, array),
        DataType::Float64 => numbers::<Float64Type>(py, array),
        DataType::Date32 => each(py, array.as_primitive::<Date32Type>(), |days| date(py, days)),
        DataType::Timestamp(unit, zone) => instants(py, array, *unit, zone.is_some()),
        DataType::List(_) => lists(py, array),
        DataType::Struct(_) => structs(py, array),
        other => Err(PyValueError::new_err(format!("values of the type {other} cannot be read"))),
    }
}

fn each<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = Option<T>>,
    mut of: impl FnMut(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Values<'py>> {
    items.into_iter().map(|item| item.map_or_else(|| Ok(py.None().into_bound(py)), &mut of)).collect()
}

fn numbers<'py, T>(py: Python<'py>, array: &dyn Array) -> PyResult<Values<'py>>
where
    T: ArrowPrimitiveType,
    T::Native: IntoPyObject<'py>,
{
    each(py, array.as_primitive::<T>(), |value| value.into_bound_py_any(py))
}

/// Rows that follow each other often have the same text, which is then one object.
fn texts<'py>(py: Python<'py>, array: &dyn Array) -> PyResult<Values<'py>> {
    let mut last: Option<(&str, Bound<'py, PyAny>)> = None;
    each(py, array.as_string::<i32>(), |text| match &last {
        Some((known, object)) if *known == text => Ok(object.clone()),
        _ => {
            let object = PyString::new(py, text).into_any();
            last = Some((text, object.clone()));
            Ok(object)
        }
    })
}

fn instants<'py>(py: Python<'py>, array: &dyn Array, unit: TimeUnit, is_utc: bool) -> PyResult<Values<'py>> {
    let zone = if is_utc { Some(PyTzInfo::utc(py)?.to_owned()) } else { None };
    let instant = |micros: Option<i64>| {
        let at = micros.and_then(DateTime::from_timestamp_micros);
        let at = at.ok_or_else(|| PyValueError::new_err("a time is out of range"))?;
        let [month, day, hour, minute, second] =
            [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(|part| part as u8);
        let micros = at.timestamp_subsec_micros();
        let found = PyDateTime::new(py, at.year(), month, day, hour, minute, second, micros, zone.as_ref())?;
        Ok(found.into_any())
    };
    match unit {
        TimeUnit::Microsecond => {
            each(py, array.as_primitive::<TimestampMicrosecondType>(), |at| instant(Some(at)))
        }
        TimeUnit::Millisecond => {
            each(py, array.as_primitive::<TimestampMillisecondType>(), |at| instant(at.checked_mul(1_000)))
        }
        TimeUnit::Nanosecond => each(py, array.as_primitive::<TimestampNanosecondType>(), |at| {
            instant(Some(at.div_euclid(1_000)))
        }),
        TimeUnit::Second => Err(PyValueError::new_err("times in seconds cannot be read")),
    }
}

fn date(py: Python<'_>, days: i32) -> PyResult<Bound<'_, PyAny>> {
    let date = Date32Type::to_naive_date_opt(days);
    let date = date.ok_or_else(|| PyValueError::new_err("a date is out of range"))?;
    Ok(PyDate::new(py, date.year(), date.month() as u8, date.day() as u8)?.into_any())
}

fn lists<'py>(py: Python<'py>, array: &dyn Array) -> PyResult<Values<'py>> {
    let lists = array.as_list::<i32>();
    let items = values(py, lists.values())?;
    let bounds = lists.value_offsets();
    let spans = bounds.iter().zip(bounds.iter().skip(1)).enumerate();
    let spans = spans.map(|(at, (from, to))| lists.is_valid(at).then_some((*from as usize, *to as usize)));
    each(py, spans, |(from, to)| Ok(PyList::new(py, items.get(from..to).unwrap_or_default())?.into_any()))
}

fn structs<'py>(py: Python<'py>, array: &dyn Array) -> PyResult<Values<'py>> {
    let structs = array.as_struct();
    let rows: Vec<_> = (0..structs.len()).map(|_| PyDict::new(py)).collect();
    for (field, column) in structs.fields().iter().zip(structs.columns()) {
        set(&rows, &PyString::intern(py, field.name()), values(py, column)?)?;
    }
    let rows = rows.into_iter().enumerate().map(|(at, row)| structs.is_valid(at).then_some(row));
    each(py, rows, |row| Ok(row.into_any()))
}
