//! Which hosts share limits, for estimates.

use hurtle_engine::Groups;
use pyo3::prelude::*;

use crate::options;

/// Return the group of each host: its name, and the place of its limits in `options.hosts`.
///
/// The place is None if the general limits apply. Nothing is resolved: where limits are by address, each name is a group
/// of its own.
#[pyfunction]
pub(crate) fn groups_of(
    options: &Bound<'_, PyAny>,
    hosts: Vec<String>,
) -> PyResult<Vec<(String, Option<usize>)>> {
    let groups = Groups::new(&options::extract(options)?);
    Ok(hosts.into_iter().map(|host| groups.of(&host)).collect())
}
