//! The readers of what servers and lists send, for fuzzing: each function takes any bytes, and panics if a property
//! that must hold for all of them does not. Outside tests it exists with the feature `fuzzing` only.
//!
//! `make fuzz` explores them (`fuzz/` at the root); the tests feed them the seeds, and mutations of the seeds.

#![allow(clippy::panic, clippy::expect_used, clippy::indexing_slicing, clippy::missing_panics_doc)]

mod decoding;
mod limits;
mod robots;
#[cfg(test)]
mod seed_tests;
mod urls;
mod wire;

pub use decoding::{decoding, round_trip};
pub use limits::limits;
pub use robots::robots;
pub use urls::{redirect, urls};
pub use wire::{chunked, response_head};

/// Numbers for the choices of one run, taken off the front of its bytes; zeros when they are used up.
struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    /// One of `all`, which is not empty.
    fn one<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[usize::from(self.byte()) % all.len()]
    }

    /// Everything that is left.
    fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// Places at which to cut a text of this length: all in a short one, about 64 in a long one.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..=length).step_by((length / 64).max(1))
}
