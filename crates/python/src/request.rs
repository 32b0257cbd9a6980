//! Reads what a source yields: a URL, a `Request`, or a `BadRow`; with `dedupe` a `Group` around one of them; a
//! `Withheld` around one that must not be sent, a `Conditional` around one that an earlier run knows. If one of them
//! is wrong, its own row fails.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method};
use hurtle_engine::{Code, Failure, Spec, Submission, Timeouts};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::Imported;
use crate::options::header;

static BAD_ROW: Imported = Imported::new("hurtle.models", "BadRow");
static WITHHELD: Imported = Imported::new("hurtle.models", "Withheld");
static CONDITIONAL: Imported = Imported::new("hurtle.models", "Conditional");
static GROUP: Imported = Imported::new("hurtle.models", "Group");

/// Parameters of every request, and its limits unless it has its own.
pub(crate) struct Shared<'a> {
    pub(crate) params: Option<&'a str>,
    pub(crate) timeout: Timeouts,
}

/// The result of reading a list of items.
#[derive(Default)]
pub(crate) struct Reading {
    /// What goes to the engine.
    pub(crate) submissions: Vec<Submission>,
    /// The objects that their rows will need, by index.
    pub(crate) kept: Vec<(u64, Py<PyAny>)>,
}

impl Reading {
    /// Reads one item. `index` is its place in the input; a `Group` has its own.
    pub(crate) fn add(&mut self, item: &Bound<'_, PyAny>, index: u64, shared: &Shared<'_>) -> PyResult<()> {
        if !item.is_instance_of::<PyString>() && item.is_instance(GROUP.get(item.py())?)? {
            return self.add_group(item, shared);
        }
        self.submissions.push(read(item, index, shared)?);
        self.keep(item, index)
    }

    /// Reads a row and those that get its response.
    fn add_group(&mut self, group: &Bound<'_, PyAny>, shared: &Shared<'_>) -> PyResult<()> {
        let index: u64 = group.getattr("index")?.extract()?;
        let row = group.getattr("row")?;
        let mut first = read(&row, index, shared)?;
        self.keep(&row, index)?;
        let copies: Vec<(u64, Bound<'_, PyAny>)> = group.getattr("copies")?.extract()?;
        for (index, row) in copies {
            match &mut first {
                Submission::Send(request) => request.answer_also(index, &written_url(&row)?),
                // It has become invalid since it was compared: each of the rows fails on its own.
                Submission::Refuse { .. } => self.submissions.push(read(&row, index, shared)?),
            }
            self.keep(&row, index)?;
        }
        self.submissions.push(first);
        Ok(())
    }

    /// Plain text is not needed any more: its row repeats the URL. For a wrapped request the row shows the inner one.
    fn keep(&mut self, item: &Bound<'_, PyAny>, index: u64) -> PyResult<()> {
        let py = item.py();
        if item.is_instance_of::<PyString>() {
            return Ok(());
        }
        if item.is_instance(CONDITIONAL.get(py)?)? {
            return self.keep(&item.getattr("request")?, index);
        }
        let is_withheld = item.is_instance(WITHHELD.get(py)?)?;
        let kept = if is_withheld { item.getattr("request")? } else { item.clone() };
        self.kept.push((index, kept.unbind()));
        Ok(())
    }
}

fn written_url(row: &Bound<'_, PyAny>) -> PyResult<String> {
    if row.is_instance_of::<PyString>() { row.extract() } else { row.getattr("url")?.extract() }
}

/// Reads one row. Plain text is a GET.
pub(crate) fn read(item: &Bound<'_, PyAny>, index: u64, shared: &Shared<'_>) -> PyResult<Submission> {
    if let Ok(text) = item.cast::<PyString>() {
        return Ok(plain(text, index, shared));
    }
    if item.is_instance(BAD_ROW.get(item.py())?)? {
        return bad_row(item, index);
    }
    if item.is_instance(WITHHELD.get(item.py())?)? {
        return withheld(item, index);
    }
    if item.is_instance(CONDITIONAL.get(item.py())?)? {
        return conditional(item, index, shared);
    }
    let url: String = item.getattr("url")?.extract()?;
    let method: String = item.getattr("method")?.extract()?;
    Ok(match spec(item, &method, shared)? {
        Ok((spec, params)) => Submission::new(index, &url, Some(Box::new(spec)), params.as_deref()),
        Err(failure) => {
            let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
            Submission::refuse(index, method, &url, failure)
        }
    })
}

fn plain(text: &Bound<'_, PyString>, index: u64, shared: &Shared<'_>) -> Submission {
    if let Ok(url) = text.to_cow() {
        return Submission::new(index, &url, None, shared.params);
    }
    let failure = Failure::new(Code::InputUrl, "the URL contains a lone surrogate");
    Submission::refuse(index, Method::GET, &text.to_string_lossy(), failure)
}

fn bad_row(item: &Bound<'_, PyAny>, index: u64) -> PyResult<Submission> {
    let text: String = item.getattr("text")?.extract()?;
    let code: String = item.getattr("code")?.extract()?;
    let detail: String = item.getattr("detail")?.extract()?;
    let line: Option<u64> = item.getattr("line")?.extract()?;
    let code = known(&code).unwrap_or(Code::InputRow);
    let detail = line.map_or(detail.clone(), |line| format!("line {line}: {detail}"));
    Ok(Submission::refuse(index, Method::GET, &text, Failure::new(code, detail)))
}

/// A request that must not be sent: its row has its method, its URL, and the reason.
fn withheld(item: &Bound<'_, PyAny>, index: u64) -> PyResult<Submission> {
    let request = item.getattr("request")?;
    let method: String = request.getattr("method")?.extract()?;
    let code: String = item.getattr("code")?.extract()?;
    let detail: String = item.getattr("detail")?.extract()?;
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    let failure = Failure::new(known(&code).unwrap_or(Code::LocalSentUnknown), detail);
    Ok(Submission::refuse(index, method, &written_url(&request)?, failure))
}

/// A request with conditional headers, which check whether an earlier response is still valid.
fn conditional(item: &Bound<'_, PyAny>, index: u64, shared: &Shared<'_>) -> PyResult<Submission> {
    let mut submission = read(&item.getattr("request")?, index, shared)?;
    if let Submission::Send(request) = &mut submission {
        let url: Option<String> = item.getattr("url")?.extract()?;
        let headers: Vec<(String, String)> = item.getattr("headers")?.extract()?;
        // If its header cannot be sent, it is left out: the response is compared by its content.
        let headers = headers.iter().filter_map(|(name, value)| header(name, value).ok()).collect();
        request.ask_if(url.as_deref(), headers);
    }
    Ok(submission)
}

fn known(code: &str) -> Option<Code> {
    Code::ALL.iter().find(|known| known.as_str() == code).copied()
}

type SpecAndParams = (Spec, Option<String>);

/// The parts of a `Request` beyond its URL, and its query parameters; or why it cannot be sent.
fn spec(
    item: &Bound<'_, PyAny>,
    method: &str,
    shared: &Shared<'_>,
) -> PyResult<Result<SpecAndParams, Failure>> {
    let refuse = |words| Ok(Err(Failure::new(Code::InputHeader, words)));
    let method = match Method::from_bytes(method.as_bytes()) {
        Ok(Method::CONNECT) => {
            return refuse("method CONNECT is not supported: it opens a tunnel through a proxy".to_owned());
        }
        Ok(method) => method,
        Err(_) => return refuse(format!("{method:?} is not a method")),
    };
    let rendered = (|| {
        let params: Option<String> = item.call_method0("encoded_params")?.extract()?;
        let headers: Vec<(String, String)> = item.call_method0("header_items")?.extract()?;
        let body: Option<Vec<u8>> = item.call_method0("body")?.extract()?;
        let timeout: Option<f64> = item.getattr("timeout")?.extract()?;
        let priority: i32 = item.getattr("priority")?.extract()?;
        let decode_content: Option<bool> = item.getattr("decode_content")?.extract()?;
        PyResult::Ok((params, headers, body, timeout, Spec { priority, decode_content, ..Spec::default() }))
    })();
    let (params, headers, body, timeout, rest) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return refused(item.py(), error).map(Err),
    };
    let length = body.as_ref().map_or(0, Vec::len);
    let mut spec = Spec { method, body: body.map(Into::into), ..rest };
    for (name, value) in &headers {
        match header(name, value) {
            Ok((name, value)) if contradicts(&name, &value, length) => {
                return refuse(format!("{name} does not match the body: leave it out, hurtle sets it"));
            }
            Ok(header) => spec.headers.push(header),
            Err(reason) => return refuse(reason),
        }
    }
    if let Some(total) = timeout {
        spec.timeout = Some(Timeouts { total: Duration::try_from_secs_f64(total).ok(), ..shared.timeout });
    }
    let params = match (shared.params, params) {
        (Some(shared), Some(own)) => Some(format!("{shared}&{own}")),
        (shared, own) => own.or_else(|| shared.map(str::to_owned)),
    };
    Ok(Ok((spec, params)))
}

/// Whether a header declares another body than there is.
fn contradicts(name: &HeaderName, value: &HeaderValue, length: usize) -> bool {
    let says = value.to_str().unwrap_or_default();
    name == TRANSFER_ENCODING || (name == CONTENT_LENGTH && says.parse() != Ok(length))
}

/// A request that cannot be read fails alone, whatever its own code raises. Only exceptions for the whole program,
/// such as `KeyboardInterrupt`, propagate.
fn refused(py: Python<'_>, error: PyErr) -> PyResult<Failure> {
    if !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    let value = error.value(py);
    let detail = match value.getattr_opt("detail")? {
        Some(detail) => detail.extract().unwrap_or_else(|_| error.to_string()),
        None => error.to_string(),
    };
    Ok(Failure::new(Code::InputRow, detail))
}
