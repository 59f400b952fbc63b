//! How many workers a pipeline was last desired to have.

/// The number, and which change made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// So many workers.
    pub workers: u32,
    /// Another one after every change, whoever made it.
    pub revision: u64,
}
