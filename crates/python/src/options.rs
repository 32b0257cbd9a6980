//! Reads `hurtle.options.Options`: every option, whole, attribute by attribute.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use hurtle_engine::{
    Concurrency, ConfigError, Failure, Http2, IDEMPOTENT_METHODS, KeepOnRedirect, LimitBy, Limits,
    OnOversize, Options, Rate, RateLimit, Refused, RetryPolicy, Routes, Timeouts, Verify, host_name,
};
use ipnet::IpNet;
use pyo3::IntoPyObjectExt;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::errors::config_error;

/// What redirects may take along beside headers.
const BODY: &str = "body";

/// Reads the options.
pub(crate) fn extract(options: &Bound<'_, PyAny>) -> PyResult<Options> {
    let py = options.py();
    let headers: Vec<(String, String)> = get(options, "headers")?;
    let headers = headers
        .iter()
        .map(|(name, value)| header(name, value).map_err(|reason| wrong(py, "headers", reason)));
    Ok(Options {
        concurrency: concurrency(&options.getattr("concurrency")?)?,
        concurrency_per_host: concurrency(&options.getattr("concurrency_per_host")?)?,
        rate_limit: rate_limit(&options.getattr("rate_limit")?)?,
        rate_limit_per_host: rate_limit(&options.getattr("rate_limit_per_host")?)?,
        limit_by: limit_by(&options.getattr("limit_by")?),
        hosts: hosts(&options.getattr("hosts")?)?,
        robots: get(options, "robots")?,
        strict: get(options, "strict")?,
        timeout: Timeouts {
            total: seconds(options, "timeout_total")?,
            connect: seconds(options, "timeout_connect")?,
            first_byte: seconds(options, "timeout_first_byte")?,
            read: seconds(options, "timeout_read")?,
        },
        deadline: seconds(options, "deadline")?,
        retries: retries(options)?,
        follow_redirects: get(options, "follow_redirects")?,
        max_redirects: get(options, "max_redirects")?,
        keep_on_redirect: keep_on_redirect(options)?,
        https_only: get(options, "https_only")?,
        block_private: get(options, "block_private")?,
        allow_private: networks(options)?,
        routes: routes(options)?,
        verify: verify(&options.getattr("verify")?)?,
        http2: http2(&options.getattr("http2")?),
        max_body_size: get(options, "max_body_size")?,
        on_oversize: if get(options, "truncate_oversize")? {
            OnOversize::Truncate
        } else {
            OnOversize::Error
        },
        decode_content: get(options, "decode_content")?,
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

fn wrong(py: Python<'_>, option: &'static str, reason: String) -> PyErr {
    config_error(py, &ConfigError { option, reason })
}

fn is_text(value: &Bound<'_, PyAny>, text: &str) -> bool {
    value.cast::<PyString>().is_ok_and(|value| value == text)
}

/// A whole number, or `"auto"`.
fn concurrency(value: &Bound<'_, PyAny>) -> PyResult<Concurrency> {
    if is_text(value, "auto") {
        return Ok(Concurrency::Auto);
    }
    value.extract().map(Concurrency::Fixed)
}

/// A `hurtle.rates.Rate`, `"auto"`, or None and `"none"` for no limit.
fn rate_limit(value: &Bound<'_, PyAny>) -> PyResult<RateLimit> {
    if value.is_none() || is_text(value, "none") {
        return Ok(RateLimit::Unlimited);
    }
    if is_text(value, "auto") {
        return Ok(RateLimit::Auto);
    }
    let per = Duration::from_secs_f64(get(value, "per")?);
    Ok(RateLimit::Fixed(Rate { count: get(value, "count")?, per, burst: get(value, "burst")? }))
}

/// Pairs of a name, or of several names that share their limits, and `hurtle.limits.Limits`. Each name gets the form it
/// has in a parsed URL.
fn hosts(pairs: &Bound<'_, PyAny>) -> PyResult<Vec<(Box<str>, Limits)>> {
    let py = pairs.py();
    let pairs: Vec<(String, Bound<'_, PyAny>)> = pairs.extract()?;
    let mut written = HashMap::with_capacity(pairs.len());
    let mut hosts = Vec::with_capacity(pairs.len());
    for (texts, limits) in &pairs {
        let mut names = Vec::new();
        for text in texts.split(", ") {
            let name = name_or_pattern(text).map_err(|failure| {
                wrong(py, "hosts", format!("{text:?} is not a host name: {}", failure.detail))
            })?;
            if let Some(other) = written.insert(name.clone(), text) {
                return Err(wrong(py, "hosts", format!("{other:?} and {text:?} are the same host")));
            }
            names.push(name);
        }
        let of_host = |field| limits.getattr(field).map(|value| (!value.is_none()).then_some(value));
        let limits = Limits {
            concurrency: of_host("concurrency")?.as_ref().map(concurrency).transpose()?,
            rate_limit: of_host("rate_limit")?.as_ref().map(rate_limit).transpose()?,
            shared: get(limits, "shared")?,
        };
        hosts.push((names.join(", ").into(), limits));
    }
    Ok(hosts)
}

/// `"host"`, `"domain"` or `"ip"`.
fn limit_by(value: &Bound<'_, PyAny>) -> LimitBy {
    if is_text(value, "domain") {
        LimitBy::Domain
    } else if is_text(value, "ip") {
        LimitBy::Ip
    } else {
        LimitBy::Host
    }
}

/// A host's name, or `*.` and a name for all below it.
fn name_or_pattern(text: &str) -> Result<Box<str>, Failure> {
    match text.strip_prefix("*.") {
        Some(rest) => host_name(rest).map(|name| format!("*.{name}").into()),
        None => host_name(text),
    }
}

fn retries(options: &Bound<'_, PyAny>) -> PyResult<RetryPolicy> {
    let methods: Option<Vec<String>> = get(options, "retry_methods")?;
    let methods = match methods {
        Some(methods) => methods
            .iter()
            .map(|name| {
                let no_method = |_| wrong(options.py(), "retries", format!("{name:?} is no method"));
                Method::from_bytes(name.as_bytes()).map_err(no_method)
            })
            .collect::<PyResult<_>>()?,
        None => RetryPolicy::default().methods,
    };
    Ok(RetryPolicy {
        total: get(options, "retry_total")?,
        statuses: get(options, "retry_statuses")?,
        methods,
        backoff: Duration::from_secs_f64(get(options, "retry_backoff")?),
        max_backoff: Duration::from_secs_f64(get(options, "retry_max_backoff")?),
        jitter: get(options, "retry_jitter")?,
        respect_retry_after: get(options, "retry_respect_retry_after")?,
        max_retry_after: Duration::from_secs_f64(get(options, "retry_max_retry_after")?),
        patience: seconds(options, "retry_patience")?,
        refused: if is_text(&options.getattr("retry_refused")?, "idempotent") {
            Refused::Idempotent
        } else {
            Refused::Any
        },
        rounds: get(options, "retry_rounds")?,
    })
}

/// Names of headers, and `"body"` for the body.
fn keep_on_redirect(options: &Bound<'_, PyAny>) -> PyResult<KeepOnRedirect> {
    let names: Vec<String> = get(options, "keep_on_redirect")?;
    let mut keep = KeepOnRedirect::default();
    for name in &names {
        if name == BODY {
            keep.body = true;
            continue;
        }
        let no_header = |_| wrong(options.py(), "keep_on_redirect", format!("{name:?} is no header name"));
        keep.headers.push(HeaderName::from_bytes(name.as_bytes()).map_err(no_header)?);
    }
    Ok(keep)
}

/// Networks as text: `10.0.0.0/8`.
fn networks(options: &Bound<'_, PyAny>) -> PyResult<Vec<IpNet>> {
    let texts: Vec<String> = get(options, "allow_private")?;
    let network = |text: &String| {
        let no_network = |_| wrong(options.py(), "allow_private", format!("{text:?} is no network"));
        text.parse().map_err(no_network)
    };
    texts.iter().map(network).collect()
}

/// Pairs of a pattern and proxies.
fn routes(options: &Bound<'_, PyAny>) -> PyResult<Routes> {
    let rules: Vec<(String, Vec<String>)> = get(options, "routes")?;
    let mut routes = Routes::default();
    for (pattern, through) in &rules {
        routes.add(pattern, through).map_err(|why| wrong(options.py(), "proxy", why))?;
    }
    Ok(routes)
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
    let known =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not a header name"))?;
    let mut value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| format!("the value of {name:?} contains a line break or another control character"))?;
    value.set_sensitive(known == http::header::AUTHORIZATION || known == http::header::COOKIE);
    Ok((known, value))
}

/// The engine's defaults by option name; times in seconds.
#[pyfunction]
pub(crate) fn option_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let options = Options::default();
    let secs = |value: Option<Duration>| value.map(|value| value.as_secs_f64());
    let defaults = PyDict::new(py);
    defaults.set_item("concurrency", shown_concurrency(py, options.concurrency)?)?;
    defaults.set_item("concurrency_per_host", shown_concurrency(py, options.concurrency_per_host)?)?;
    defaults.set_item("rate_limit", shown_rate_limit(options.rate_limit))?;
    defaults.set_item("rate_limit_per_host", shown_rate_limit(options.rate_limit_per_host))?;
    defaults.set_item("limit_by", if options.limit_by == LimitBy::Host { "host" } else { "other" })?;
    defaults.set_item("hosts", PyList::new(py, options.hosts.iter().map(|(name, _)| &**name))?)?;
    defaults.set_item("robots", options.robots)?;
    defaults.set_item("strict", options.strict)?;
    defaults.set_item("timeout_total", secs(options.timeout.total))?;
    defaults.set_item("timeout_connect", secs(options.timeout.connect))?;
    defaults.set_item("timeout_first_byte", secs(options.timeout.first_byte))?;
    defaults.set_item("timeout_read", secs(options.timeout.read))?;
    defaults.set_item("deadline", secs(options.deadline))?;
    set_retry_defaults(&defaults, &options.retries)?;
    defaults.set_item("follow_redirects", options.follow_redirects)?;
    defaults.set_item("max_redirects", options.max_redirects)?;
    let kept: Vec<&str> = options.keep_on_redirect.headers.iter().map(HeaderName::as_str).collect();
    let body = options.keep_on_redirect.body.then_some(BODY);
    defaults.set_item("keep_on_redirect", kept.into_iter().chain(body).collect::<Vec<_>>())?;
    defaults.set_item("https_only", options.https_only)?;
    defaults.set_item("block_private", options.block_private)?;
    let allowed: Vec<String> = options.allow_private.iter().map(IpNet::to_string).collect();
    defaults.set_item("allow_private", allowed)?;
    defaults.set_item("routes", PyList::empty(py))?;
    defaults.set_item("verify", options.verify == Verify::System)?;
    defaults.set_item("http2", if options.http2 == Http2::Auto { "auto" } else { "other" })?;
    defaults.set_item("max_body_size", options.max_body_size)?;
    defaults.set_item("truncate_oversize", options.on_oversize == OnOversize::Truncate)?;
    defaults.set_item("decode_content", options.decode_content)?;
    defaults.set_item("params", options.params)?;
    defaults.set_item("max_buffer", options.max_buffer)?;
    defaults.set_item("threads", options.threads)?;
    Ok(defaults)
}

fn set_retry_defaults(defaults: &Bound<'_, PyDict>, retries: &RetryPolicy) -> PyResult<()> {
    let methods: Vec<&str> = retries.methods.iter().map(Method::as_str).collect();
    let methods = (methods != IDEMPOTENT_METHODS).then_some(methods);
    defaults.set_item("retry_total", retries.total)?;
    defaults.set_item("retry_statuses", &retries.statuses)?;
    defaults.set_item("retry_methods", methods)?;
    defaults.set_item("retry_backoff", retries.backoff.as_secs_f64())?;
    defaults.set_item("retry_max_backoff", retries.max_backoff.as_secs_f64())?;
    defaults.set_item("retry_jitter", retries.jitter)?;
    defaults.set_item("retry_respect_retry_after", retries.respect_retry_after)?;
    defaults.set_item("retry_max_retry_after", retries.max_retry_after.as_secs_f64())?;
    defaults.set_item("retry_patience", retries.patience.map(|patience| patience.as_secs_f64()))?;
    defaults.set_item("retry_refused", if retries.refused == Refused::Any { "any" } else { "idempotent" })?;
    defaults.set_item("retry_rounds", retries.rounds)
}

fn shown_concurrency(py: Python<'_>, value: Concurrency) -> PyResult<Bound<'_, PyAny>> {
    match value {
        Concurrency::Fixed(count) => count.into_bound_py_any(py),
        Concurrency::Auto => "auto".into_bound_py_any(py),
    }
}

/// None for no limit, as in Python. A default is either that or `"auto"`; Python has no others.
fn shown_rate_limit(value: RateLimit) -> Option<&'static str> {
    match value {
        RateLimit::Unlimited => None,
        RateLimit::Auto => Some("auto"),
        RateLimit::Fixed(_) => Some("fixed"),
    }
}
