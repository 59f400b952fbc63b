//! The least programs that do the same job: what ours are measured against.
//!
//! None of them is safe to run for anything else: they bound nothing, retry nothing and keep no invariant but the one
//! that is measured. They use the same libraries as ours and none of our code, so that a mistake of ours is not in the
//! yardstick too. Settings come from the environment, as each binary's first lines say.

use std::str::FromStr;

/// A setting from the environment, else the default.
pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A setting there is no default for.
///
/// # Errors
/// Where it is not set.
pub fn required(name: &str) -> anyhow::Result<String> {
    std::env::var(name).map_err(|_| anyhow::anyhow!("{name} is not set"))
}
