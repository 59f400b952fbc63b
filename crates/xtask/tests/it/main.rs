//! The fences between the crates, and the promises of the manifests.

mod fences;
mod kubernetes;
mod manifests;
mod monitoring;
mod promises;
mod workspace;
