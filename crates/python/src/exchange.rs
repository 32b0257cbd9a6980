//! `Exchange`: the bytes sent and received for one request; and how to get a row's body from them.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::body;
use crate::shown::version_text;

/// One request and its response as sent and received. HTTP/2 is written as HTTP/1.1.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct Exchange(hurtle_engine::Exchange);

impl Exchange {
    pub(crate) fn new(inner: hurtle_engine::Exchange) -> Self {
        Self(inner)
    }
}

#[pymethods]
impl Exchange {
    /// The requested URL.
    #[getter]
    fn url(&self) -> &str {
        &self.0.url
    }

    /// Start, in microseconds since 1970-01-01 UTC.
    #[getter]
    fn started_us(&self) -> i64 {
        self.0.started_us
    }

    /// The peer's address.
    #[getter]
    fn remote_ip(&self) -> Option<String> {
        self.0.remote.map(|address| address.to_string())
    }

    /// HTTP version of the response: "1.0", "1.1" or "2".
    #[getter]
    fn http_version(&self) -> &'static str {
        version_text(self.0.version)
    }

    /// Head and body as sent.
    #[getter]
    fn request<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.request)
    }

    /// Head and body as received, with their framing and content codings, without interim responses.
    #[getter]
    fn response<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.response)
    }

    /// Where the body begins in `response`.
    #[getter]
    fn body_at(&self) -> usize {
        self.0.body_at
    }

    /// Why the body is a prefix: "length", "time" or "disconnect".
    #[getter]
    fn truncated(&self) -> Option<&'static str> {
        self.0.truncated.map(hurtle_engine::Truncated::as_str)
    }
}

/// Return a body that was kept as received, decoded: its first bytes, or all of it if it has to be `whole`.
///
/// Raises `ValueError` if it is not in its content coding, or not whole.
#[pyfunction]
#[pyo3(signature = (body, content_encoding, max_bytes, *, whole=false))]
pub(crate) fn decode_body(
    py: Python<'_>,
    body: &[u8],
    content_encoding: &str,
    max_bytes: u64,
    whole: bool,
) -> PyResult<Py<PyBytes>> {
    body::decoded(py, body.to_vec(), content_encoding, max_bytes, whole)
}
