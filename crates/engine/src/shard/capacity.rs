//! How many requests in flight this machine can handle, found by trying, for `concurrency="auto"`.
//!
//! Failures of single hosts say nothing about the machine; failures of many at once do: with a full uplink, names,
//! handshakes and first bytes time out everywhere. Grows as TCP does (RFC 5681), within what the system allows.

use std::time::Instant;

/// However many descriptors there are, no machine works well with more.
pub(super) const MOST: u32 = 8192;
/// The first limit.
pub(super) const FIRST: u32 = 256;
/// More failures than this share do not come from the list of URLs alone.
const TROUBLED_SHARE: f64 = 0.2;
/// The part of the limit that a cut leaves.
const CUT: f64 = 0.7;

/// The adaptive limit over all hosts.
#[derive(Debug)]
pub(crate) struct Capacity {
    limit: f64,
    most: f64,
    slow_start: bool,
    last_cut: Option<Instant>,
    ended: u32,
    troubled: u32,
}

impl Capacity {
    /// `most`: what descriptors and memory allow.
    pub(crate) fn new(most: u32) -> Self {
        let most = f64::from(most.clamp(1, MOST));
        Self {
            limit: f64::from(FIRST).min(most),
            most,
            slow_start: true,
            last_cut: None,
            ended: 0,
            troubled: 0,
        }
    }

    /// The current limit.
    pub(crate) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// An attempt that began at `started` has ended. `in_use`: more would have been sent if the limit were higher.
    pub(crate) fn ended(&mut self, troubled: bool, in_use: bool, started: Instant, now: Instant) {
        if self.last_cut.is_some_and(|cut| started < cut) {
            return;
        }
        self.ended += 1;
        self.troubled += u32::from(troubled);
        if !troubled && in_use {
            let step = if self.slow_start { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + step).min(self.most);
        }
        if self.ended >= self.limit() {
            if f64::from(self.troubled) > TROUBLED_SHARE * f64::from(self.ended) {
                self.cut(now);
            }
            (self.ended, self.troubled) = (0, 0);
        }
    }

    /// This machine lacked a descriptor or a port.
    pub(crate) fn lacked(&mut self, started: Instant, now: Instant) {
        if self.last_cut.is_none_or(|cut| started >= cut) {
            self.most = self.limit;
            self.cut(now);
        }
    }

    fn cut(&mut self, now: Instant) {
        self.limit = (self.limit * CUT).max(1.0);
        self.slow_start = false;
        self.last_cut = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn round(capacity: &mut Capacity, at: Instant, troubled_of_ten: u32) {
        for n in 0..capacity.limit() {
            capacity.ended(n % 10 < troubled_of_ten, true, at, at + Duration::from_millis(1));
        }
    }

    #[test]
    fn it_grows_while_it_is_used_up_to_what_the_machine_has() {
        let (mut capacity, now) = (Capacity::new(1000), Instant::now());
        round(&mut capacity, now, 0);
        assert_eq!(capacity.limit(), 512);
        round(&mut capacity, now, 0);
        assert_eq!(capacity.limit(), 1000);
        let (mut idle, now) = (Capacity::new(1000), Instant::now());
        (0..1000).for_each(|_| idle.ended(false, false, now, now));
        assert_eq!(idle.limit(), 256);
    }

    #[test]
    fn a_tenth_of_bad_hosts_is_no_reason_and_a_third_is() {
        let (mut capacity, now) = (Capacity::new(1000), Instant::now());
        round(&mut capacity, now, 1);
        assert!(capacity.limit() > 400);
        let before = capacity.limit();
        // Growth lengthens the round: two rounds include a whole one.
        round(&mut capacity, now, 3);
        round(&mut capacity, now, 3);
        assert!(capacity.limit() < before + before / 2, "{}", capacity.limit());
        assert!(!capacity.slow_start);
    }

    #[test]
    fn a_machine_that_lacks_descriptors_has_shown_its_limit() {
        let (mut capacity, before) = (Capacity::new(1000), Instant::now());
        let now = before + Duration::from_millis(1);
        capacity.lacked(now, now);
        assert_eq!(capacity.limit(), 179);
        capacity.lacked(before, now);
        assert_eq!(capacity.limit(), 179);
        (0..100).for_each(|_| round(&mut capacity, now + Duration::from_secs(1), 0));
        assert!(capacity.limit() <= 256);
    }
}
