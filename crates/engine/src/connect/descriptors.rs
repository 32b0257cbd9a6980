//! How many connections the process may have open: the rest of its descriptors is for files, names and other code.

/// The share of all descriptors that connections leave to others, and the least and the most of it.
const RESERVE_SHARE: u64 = 8;
const RESERVE: (u64, u64) = (16, 4096);
/// The share of connections that may be idle, of all.
const IDLE_SHARE: u64 = 4;

/// What the descriptors of this process allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Requests in flight.
    pub(crate) in_flight: u32,
    /// Idle connections.
    pub(crate) idle: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard one, and divides what is not in use.
    pub(crate) fn of_process() -> Self {
        raise_limit()
            .map_or(Self { in_flight: u32::MAX, idle: usize::MAX }, |limit| Self::of(limit, in_use()))
    }

    /// Of `limit` descriptors, with `used` in use by others.
    fn of(limit: u64, used: u64) -> Self {
        let reserve = (limit / RESERVE_SHARE).clamp(RESERVE.0, RESERVE.1);
        let connections = limit.saturating_sub(used.saturating_add(reserve)).max(1);
        let idle = connections / IDLE_SHARE;
        let in_flight = u32::try_from((connections - idle).max(1)).unwrap_or(u32::MAX);
        Self { in_flight, idle: usize::try_from(idle).unwrap_or(usize::MAX) }
    }
}

/// Raises this process's soft limit on open files to the hard one. Returns the limit that then applies; none where
/// the system has no such limit or does not report it.
#[cfg(unix)]
fn raise_limit() -> Option<u64> {
    let (soft, _) = rlimit::Resource::NOFILE.get().ok()?;
    Some(rlimit::increase_nofile_limit(u64::MAX).unwrap_or(soft))
}

/// Does nothing: sockets are not counted on this system.
#[cfg(not(unix))]
fn raise_limit() -> Option<u64> {
    None
}

/// Descriptors in use, as far as the system reports them.
fn in_use() -> u64 {
    ["/proc/self/fd", "/dev/fd"]
        .iter()
        .find_map(|folder| Some(std::fs::read_dir(folder).ok()?.count() as u64))
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_some_to_the_rest_of_the_process() {
        assert_eq!(Descriptors::of(64, 20), Descriptors { in_flight: 21, idle: 7 });
        assert_eq!(Descriptors::of(1024, 20), Descriptors { in_flight: 657, idle: 219 });
        let many = Descriptors::of(1 << 20, 20);
        assert_eq!(u64::from(many.in_flight) + many.idle as u64, (1 << 20) - 20 - 4096);
        assert_eq!(Descriptors::of(16, 200), Descriptors { in_flight: 1, idle: 0 });
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_on_open_files_is_the_hard_one() {
        let limit = raise_limit().unwrap();
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        assert_eq!(soft, limit);
        assert!(soft == hard || cfg!(target_os = "macos"));
        assert!(in_use() > 2);
    }
}
