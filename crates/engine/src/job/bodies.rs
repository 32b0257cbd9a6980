//! Bodies that are being read: how much each may hold, so that all of them and the rows that wait for the consumer
//! stay within the job's `max_buffer`, plus one body.
//!
//! A body may grow while there is room. Where there is none, one body at a time, the oldest that asks, may grow beyond
//! the limit: what the others hold stays within it, with the copy that a consumer makes of each. So no body waits for
//! ever, and no two exceed the limit. What has come counts, though, whether there was room for it or not: the pieces on
//! the way when bodies begin to wait, and the beginnings of bodies that are resumed. Where these alone exceed the limit,
//! one body at a time goes on as soon as all others wait.
//!
//! Small bodies are not counted: see [`FREE`].

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::JobState;

/// A body up to this size is not counted.
pub(crate) const FREE: u64 = 64 << 10;
/// A body that receives less than this in `STALLED` holds nobody else up: it keeps room for what it has, not for what
/// it has declared.
const PIECE: u64 = 64 << 10;
const STALLED: Duration = Duration::from_secs(1);
/// How often a body that waits looks for those that stall.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many bodies that do not fit are passed over in search of one that does.
const MISSES: usize = 32;

/// The row's position in the input, and a number: the order in which bodies get their turn.
type Age = (u64, u64);

/// What a job holds besides the bodies being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// The job's `max_buffer`.
    pub(super) max: u64,
    /// Rows that the consumer has not taken.
    pub(super) rows: u64,
    /// Rows that it has taken and may still use, and whether it is back for more.
    pub(super) in_hand: u64,
    pub(super) consumer_waits: bool,
    /// Rows that it cannot use before an earlier one, and the position of that one.
    pub(super) held_back: u64,
    pub(super) awaited: Option<u64>,
    /// The consumer may be waiting for another job: then nothing here may wait for the consumer.
    pub(super) other_jobs: bool,
}

#[derive(Debug)]
struct Body {
    held: u64,
    received: u64,
    /// When it had last received a piece, and how much it had then.
    moved: Instant,
    mark: u64,
    /// It waits to hold so much.
    wants: Option<(u64, Waker)>,
}

#[derive(Debug)]
struct Table {
    bodies: BTreeMap<Age, Body>,
    held: u64,
    /// The one that may exceed the limit.
    beyond: Option<Age>,
    next: u64,
    last_granted: Instant,
}

/// The bodies of one job.
#[derive(Debug)]
pub(super) struct Bodies {
    table: Mutex<Table>,
    /// How many wait; can be read without the lock.
    waiting: AtomicUsize,
}

impl Table {
    fn enter(&mut self, index: u64, now: Instant) -> Age {
        let age = (index, self.next);
        self.next += 1;
        self.bodies.insert(age, Body { held: 0, received: 0, moved: now, mark: 0, wants: None });
        age
    }

    /// What the others hold.
    fn others(&self, body: &Body) -> u64 {
        self.held - body.held
    }

    /// Whether a body may hold `to` bytes; the second: only as the one that exceeds the limit.
    fn fits(&self, age: Age, to: u64, room: &Room, now: Instant) -> Option<bool> {
        let body = self.bodies.get(&age)?;
        let beyond = self.beyond.filter(|beyond| *beyond != age).and_then(|beyond| self.bodies.get(&beyond));
        let counted = self.others(body) - beyond.map_or(0, |beyond| beyond.held) + to;
        let rows = room.rows + room.held_back + room.in_hand;
        if self.beyond != Some(age) && counted + rows <= room.max {
            return Some(false);
        }
        if room.awaited == Some(age.0) && room.held_back > 0 {
            // All that is held back waits for this one.
            return Some(beyond.is_none());
        }
        if beyond.is_some() {
            return None;
        }
        let in_hand = if room.consumer_waits { 0 } else { room.in_hand };
        // The row that those held back wait for may wait itself, for a permit that one of these bodies holds.
        let is_stuck = now.saturating_duration_since(self.last_granted) > STALLED;
        // Of a row in hand there are two copies for a while.
        let consumer = match () {
            () if room.other_jobs => 0,
            () if is_stuck => 2 * room.rows + in_hand,
            () => 2 * room.rows + room.held_back + in_hand,
        };
        let leaves_room = self.others(body) + self.copy_of_another(age, body) + consumer <= room.max;
        (leaves_room || (consumer == 0 && self.is_alone(age, now))).then_some(true)
    }

    /// Whether no other body can end: all of them wait, or receive nothing.
    fn is_alone(&self, age: Age, now: Instant) -> bool {
        let rests = |body: &Body| body.wants.is_some() || now.saturating_duration_since(body.moved) > STALLED;
        self.bodies.iter().all(|(other, body)| *other == age || rests(body))
    }

    /// What the largest of the other bodies takes a second time when it is done. The largest of all does not wait for
    /// others to end: they may wait for it.
    fn copy_of_another(&self, age: Age, body: &Body) -> u64 {
        let others = self.bodies.iter().filter(|(other, _)| **other != age);
        let largest = others.map(|(_, other)| other.held).max().unwrap_or_default();
        if largest > body.held { largest } else { 0 }
    }

    /// A body that has `received` bytes asks to hold `to`.
    fn ask(&mut self, age: Age, received: u64, to: u64, room: &Room, now: Instant) -> bool {
        let Some(body) = self.bodies.get_mut(&age) else { return true };
        body.received = received;
        if received >= body.mark + PIECE {
            (body.mark, body.moved) = (received, now);
        }
        if to <= body.held {
            return true;
        }
        let Some(is_beyond) = self.fits(age, to, room, now) else { return false };
        self.grant(age, to, is_beyond, now);
        true
    }

    fn grant(&mut self, age: Age, to: u64, is_beyond: bool, now: Instant) {
        if is_beyond {
            self.beyond = Some(age);
        }
        self.hold(age, to);
        if let Some(body) = self.bodies.get_mut(&age) {
            (body.mark, body.moved) = (body.received, now);
        }
        self.last_granted = now;
    }

    fn hold(&mut self, age: Age, to: u64) {
        if let Some(body) = self.bodies.get_mut(&age) {
            self.held = self.held - body.held + to;
            body.held = to;
        }
    }

    fn hold_at_least(&mut self, age: Age, bytes: u64) {
        if self.bodies.get(&age).is_some_and(|body| body.held < bytes) {
            self.hold(age, bytes);
        }
    }

    /// A body has waited for a while: takes back what stalled bodies have not used.
    fn look(&mut self, age: Age, now: Instant) {
        if let Some(body) = self.bodies.get_mut(&age) {
            (body.wants, body.moved) = (None, now);
        }
        for (age, body) in &mut self.bodies {
            let stalls = body.wants.is_none() && now.saturating_duration_since(body.moved) > STALLED;
            if stalls {
                let keeps = body.received.min(body.held);
                self.held = self.held - body.held + keeps;
                body.held = keeps;
                self.beyond.take_if(|beyond| beyond == age);
            }
        }
    }

    /// Lets those that wait go on, the oldest first.
    fn settle(&mut self, room: &Room, now: Instant) -> Vec<Waker> {
        let waiting = self.bodies.iter().filter_map(|(age, body)| Some((*age, body.wants.as_ref()?.0)));
        let waiting: Vec<(Age, u64)> = waiting.collect();
        let (mut woken, mut misses) = (Vec::new(), 0);
        for (age, to) in waiting {
            if let Some(is_beyond) = self.fits(age, to, room, now) {
                self.grant(age, to, is_beyond, now);
                let wants = self.bodies.get_mut(&age).and_then(|body| body.wants.take());
                woken.extend(wants.map(|(_, waker)| waker));
            } else {
                misses += 1;
                if misses > MISSES {
                    break;
                }
            }
        }
        woken
    }

    fn leave(&mut self, age: Age) {
        if let Some(body) = self.bodies.remove(&age) {
            self.held -= body.held;
            self.beyond.take_if(|beyond| *beyond == age);
        }
    }
}

impl Bodies {
    pub(super) fn new() -> Self {
        let table =
            Table { bodies: BTreeMap::new(), held: 0, beyond: None, next: 0, last_granted: Instant::now() };
        Self { table: Mutex::new(table), waiting: AtomicUsize::new(0) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What those that are counted have received.
    pub(super) fn received(&self) -> u64 {
        self.table().bodies.values().map(|body| body.received).sum()
    }

    /// There may be more room: those that wait look again. One atomic load if none does.
    pub(super) fn settle(&self, room: impl FnOnce() -> Room) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let woken = self.table().settle(&room(), Instant::now());
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

/// The share of one body; most have none. Given back when dropped: its bytes must be counted elsewhere then, or be gone.
#[derive(Debug, Default)]
pub(crate) struct Claim(Option<Box<Share>>);

#[derive(Debug)]
struct Share {
    job: Arc<JobState>,
    age: Age,
    granted: u64,
    /// The next look at the table is due with so many bytes received.
    look_at: u64,
}

impl Claim {
    /// The body of the row at `index` has `received` bytes, and is to hold `to`. False: it has to wait.
    pub(crate) fn try_grow(&mut self, job: &Arc<JobState>, index: u64, received: u64, to: u64) -> bool {
        let now = Instant::now();
        let share = self.0.get_or_insert_with(|| {
            let age = job.bodies.table().enter(index, now);
            Box::new(Share { job: Arc::clone(job), age, granted: 0, look_at: 0 })
        });
        if to <= share.granted && received < share.look_at {
            return true;
        }
        let grows = job.bodies.table().ask(share.age, received, to, &job.room(), now);
        if grows {
            share.granted = to;
            share.look_at = received + PIECE;
        }
        grows
    }

    /// It holds `bytes` at least, whether there is room or not: nobody can keep them from coming.
    pub(crate) fn hold_at_least(&mut self, bytes: u64) {
        if let Some(share) = &self.0 {
            share.job.bodies.table().hold_at_least(share.age, bytes);
        }
    }

    /// Waits until it may hold `to` bytes.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn grow(&mut self, job: &Arc<JobState>, index: u64, received: u64, to: u64) {
        while !self.try_grow(job, index, received, to) {
            let Some(age) = self.0.as_ref().map(|share| share.age) else { return };
            let _waiting = Waiting::new(job);
            let granted = poll_fn(|cx| {
                let mut table = job.bodies.table();
                let Some(body) = table.bodies.get_mut(&age) else { return Poll::Ready(()) };
                if body.held >= to {
                    return Poll::Ready(());
                }
                body.wants = Some((to, cx.waker().clone()));
                // Room may have appeared since it asked.
                let woken = table.settle(&job.room(), Instant::now());
                let granted = table.bodies.get(&age).is_none_or(|body| body.wants.is_none());
                drop(table);
                woken.into_iter().filter(|waker| !waker.will_wake(cx.waker())).for_each(Waker::wake);
                if granted { Poll::Ready(()) } else { Poll::Pending }
            });
            if tokio::time::timeout(LOOK_EVERY, granted).await.is_err() {
                job.bodies.table().look(age, Instant::now());
            }
        }
    }

    /// It holds `bytes` and will not grow.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        if let Some(share) = &mut self.0 {
            share.job.bodies.table().hold(share.age, bytes);
            share.job.settle_bodies();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.job.bodies.table().leave(self.age);
        self.job.settle_bodies();
    }
}

/// Counts a body among those that wait until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(job: &'a JobState) -> Self {
        job.bodies.waiting.fetch_add(1, Ordering::SeqCst);
        Self(&job.bodies.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        max: 100,
        rows: 0,
        in_hand: 0,
        consumer_waits: true,
        held_back: 0,
        awaited: None,
        other_jobs: false,
    };

    struct Game {
        table: Table,
        now: Instant,
    }

    impl Game {
        fn new() -> Self {
            let now = Instant::now();
            let table = Table { bodies: BTreeMap::new(), held: 0, beyond: None, next: 0, last_granted: now };
            Self { table, now }
        }

        fn enter(&mut self, index: u64) -> Age {
            self.table.enter(index, self.now)
        }

        fn ask(&mut self, age: Age, to: u64, room: Room) -> bool {
            self.table.ask(age, 0, to, &room, self.now)
        }

        fn wait(&mut self, age: Age, to: u64) {
            if let Some(body) = self.table.bodies.get_mut(&age) {
                body.wants = Some((to, Waker::noop().clone()));
            }
        }

        fn held(&self, age: Age) -> u64 {
            self.table.bodies.get(&age).map_or(0, |body| body.held)
        }
    }

    #[test]
    fn bodies_grow_within_the_limit_and_one_beyond_it() {
        let mut game = Game::new();
        let [a, b, c] = [3, 1, 2].map(|index| game.enter(index));
        assert!(game.ask(a, 30, ROOM) && game.ask(b, 30, ROOM));
        assert!(game.ask(c, 50, ROOM), "it is the one beyond");
        assert!(!game.ask(a, 71, ROOM) && !game.ask(b, 71, ROOM));
        assert!(game.ask(c, 1000, ROOM), "it may go on");
        game.wait(a, 200);
        game.wait(b, 150);
        game.table.leave(c);
        assert_eq!(game.table.settle(&ROOM, game.now).len(), 1);
        assert_eq!((game.held(b), game.held(a)), (150, 30), "the oldest goes on");
        game.table.leave(b);
        assert_eq!(game.table.settle(&ROOM, game.now).len(), 1);
        assert_eq!((game.held(a), game.table.held), (200, 200));
        game.table.leave(a);
        assert_eq!(game.table.held, 0);
    }

    #[test]
    fn a_body_beyond_leaves_room_for_the_copy_of_another() {
        let mut game = Game::new();
        let [a, b] = [1, 2].map(|index| game.enter(index));
        assert!(game.ask(a, 60, ROOM) && !game.ask(b, 60, ROOM));
        assert!(game.ask(a, 200, ROOM), "the largest does not wait for the others");
        game.table.leave(a);
        assert!(!game.ask(b, 160, Room { rows: 60, ..ROOM }) && game.ask(b, 160, Room { rows: 50, ..ROOM }));
    }

    #[test]
    fn one_body_goes_on_when_all_wait_and_what_has_come_exceeds_the_limit() {
        let mut game = Game::new();
        let bodies = [3, 1, 2].map(|index| game.enter(index));
        assert!(bodies.iter().all(|&age| game.ask(age, 20, ROOM)));
        for age in bodies {
            game.table.hold_at_least(age, 90);
        }
        let [a, b, c] = bodies;
        game.wait(a, 150);
        assert!(!game.ask(c, 150, ROOM), "another one still comes");
        game.wait(c, 150);
        assert!(
            game.table.settle(&Room { rows: 1, ..ROOM }, game.now).is_empty(),
            "the consumer comes first"
        );
        game.wait(b, 150);
        assert_eq!(game.table.settle(&ROOM, game.now).len(), 1);
        assert_eq!((game.held(a), game.held(b), game.held(c)), (90, 150, 90), "the oldest goes on");
        assert!(game.ask(b, 1000, ROOM), "to its end");
        game.table.leave(b);
        game.now += STALLED * 2;
        assert_eq!(game.table.settle(&ROOM, game.now).len(), 1);
        assert_eq!((game.held(a), game.held(c)), (90, 150), "and then the next");
    }

    #[test]
    fn rows_that_wait_take_room_and_only_one_body_may_exceed_it_when_the_consumer_is_back() {
        let mut game = Game::new();
        let [a, b] = [1, 2].map(|index| game.enter(index));
        let busy = Room { in_hand: 101, consumer_waits: false, ..ROOM };
        assert!(!game.ask(a, 50, Room { rows: 101, ..ROOM }) && !game.ask(a, 50, busy));
        assert!(game.ask(a, 50, Room { consumer_waits: true, ..busy }));
        assert!(!game.ask(b, 50, Room { consumer_waits: true, ..busy }));
        assert!(game.ask(b, 100, ROOM), "the one beyond does not count");
        game.table.leave(a);
        assert!(
            game.ask(b, 150, Room { other_jobs: true, rows: 500, ..ROOM }),
            "the consumer may be elsewhere"
        );
    }

    #[test]
    fn the_awaited_row_goes_on_whatever_is_held_back_and_the_others_when_nothing_else_moves() {
        let mut game = Game::new();
        let [a, b] = [5, 9].map(|index| game.enter(index));
        let held = Room { held_back: 500, awaited: Some(5), ..ROOM };
        assert!(!game.ask(b, 10, held));
        assert!(game.ask(a, 10, held) && game.ask(a, 1000, held));
        game.table.leave(a);
        assert!(!game.ask(b, 10, held));
        game.now += STALLED * 2;
        assert!(game.ask(b, 10, held));
        assert!(!game.ask(b, 20, held), "something has moved");
        let c = game.enter(10);
        assert!(!game.ask(c, 10, held));
    }

    #[test]
    fn a_body_that_stalls_keeps_what_it_has_and_no_more() {
        let mut game = Game::new();
        let [a, b, c] = [1, 2, 3].map(|index| game.enter(index));
        assert!(game.ask(a, 40, ROOM) && game.ask(b, 500, ROOM));
        assert!(!game.ask(c, 80, ROOM));
        game.wait(c, 80);
        game.table.ask(a, 20, 40, &ROOM, game.now);
        game.now += STALLED * 2;
        game.table.look(c, game.now);
        assert_eq!((game.held(a), game.held(b)), (20, 0));
        assert!(game.ask(c, 80, ROOM));
        let full = Room { rows: 101, ..ROOM };
        assert!(!game.table.ask(a, 21, 101, &full, game.now), "it has to ask again");
    }
}
