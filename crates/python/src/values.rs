//! The result table as Python values, row by row: for databases that take parameters.

use std::net::IpAddr;

use hurtle_engine::{Batch, Code, RowView, Truncated};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::json_text::{Ascii, to_ascii, to_json};
use crate::jsonl::{HeaderList, Instants, Redirects};
use crate::shown::{phases, version_text};
use crate::table::{Labels, header};

const COLUMNS: usize = 33;

/// The values of some rows, by their places in the batch, in the order of the table's columns. Lists are JSON in ASCII,
/// instants ISO 8601. `without_body`: rows whose body is null. `with_flags`: with True and False; else they are 1 and 0.
pub(crate) fn values<'py>(
    py: Python<'py>,
    batch: &Batch,
    labels: &Labels,
    places: Option<Vec<usize>>,
    without_body: &[bool],
    with_flags: bool,
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let mut shared = Shared { with_flags, ..Shared::default() };
    let places = places.unwrap_or_else(|| (0..batch.len()).collect());
    let rows = places.into_iter().enumerate().filter_map(|(at, place)| {
        let is_without = without_body.get(at).copied().unwrap_or_default();
        Some((batch.get(place)?, !is_without))
    });
    rows.map(|(view, with_body)| of_row(py, view, labels, with_body, &mut shared)).collect()
}

/// What the row before has, which is mostly what the next one has.
#[derive(Default)]
struct Shared<'b, 'py> {
    headers: Option<(&'b [u8], Bound<'py, PyString>)>,
    remote: Option<(IpAddr, Bound<'py, PyString>)>,
    instants: Instants,
    with_flags: bool,
}

fn of_row<'b, 'py>(
    py: Python<'py>,
    view: RowView<'b>,
    labels: &Labels,
    with_body: bool,
    shared: &mut Shared<'b, 'py>,
) -> PyResult<Bound<'py, PyTuple>> {
    let row = view.row;
    let hops = row.extra.as_ref().map(|extra| extra.hops.as_slice()).unwrap_or_default();
    let url = PyString::new(py, view.url());
    let final_url =
        if view.final_url() == view.url() { url.clone() } else { PyString::new(py, view.final_url()) };
    let redirects = if hops.is_empty() { PyString::intern(py, "[]") } else { json_of(py, &Redirects(hops)) };
    let id = match labels.id(row.index) {
        Some(id) => PyString::new(py, id),
        None => PyString::new(py, &row.index.to_string()),
    };
    // A complete response may have a remark.
    let detail = Some(view.detail()).filter(|detail| row.code.is_some() || !detail.is_empty());
    let mut values: Vec<Bound<'py, PyAny>> = Vec::with_capacity(COLUMNS);
    values.extend([
        row.index.into_bound_py_any(py)?,
        id.into_any(),
        labels.meta(row.index).map(to_ascii).into_bound_py_any(py)?,
        PyString::intern(py, row.method.as_str()).into_any(),
        url.into_any(),
        final_url.into_any(),
        redirects.into_any(),
        shared.flag(py, row.ok())?,
        row.status.into_bound_py_any(py)?,
        row.code.map(Code::as_str).into_bound_py_any(py)?,
        detail.into_bound_py_any(py)?,
        row.attempts.into_bound_py_any(py)?,
        row.throttled.into_bound_py_any(py)?,
        shared.instants.shown(row.fetched_at_us).into_bound_py_any(py)?,
    ]);
    for (_, seconds) in phases(&row.timings) {
        values.push(seconds.into_bound_py_any(py)?);
    }
    let body =
        row.status.filter(|_| with_body && row.file().is_none()).map(|_| PyBytes::new(py, view.body()));
    values.extend([
        row.version.map(|version| PyString::intern(py, version_text(version))).into_bound_py_any(py)?,
        shared.remote(py, row.remote).into_bound_py_any(py)?,
        shared.flag(py, row.conn_reused)?,
        shared.headers(py, view).into_any(),
        header(&view, "content-type").into_bound_py_any(py)?,
        header(&view, "content-encoding").into_bound_py_any(py)?,
        view.encoding_left().into_bound_py_any(py)?,
        view.body_encoding().into_bound_py_any(py)?,
        row.wire_bytes.into_bound_py_any(py)?,
        row.body_len().into_bound_py_any(py)?,
        body.into_bound_py_any(py)?,
        row.truncated.map(Truncated::as_str).into_bound_py_any(py)?,
    ]);
    PyTuple::new(py, values)
}

impl<'b, 'py> Shared<'b, 'py> {
    fn headers(&mut self, py: Python<'py>, view: RowView<'b>) -> Bound<'py, PyString> {
        let headers = view.headers();
        let block = headers.as_bytes();
        match &self.headers {
            Some((last, shown)) if *last == block => shown.clone(),
            _ => {
                let shown = json_of(py, &HeaderList(headers));
                self.headers = Some((block, shown.clone()));
                shown
            }
        }
    }

    fn flag(&self, py: Python<'py>, flag: bool) -> PyResult<Bound<'py, PyAny>> {
        if self.with_flags { flag.into_bound_py_any(py) } else { u8::from(flag).into_bound_py_any(py) }
    }

    fn remote(&mut self, py: Python<'py>, address: Option<IpAddr>) -> Option<Bound<'py, PyString>> {
        let address = address?;
        if self.remote.as_ref().is_none_or(|(last, _)| *last != address) {
            self.remote = Some((address, PyString::new(py, &address.to_string())));
        }
        self.remote.as_ref().map(|(_, shown)| shown.clone())
    }
}

fn json_of<'py>(py: Python<'py>, value: &impl serde::Serialize) -> Bound<'py, PyString> {
    let mut json = Vec::new();
    to_json(&mut json, Ascii, value);
    PyString::new(py, &String::from_utf8_lossy(&json))
}
