//! The identity of a request, known before anything is sent.

use hurtle_engine::{Request, Submission, Timeouts};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::request::{self, Shared};

/// Return for each row (host, whether encrypted, identity), or its error code.
///
/// Rows with the same identity send the same bytes, with the same timeout, and decode alike. `params` are added to every request,
/// already encoded.
#[pyfunction]
#[pyo3(signature = (rows, params=None))]
pub(crate) fn identify<'py>(rows: &Bound<'py, PyAny>, params: Option<&str>) -> PyResult<Bound<'py, PyList>> {
    let py = rows.py();
    let shared = Shared { params, timeout: Timeouts::default() };
    let found = PyList::empty(py);
    for row in rows.try_iter()? {
        match request::read(&row?, 0, &shared)? {
            Submission::Send(request) => {
                let identity = PyBytes::new(py, &identity(&request));
                found.append((request.host(), request.is_https(), identity))?;
            }
            Submission::Refuse { failure, .. } => found.append(PyString::new(py, failure.code.as_str()))?,
        }
    }
    Ok(found)
}

/// The request much as HTTP/1 would write it. No part can run into the next: a URL contains no space, a header no
/// line end, and the body comes last.
fn identity(request: &Request) -> Vec<u8> {
    let url = request.url().as_bytes();
    let mut text = Vec::with_capacity(url.len() + 8);
    text.extend_from_slice(request.method().as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(url);
    let Some(spec) = &request.spec else { return text };
    if let Some(total) = spec.timeout.and_then(|timeout| timeout.total) {
        text.extend_from_slice(format!(" {}", total.as_nanos()).as_bytes());
    }
    if let Some(decodes) = spec.decode_content {
        text.extend_from_slice(if decodes { b" decoded" } else { b" coded" });
    }
    for (name, value) in &spec.headers {
        text.push(b'\n');
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    }
    if let Some(body) = &spec.body {
        text.extend_from_slice(b"\n\n");
        text.extend_from_slice(body);
    }
    text
}
