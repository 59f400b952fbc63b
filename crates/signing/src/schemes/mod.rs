//! The signature schemes, one file each.

pub mod spillway;
