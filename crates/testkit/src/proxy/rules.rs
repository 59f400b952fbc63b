//! What a proxy does to its connections, as data.

use std::ops::{Index, IndexMut};
use std::time::Duration;

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// The rules of the moment. The counters only grow: a connection compares them with what they were.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    up: Lane,
    down: Lane,
    pub(super) refuse: bool,
    pub(super) resets: u64,
}

/// The rules of one way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    pub(super) open: bool,
    pub(super) delay: Duration,
    pub(super) slice: usize,
    pub(super) closes: u64,
    pub(super) cuts: u64,
    pub(super) cut_after: usize,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            open: true,
            delay: Duration::ZERO,
            slice: usize::MAX,
            closes: 0,
            cuts: 0,
            cut_after: usize::MAX,
        }
    }
}

impl Lane {
    pub(super) fn cut(&mut self, after: usize) {
        self.cuts += 1;
        self.cut_after = after;
    }

    fn heal(&mut self) {
        *self = Self {
            closes: self.closes,
            cuts: self.cuts + 1,
            ..Self::default()
        };
    }
}

impl Rules {
    pub(super) fn heal(&mut self) {
        self.up.heal();
        self.down.heal();
        self.refuse = false;
    }
}

impl Index<Way> for Rules {
    type Output = Lane;
    fn index(&self, way: Way) -> &Lane {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }
}

impl IndexMut<Way> for Rules {
    fn index_mut(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}
