//! What each answer adds to what is known of a host's quota and its period.

use std::time::{Duration, Instant};

use super::cycle::{Opening, Trial};
use super::period::{NEXT_PERIOD, supposed};
use super::{AHEAD, FIRST_HOLD, LONG_PERIOD, LONGEST_HOLD, ROUNDED_DOWN, Refusals};

/// What a refusal adds to the doubt whether there is a quota and a period at all, where the host should have taken the
/// request by what is known of both, and at how much doubt all that is forgotten. A period that is as it should be takes
/// one away.
const DOUBT: u32 = 4;
const MOST_DOUBT: u32 = 12;

impl Refusals {
    /// The first request of a cycle was accepted: the host's period is no longer than from the cycle before.
    pub(super) fn note_period(&mut self) {
        (self.is_low, self.is_used_up) = (false, false);
        if let Some(last) = self.last {
            let passed = self.passed_since(&last);
            // One that is shorter by a little is the same, measured by other clocks.
            let is_shorter = self.high.is_none_or(|high| passed < high.mul_f64(0.97));
            let is_new = self.high.is_none();
            if is_shorter {
                self.high = Some(passed);
            }
            if is_new && self.low.mul_f64(1.5) < passed && self.low >= LONG_PERIOD {
                self.cycle.trial = Trial::Low;
            }
            self.low = self.low.min(passed);
        }
        if self.unrounded().is_some() {
            self.cycle.trial = Trial::Sooner;
        }
        self.last = Some(Opening::at(self.cycle.began));
    }

    /// The first request after a wait, which went at `started`, was refused: the host's period is longer than that.
    pub(super) fn note_vain(&mut self, started: Instant) {
        if std::mem::take(&mut self.is_low) {
            (self.high, self.ahead) = (Some(supposed(self.low.mul_f64(NEXT_PERIOD))), AHEAD);
        }
        if let Some(last) = self.last_began() {
            self.low = started.saturating_duration_since(last);
            let longer = if self.in_vain == 1 {
                self.low.mul_f64(1.1)
            } else {
                supposed(self.low.mul_f64(NEXT_PERIOD))
            };
            // It is no longer than the host says.
            let told = Some(self.low + self.named + ROUNDED_DOWN).filter(|_| !self.named.is_zero());
            let longer = told.map_or(longer, |told| longer.min(told));
            self.high = self.high.map(|high| high.max(longer));
        }
        if self.quota.is_none() {
            self.stragglers = Some(self.beginning());
        }
    }

    /// The host took some, and then no more.
    pub(super) fn note_quota(&mut self) {
        let accepted = self.cycle.accepted;
        let quota = self.quota.unwrap_or(u32::MAX);
        match self.cycle.trial {
            Trial::More => self.quota = Some(quota.max(accepted)),
            Trial::Sooner if accepted < quota => {
                // What the period before has taken still counts.
                self.low = self.period().unwrap_or(self.low);
                self.high = self.high.max(Some(self.low));
            }
            _ if accepted < quota && self.quota.is_some() && self.may_smear() => {
                self.ahead = 1;
                if self.names_a_period() {
                    self.high = Some(self.named);
                }
            }
            _ if self.ahead == 1 && accepted < quota && !self.named.is_zero() => {
                // An average does not start again with each cycle.
                self.quota = Some(accepted.max(quota.div_ceil(2)));
            }
            _ => {
                // Where there was no wait before it a part was used up before it began.
                let least = self.quota.filter(|_| self.cycle.follows).map_or(0, |quota| quota.div_ceil(2));
                self.quota = Some(accepted.max(least));
                self.stragglers = (accepted >= least).then(|| self.beginning());
                return;
            }
        }
        self.hold = (self.hold * 2).clamp(FIRST_HOLD, LONGEST_HOLD);
    }

    /// Whether its window may be no window but an average, in which a quota that is sent at once counts for longer: then
    /// it is to be spread over the whole period. Source: the sliding counters of go-chi/httprate.
    fn may_smear(&self) -> bool {
        self.ahead > 1 && self.high.is_some_and(|high| high >= LONG_PERIOD)
    }

    /// A refusal was not to be expected. Where that is so again and again there is no quota for each period: the host
    /// refuses at random, or goes by something else than how much it is asked.
    pub(super) fn note_doubt(&mut self) {
        self.doubt += DOUBT;
        if self.doubt >= MOST_DOUBT {
            (self.quota, self.high, self.low) = (None, None, Duration::ZERO);
            (self.ahead, self.pace, self.is_low) = (AHEAD, Duration::ZERO, false);
            (self.hold, self.unused, self.doubt) = (FIRST_HOLD, 0, 0);
            (self.last, self.stragglers) = (None, None);
        }
    }
}
