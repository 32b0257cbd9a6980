//! Reads `hurtle.options.Options`: every option, whole, attribute by attribute.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use hurtle_engine::{ConfigError, Http2, OnOversize, Options, RetryPolicy, Timeouts, Verify};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::config_error;

/// Reads the options.
pub(crate) fn extract(options: &Bound<'_, PyAny>) -> PyResult<Options> {
    let py = options.py();
    let config = |option, reason: String| config_error(py, &ConfigError { option, reason });
    let methods: Vec<String> = get(options, "retry_methods")?;
    let methods = methods.iter().map(|name| {
        Method::from_bytes(name.as_bytes()).map_err(|_| config("retries", format!("{name:?} is no method")))
    });
    let headers: Vec<(String, String)> = get(options, "headers")?;
    let headers =
        headers.iter().map(|(name, value)| header(name, value).map_err(|reason| config("headers", reason)));
    Ok(Options {
        concurrency: get(options, "concurrency")?,
        concurrency_per_host: get(options, "concurrency_per_host")?,
        timeout: Timeouts {
            total: seconds(options, "timeout_total")?,
            connect: seconds(options, "timeout_connect")?,
            first_byte: seconds(options, "timeout_first_byte")?,
            read: seconds(options, "timeout_read")?,
        },
        deadline: seconds(options, "deadline")?,
        retries: RetryPolicy {
            total: get(options, "retry_total")?,
            statuses: get(options, "retry_statuses")?,
            methods: methods.collect::<PyResult<_>>()?,
            backoff: Duration::from_secs_f64(get(options, "retry_backoff")?),
            max_backoff: Duration::from_secs_f64(get(options, "retry_max_backoff")?),
            jitter: get(options, "retry_jitter")?,
        },
        follow_redirects: get(options, "follow_redirects")?,
        max_redirects: get(options, "max_redirects")?,
        verify: verify(&options.getattr("verify")?)?,
        http2: http2(&options.getattr("http2")?),
        max_body_size: get(options, "max_body_size")?,
        on_oversize: if get(options, "truncate_oversize")? {
            OnOversize::Truncate
        } else {
            OnOversize::Error
        },
        headers: headers.collect::<PyResult<_>>()?,
        params: get(options, "params")?,
        max_buffer: get(options, "max_buffer")?,
        threads: get(options, "threads")?,
    })
}

fn get<'py, T: FromPyObjectOwned<'py>>(options: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    options.getattr(name)?.extract().map_err(Into::into)
}

fn seconds(options: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Duration>> {
    let value: Option<f64> = get(options, name)?;
    Ok(value.and_then(|value| Duration::try_from_secs_f64(value).ok()))
}

fn verify(value: &Bound<'_, PyAny>) -> PyResult<Verify> {
    if let Ok(verify) = value.extract::<bool>() {
        return Ok(if verify { Verify::System } else { Verify::Nobody });
    }
    Ok(Verify::Bundle(value.extract()?))
}

fn http2(value: &Bound<'_, PyAny>) -> Http2 {
    if let Ok(http2) = value.extract::<bool>() {
        return if http2 { Http2::Always } else { Http2::Never };
    }
    Http2::Auto
}

/// A header as it can be sent, or why it cannot.
pub(crate) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
    let mut value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| format!("the value of {name:?} holds a line break or another control character"))?;
    value.set_sensitive(known == http::header::AUTHORIZATION || known == http::header::COOKIE);
    Ok((known, value))
}

/// The engine's defaults by option name; times in seconds.
#[pyfunction]
pub(crate) fn option_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let options = Options::default();
    let secs = |value: Option<Duration>| value.map(|value| value.as_secs_f64());
    let defaults = PyDict::new(py);
    defaults.set_item("concurrency", options.concurrency)?;
    defaults.set_item("concurrency_per_host", options.concurrency_per_host)?;
    defaults.set_item("timeout_total", secs(options.timeout.total))?;
    defaults.set_item("timeout_connect", secs(options.timeout.connect))?;
    defaults.set_item("timeout_first_byte", secs(options.timeout.first_byte))?;
    defaults.set_item("timeout_read", secs(options.timeout.read))?;
    defaults.set_item("deadline", secs(options.deadline))?;
    defaults.set_item("retry_total", options.retries.total)?;
    defaults.set_item("retry_statuses", options.retries.statuses)?;
    let methods: Vec<&str> = options.retries.methods.iter().map(Method::as_str).collect();
    defaults.set_item("retry_methods", methods)?;
    defaults.set_item("retry_backoff", options.retries.backoff.as_secs_f64())?;
    defaults.set_item("retry_max_backoff", options.retries.max_backoff.as_secs_f64())?;
    defaults.set_item("retry_jitter", options.retries.jitter)?;
    defaults.set_item("follow_redirects", options.follow_redirects)?;
    defaults.set_item("max_redirects", options.max_redirects)?;
    defaults.set_item("verify", options.verify == Verify::System)?;
    defaults.set_item("http2", if options.http2 == Http2::Auto { "auto" } else { "other" })?;
    defaults.set_item("max_body_size", options.max_body_size)?;
    defaults.set_item("truncate_oversize", options.on_oversize == OnOversize::Truncate)?;
    defaults.set_item("params", options.params)?;
    defaults.set_item("max_buffer", options.max_buffer)?;
    defaults.set_item("threads", options.threads)?;
    Ok(defaults)
}
