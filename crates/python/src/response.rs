//! `Response`: one finished request. Attributes that are rarely used are computed on access.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use hurtle_engine::{AttemptRecord, OwnedRow, Truncated};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

use crate::body::{self, BodyFile};
use crate::charset;
use crate::errors::{Imported, request_error};
use crate::shown::{phases, text_of_header, version_text};

static HEADERS: Imported = Imported::new("hurtle.models", "Headers");
static HOP: Imported = Imported::new("hurtle.models", "Hop");
static ATTEMPT: Imported = Imported::new("hurtle.models", "Attempt");
static TIMINGS: Imported = Imported::new("hurtle.models", "Timings");
static REQUEST: Imported = Imported::new("hurtle.models", "Request");
static STATUS_ERROR: Imported = Imported::new("hurtle.errors", "StatusError");
static SAVE: Imported = Imported::new("hurtle.disk", "save");
static SAVE_FILE: Imported = Imported::new("hurtle.disk", "save_file");
static JSON_LOADS: Imported = Imported::new("json", "loads");

/// One finished request: its response, or why there is none.
#[pyclass(frozen, weakref, module = "hurtle._engine")]
pub(crate) struct Response {
    row: OwnedRow,
    content: PyOnceLock<Py<PyBytes>>,
    /// A large body until it is asked for: then it becomes the content.
    body: Mutex<Option<Bytes>>,
    /// The `Request` of the row, if that is more than a URL.
    object: Option<Py<PyAny>>,
    headers: PyOnceLock<Py<PyAny>>,
    text: PyOnceLock<Py<PyString>>,
    error: PyOnceLock<Py<PyAny>>,
}

impl Response {
    /// `body`: a large one as it is, or a small one as Python sees it.
    pub(crate) fn new(
        py: Python<'_>,
        row: OwnedRow,
        body: Result<Bytes, Py<PyBytes>>,
        object: Option<Py<PyAny>>,
    ) -> Self {
        let content = PyOnceLock::new();
        let body = match body {
            Ok(large) => Some(large),
            Err(coded) if row.view().body_encoding().is_some() => {
                Some(Bytes::copy_from_slice(coded.as_bytes(py)))
            }
            Err(small) => {
                if row.row().file().is_none() {
                    content.set(py, small).unwrap_or_default();
                }
                None
            }
        };
        Self {
            row,
            content,
            body: Mutex::new(body),
            object,
            headers: PyOnceLock::new(),
            text: PyOnceLock::new(),
            error: PyOnceLock::new(),
        }
    }

    /// The body as Python sees it, from the disk if it is there.
    fn bytes(&self, py: Python<'_>) -> PyResult<&Py<PyBytes>> {
        self.content.get_or_try_init(py, || {
            if let Some(file) = self.row.row().file() {
                let body = py.detach(|| std::fs::read(file.path()))?;
                return Ok(PyBytes::new(py, &body).unbind());
            }
            let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            match self.row.view().body_encoding() {
                Some(codings) => {
                    let is_whole = self.row.row().truncated.is_none();
                    body::decoded(py, body.into(), codings, body::DECODED_AT_MOST, is_whole)
                }
                None => Ok(PyBytes::new(py, &body).unbind()),
            }
        })
    }

    /// A large body that is not the content yet.
    fn large(&self, py: Python<'_>) -> Option<Bytes> {
        if self.content.get(py).is_some() || self.row.view().body_encoding().is_some() {
            return None;
        }
        self.body.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `read` makes of the body, which is not copied for it.
    fn with_body<T>(&self, py: Python<'_>, read: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
        Ok(match self.large(py) {
            Some(body) => read(&body),
            None => read(self.bytes(py)?.as_bytes(py)),
        })
    }

    /// An attribute of the row's Request, if there is one. A row that was not a request has none.
    fn of_object<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(object) = &self.object else { return Ok(None) };
        object.bind(py).getattr_opt(name)
    }

    fn header(&self, wanted: &str) -> Option<&[u8]> {
        self.row.view().headers().find(|(name, _)| *name == wanted).map(|(_, value)| value)
    }

    fn content_type(&self) -> &[u8] {
        self.header("content-type").unwrap_or_default()
    }
}

#[pymethods]
impl Response {
    /// Position in the input, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.row.row().index
    }

    /// The caller's id; the index where there is none.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        let id = self.of_object(py, "id")?.map(|id| id.extract::<Option<String>>()).transpose()?.flatten();
        Ok(id.unwrap_or_else(|| self.row.row().index.to_string()))
    }

    /// The caller's passthrough.
    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_object(py, "meta")
    }

    /// The request.
    #[getter]
    fn request<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.object {
            Some(object) => Ok(object.bind(py).clone()),
            None => REQUEST.get(py)?.call1((self.row.view().url(),)),
        }
    }

    /// The method.
    #[getter]
    fn method(&self) -> &str {
        self.row.row().method.as_str()
    }

    /// The requested URL.
    #[getter]
    fn url(&self) -> &str {
        self.row.view().url()
    }

    /// The URL after redirects.
    #[getter]
    fn final_url(&self) -> &str {
        self.row.view().final_url()
    }

    /// The redirects that were followed, in order.
    #[getter]
    fn redirects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let hops = self.row.row().extra.as_ref().map(|extra| extra.hops.as_slice()).unwrap_or_default();
        let class = HOP.get(py)?;
        let hops: Vec<_> = hops
            .iter()
            .map(|hop| {
                let fields = PyDict::new(py);
                fields.set_item("url", &*hop.url)?;
                fields.set_item("status", hop.status)?;
                class.call((), Some(&fields))
            })
            .collect::<PyResult<_>>()?;
        PyTuple::new(py, hops)
    }

    /// An alias of `redirects`.
    #[getter]
    fn history<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.redirects(py)
    }

    /// Whether the response is complete and its status is below 400.
    #[getter]
    fn ok(&self) -> bool {
        self.row.row().ok()
    }

    /// The status code.
    #[getter]
    fn status(&self) -> Option<u16> {
        self.row.row().status
    }

    /// An alias of `status`.
    #[getter]
    fn status_code(&self) -> Option<u16> {
        self.row.row().status
    }

    /// The reason phrase.
    #[getter]
    fn reason(&self) -> Option<Cow<'_, str>> {
        let own = self.row.view().reason();
        if !own.is_empty() {
            return Some(String::from_utf8_lossy(own));
        }
        let status = StatusCode::from_u16(self.row.row().status?).ok()?;
        Some(Cow::Borrowed(status.canonical_reason().unwrap_or_default()))
    }

    /// The headers of the response.
    #[getter]
    fn headers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let headers = self.headers.get_or_try_init(py, || {
            let pairs = PyList::empty(py);
            for (name, value) in self.row.view().headers() {
                pairs.append((name, text_of_header(value)))?;
            }
            PyResult::Ok(HEADERS.get(py)?.call1((pairs,))?.unbind())
        })?;
        Ok(headers.clone_ref(py))
    }

    /// The body, without the content codings that were undone.
    #[getter]
    fn content(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        Ok(self.bytes(py)?.clone_ref(py))
    }

    /// The body on the disk, if it is there.
    #[getter]
    fn body_file(&self) -> Option<BodyFile> {
        self.row.row().file().map(|file| BodyFile(Arc::clone(file)))
    }

    /// Write the body to a file, which appears when it is complete.
    fn stream_to(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.row.row().file() {
            Some(file) => SAVE_FILE.get(py)?.call1((file.path(), path))?,
            None => SAVE.get(py)?.call1((self.bytes(py)?, path))?,
        };
        Ok(())
    }

    /// The body, read-only, where it lies.
    #[getter]
    fn content_view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        match self.large(py) {
            Some(body) => body::view(py, body),
            None => PyMemoryView::from(self.bytes(py)?.bind(py)),
        }
    }

    /// The content codings that are still on the body.
    #[getter]
    fn encoding_left(&self) -> Option<&str> {
        self.row.view().encoding_left()
    }

    /// The encoding in which `text` reads the body.
    #[getter]
    fn encoding(&self, py: Python<'_>) -> PyResult<String> {
        let encoding = self.with_body(py, |body| charset::encoding_of(self.content_type(), body))?;
        Ok(encoding.name().to_ascii_lowercase())
    }

    /// The body as text.
    #[getter]
    fn text(&self, py: Python<'_>) -> PyResult<Py<PyString>> {
        let text = self.text.get_or_try_init(py, || {
            self.with_body(py, |body| {
                let encoding = charset::encoding_of(self.content_type(), body);
                PyString::new(py, &charset::decoded(encoding, body)).unbind()
            })
        })?;
        Ok(text.clone_ref(py))
    }

    /// The body as text in an encoding that the caller knows.
    fn text_as<'py>(&self, py: Python<'py>, label: &str) -> PyResult<Bound<'py, PyString>> {
        let encoding = charset::named(label.as_bytes()).ok_or_else(|| {
            PyValueError::new_err(format!(
                "text_as: {label:?} is not a label of the Encoding Standard, such as \"shift_jis\"; for other \
                 encodings decode content"
            ))
        })?;
        self.with_body(py, |body| PyString::new(py, &charset::decoded(encoding, body)))
    }

    /// Parse the body as JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (loads, content) = (JSON_LOADS.get(py)?, self.bytes(py)?);
        match charset::json_text(self.content_type(), content.as_bytes(py))? {
            Some(text) => loads.call1((text,)),
            None => loads.call1((content.bind(py),)),
        }
    }

    /// `1.0`, `1.1` or `2`.
    #[getter]
    fn http_version(&self) -> Option<&'static str> {
        self.row.row().version.map(version_text)
    }

    /// The address of the peer.
    #[getter]
    fn remote_ip(&self) -> Option<String> {
        self.row.row().remote.map(|address| address.to_string())
    }

    /// Attempts, including the first; 0 when nothing was sent.
    #[getter]
    fn attempts(&self) -> u32 {
        self.row.row().attempts
    }

    /// Attempts that the host refused because of how much it is asked.
    #[getter]
    fn throttled(&self) -> u32 {
        self.row.row().throttled
    }

    /// Every attempt, in order.
    #[getter]
    fn attempt_log<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let row = self.row.row();
        let earlier = row.extra.as_ref().map(|extra| extra.earlier.as_slice()).unwrap_or_default();
        let last = (row.attempts > 0).then(|| AttemptRecord {
            status: row.status,
            code: row.code,
            end: row.end,
            started_us: row.fetched_at_us,
            duration_us: row.timings.total.unwrap_or_default().as_micros() as u64,
            wait_us: row.wait_us,
        });
        let attempts: Vec<_> =
            earlier.iter().chain(&last).map(|record| attempt(py, record)).collect::<PyResult<_>>()?;
        PyTuple::new(py, attempts)
    }

    /// Seconds of the last attempt, from its start to the last byte.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.row.row().timings.total.unwrap_or_default().as_secs_f64()
    }

    /// Seconds of each phase of the last attempt.
    #[getter]
    fn timings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let fields = PyDict::new(py);
        for (name, value) in phases(&self.row.row().timings) {
            fields.set_item(name, value)?;
        }
        TIMINGS.get(py)?.call((), Some(&fields))
    }

    /// Bytes of the body as received, before decoding.
    #[getter]
    fn bytes_wire(&self) -> u64 {
        self.row.row().wire_bytes
    }

    /// Why the body is not whole: `length`, `time`, `disconnect`, `part`.
    #[getter]
    fn truncated(&self) -> Option<&'static str> {
        self.row.row().truncated.map(Truncated::as_str)
    }

    /// Why there is no complete response.
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let row = self.row.row();
        let Some(code) = row.code else { return Ok(None) };
        let error = self.error.get_or_try_init(py, || {
            let detail = self.row.view().detail();
            request_error(py, code, detail, row.phase, row.attempts).map(Bound::unbind)
        })?;
        Ok(Some(error.bind(py).clone()))
    }

    /// Raise the error, or a `StatusError` for a status of 400 or more; return self otherwise.
    fn raise_for_status(this: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = this.py();
        let response = this.get();
        if let Some(error) = response.error(py)? {
            return Err(PyErr::from_value(error));
        }
        if let Some(status) = response.status().filter(|&status| status >= 400) {
            let named = PyDict::new(py);
            named.set_item("attempts", response.attempts())?;
            let fields = (status, response.final_url(), response.reason());
            return Err(PyErr::from_value(STATUS_ERROR.get(py)?.call(fields, Some(&named))?));
        }
        Ok(this)
    }

    fn __repr__(&self) -> String {
        let row = self.row.row();
        let ended = match (row.code, row.status) {
            (Some(code), _) => code.as_str().to_owned(),
            (None, status) => status.map_or_else(String::new, |status| status.to_string()),
        };
        format!("<Response [{ended}] {}>", self.row.view().url())
    }
}

fn attempt<'py>(py: Python<'py>, record: &AttemptRecord) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("status", record.status)?;
    fields.set_item("code", record.code.map(hurtle_engine::Code::as_str))?;
    fields.set_item("ended", record.end.as_str())?;
    fields.set_item("start", record.started_us as f64 / 1e6)?;
    fields.set_item("seconds", record.duration_us as f64 / 1e6)?;
    fields.set_item("wait", record.wait_us as f64 / 1e6)?;
    ATTEMPT.get(py)?.call((), Some(&fields))
}
