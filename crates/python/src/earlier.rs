//! What an earlier run has for each request: `find` says it.

mod store;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hurtle_engine::{Submission, Timeouts};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use self::store::{Known, Store};
use crate::request::{self, Shared};

const MOST_TEXT: usize = 1 << 16;

struct Table {
    store: Store,
    /// The names of runs: the earlier one, and those that it refers to.
    runs: Vec<String>,
    numbers: HashMap<String, u16>,
    /// How many rows of each run are referred to and not read yet.
    awaited: HashMap<u16, u64>,
    hashers: [RandomState; 2],
}

/// The newest whole response for each method and URL of an earlier run.
///
/// Memory: 16 bytes for each row; the rest is in a temporary file that disappears with the process.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct EarlierRows {
    table: Mutex<Table>,
}

#[pymethods]
impl EarlierRows {
    /// `name`: the caller's name for the run.
    #[new]
    fn new(name: String) -> PyResult<Self> {
        let numbers = HashMap::from([(name.clone(), 0)]);
        let hashers = [RandomState::new(), RandomState::new()];
        let (store, runs) = (Store::new()?, vec![name]);
        Ok(Self { table: Mutex::new(Table { store, runs, numbers, awaited: HashMap::new(), hashers }) })
    }

    /// The names of the runs that have the bodies: first the earlier one.
    #[getter]
    fn runs(&self) -> Vec<String> {
        self.table().runs.clone()
    }

    /// Add rows of the run, with the time when each was fetched, in microseconds, and the digest of its body.
    fn add(
        &self,
        rows: &Bound<'_, PyList>,
        fetched_us: Vec<i64>,
        digests: Vec<Option<Bound<'_, PyBytes>>>,
    ) -> PyResult<()> {
        let mut table = self.table();
        for ((row, fetched_us), digest) in rows.iter().zip(fetched_us).zip(digests) {
            let row = row.cast_into::<PyDict>()?;
            let mut known = table.read(&row, fetched_us, digest.as_ref())?;
            if let Some(run) = text(&row, "body_run")? {
                // Status and digest come from the row that has the body: `follow` adds them.
                (known.status, known.digest, known.run) = (None, None, table.number(run));
                known.at = integer(&row, "body_index")?;
            }
            if row_flag(&row, "redirects")? {
                known.moved = text(&row, "final_url")?;
            }
            table.store.add(&known)?;
        }
        Ok(())
    }

    /// Read from the rows of another run what this run's rows refer to.
    fn follow(
        &self,
        run: &str,
        rows: &Bound<'_, PyList>,
        fetched_us: Vec<i64>,
        digests: Vec<Option<Bound<'_, PyBytes>>>,
    ) -> PyResult<()> {
        let mut table = self.table();
        table.sort()?;
        let Some(&number) = table.numbers.get(run) else { return Ok(()) };
        for ((row, fetched_us), digest) in rows.iter().zip(fetched_us).zip(digests) {
            let row = row.cast_into::<PyDict>()?;
            let found = table.read(&row, fetched_us, digest.as_ref())?;
            let Some((place, mut known)) = table.store.find(found.key)? else { continue };
            // If an answer is newer than the row that refers to it, the row was compared with another one.
            if known.run != number || known.at != found.at || known.fetched_us < fetched_us {
                continue;
            }
            if known.status.is_none()
                && let Some(awaited) = table.awaited.get_mut(&number)
            {
                *awaited -= 1;
            }
            (known.status, known.digest) = (found.status, found.digest);
            known.etag = known.etag.or(found.etag);
            known.modified = known.modified.or(found.modified);
            let at = table.store.write(&known)?;
            table.store.replace(place, at);
        }
        Ok(())
    }

    /// Return a run that lacks a row that is referred to; None: there is none.
    fn dangling(&self) -> PyResult<Option<String>> {
        let mut table = self.table();
        table.sort()?;
        let without = table.awaited.iter().filter(|(_, awaited)| **awaited > 0).map(|(number, _)| *number);
        Ok(without.min().and_then(|number| table.runs.get(usize::from(number)).cloned()))
    }

    /// Return what the run has for a request: status, digest, `ETag`, `Last-Modified`, where redirects ended, the number
    /// of the run that has the body, the row's position there, and whether there were different answers.
    fn find<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        url: &Bound<'py, PyString>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let mut table = self.table();
        table.sort()?;
        let key = table.key(method, url)?;
        let Some((_, known)) = table.store.find(key)? else { return Ok(None) };
        let digest = known.digest.map(|digest| PyBytes::new(py, &digest));
        let found = (
            known.status.unwrap_or_default(),
            digest,
            known.etag,
            known.modified,
            known.moved,
            known.run,
            known.at,
            known.several,
        );
        Ok(Some(found.into_pyobject(py)?))
    }
}

impl EarlierRows {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn number(&mut self, run: String) -> u16 {
        if let Some(&number) = self.numbers.get(&run) {
            return number;
        }
        let number = u16::try_from(self.runs.len()).unwrap_or(u16::MAX);
        self.runs.push(run.clone());
        self.numbers.insert(run, number);
        number
    }

    /// Sorts the store, and counts what rows refer to.
    fn sort(&mut self) -> io::Result<()> {
        if !self.store.sort()? {
            return Ok(());
        }
        if self.runs.len() > 1 {
            for at in self.store.in_order() {
                let known = self.store.read(at)?;
                if known.status.is_none() {
                    *self.awaited.entry(known.run).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    fn read(
        &self,
        row: &Bound<'_, PyDict>,
        fetched_us: i64,
        digest: Option<&Bound<'_, PyBytes>>,
    ) -> PyResult<Known> {
        let method = text(row, "method")?.unwrap_or_default();
        let url = row.get_item("url")?;
        let url = url.as_ref().map(|url| url.cast::<PyString>()).transpose()?;
        let Some(url) = url else { return Err(missing("url")) };
        let (etag, modified) = validators(row)?;
        Ok(Known {
            key: self.key(&method, url)?,
            fetched_us,
            status: u16::try_from(integer(row, "status")?).ok(),
            digest: digest.and_then(|digest| digest.as_bytes().try_into().ok()),
            etag,
            modified,
            moved: None,
            run: 0,
            at: integer(row, "index")?,
            several: false,
        })
    }

    /// The key of a request: a hash of its method and of its URL in the form in which it is sent.
    fn key(&self, method: &str, url: &Bound<'_, PyString>) -> PyResult<[u64; 2]> {
        let shared = Shared { params: None, timeout: Timeouts::default() };
        let sent = match request::read(url.as_any(), 0, &shared)? {
            Submission::Send(request) => request.url().to_owned(),
            // An invalid URL stays as it is.
            Submission::Refuse { .. } => url.to_string_lossy().into_owned(),
        };
        Ok(self.hashers.each_ref().map(|hasher| hasher.hash_one((method, sent.as_str()))))
    }
}

fn text(row: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<String>> {
    match row.get_item(name)? {
        Some(value) if !value.is_none() => Ok(Some(value.cast::<PyString>()?.to_string_lossy().into_owned())),
        _ => Ok(None),
    }
}

fn integer(row: &Bound<'_, PyDict>, name: &str) -> PyResult<u64> {
    row.get_item(name)?.ok_or_else(|| missing(name))?.extract()
}

fn row_flag(row: &Bound<'_, PyDict>, name: &str) -> PyResult<bool> {
    row.get_item(name)?.map_or(Ok(false), |value| value.is_truthy())
}

fn missing(name: &str) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(format!("a row has no {name}"))
}

/// `ETag` and `Last-Modified`, each if it occurs once and is valid by RFC 9110, section 8.8.
fn validators(row: &Bound<'_, PyDict>) -> PyResult<(Option<String>, Option<String>)> {
    let (mut etags, mut dates) = (Vec::new(), Vec::new());
    if let Some(headers) = row.get_item("headers")?.filter(|headers| !headers.is_none()) {
        for field in headers.try_iter()? {
            let field = field?.cast_into::<PyDict>()?;
            let name = text(&field, "name")?.unwrap_or_default();
            let found = match () {
                () if name.eq_ignore_ascii_case("etag") => &mut etags,
                () if name.eq_ignore_ascii_case("last-modified") => &mut dates,
                () => continue,
            };
            found.extend(text(&field, "value")?);
        }
    }
    let alone = |mut texts: Vec<String>| if texts.len() == 1 { texts.pop() } else { None };
    let within = |text: &String| text.len() < MOST_TEXT;
    Ok((alone(etags).filter(within).filter(|tag| is_tag(tag)), alone(dates).filter(|date| is_date(date))))
}

fn is_tag(text: &str) -> bool {
    let quoted =
        text.strip_prefix("W/").unwrap_or(text).strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.is_some_and(|tag| tag.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e)))
}

/// Whether it looks as RFC 9110, section 5.6.7 prefers: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_date(text: &str) -> bool {
    const FORM: &[u8] = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    text.len() == FORM.len()
        && text.bytes().zip(FORM.iter().enumerate()).all(|(byte, (at, form))| match form {
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            b'0' => byte.is_ascii_digit(),
            _ => Some(&byte) == FORM.get(at),
        })
}
