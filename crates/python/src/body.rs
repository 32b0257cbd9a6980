//! Bodies where they lie: in memory, and on the disk.

use std::borrow::Cow;
use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// The most that a body kept under its content codings has without them, unless the reader says otherwise: as
/// `max_body_size`.
pub(crate) const DECODED_AT_MOST: u64 = 64 << 20;

/// A body without its content codings; `whole`: it has to be whole.
///
/// # Errors
/// `ValueError`: it is not in its coding, not whole, or too large.
pub(crate) fn decoded(
    py: Python<'_>,
    body: Vec<u8>,
    codings: &str,
    most: u64,
    whole: bool,
) -> PyResult<Py<PyBytes>> {
    match py.detach(|| hurtle_engine::decode_body(codings, body, most, whole)) {
        Ok(decoded) => Ok(PyBytes::new(py, &decoded).unbind()),
        Err(failure) => Err(PyValueError::new_err(failure.detail.to_string())),
    }
}

/// The owner of the memory behind a `memoryview`.
#[pyclass(frozen, module = "hurtle._engine")]
struct Body {
    bytes: Bytes,
}

/// A read-only view of `bytes`, which live as long as it does.
pub(crate) fn view(py: Python<'_>, bytes: Bytes) -> PyResult<Bound<'_, PyMemoryView>> {
    PyMemoryView::from(Bound::new(py, Body { bytes })?.as_any())
}

#[pymethods]
impl Body {
    /// The buffer protocol. Source: <https://docs.python.org/3/c-api/buffer.html#c.PyBuffer_FillInfo>.
    #[expect(unsafe_code, reason = "the buffer protocol has no safe form")]
    unsafe fn __getbuffer__(this: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = &this.get().bytes;
        let Ok(length) = isize::try_from(bytes.len()) else {
            return Err(PyBufferError::new_err("the body is too long for a buffer"));
        };
        // SAFETY: Python passes a buffer to fill. It gets a reference to `this`, which is frozen and owns the bytes, and
        // it is told that they must not be written.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, this.as_ptr(), bytes.as_ptr().cast_mut().cast(), length, 1, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(this.py())) }
    }
}

/// A body on the disk. The file is removed with the last object that has it, unless it was renamed.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct BodyFile(pub(crate) Arc<hurtle_engine::BodyFile>);

#[pymethods]
impl BodyFile {
    /// Where it is.
    #[getter]
    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its length, in bytes.
    #[getter]
    fn nbytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Its SHA-256, if the job hashes bodies.
    #[getter]
    fn sha256(&self) -> Option<Cow<'_, [u8]>> {
        self.0.sha256().map(|digest| Cow::Borrowed(digest.as_slice()))
    }
}
