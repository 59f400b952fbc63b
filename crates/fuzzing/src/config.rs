//! A configuration file.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use toml::{Table, Value};

use crate::Taken;

/// A secret that somebody has pasted into the file.
const PASTED: &str = "NeverRepeatThis";
/// What no version of ours will know.
const UNKNOWN: &str = "nobody_knows";

/// Reads a configuration. A key that is not ours is refused, by its name, wherever else the file is right; and what
/// stands where a secret is referred to is in no error (I9).
pub fn config(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let table = text.parse::<Table>().ok();
    let told = match ops::config::parse(text) {
        Ok(_) => {
            is_exact(text);
            None
        }
        Err(error) => Some(error),
    };
    if let Some(told) = &told
        && !table.as_ref().is_some_and(is_pasted_elsewhere)
    {
        let whole = format!("{told}\n{told:?}");
        assert!(!whole.contains(PASTED), "{whole}");
    }
    for unknown in table.iter().flat_map(Table::keys).filter(is_unknown) {
        let problems = told.as_ref().map(|error| error.0.as_slice());
        let mut problems = problems.unwrap_or_default().iter();
        let is_named = problems.any(|problem| problem.key == *unknown);
        assert!(is_named, "{unknown} is taken: {told:?}");
    }
    told.is_none()
}

/// Of a file that is right: with one more table, or one more key in a table it has, it is wrong.
fn is_exact(text: &str) {
    let more = [
        (UNKNOWN.to_owned(), format!("{text}\n[{UNKNOWN}]\n")),
        (UNKNOWN.to_owned(), format!("{UNKNOWN} = 1\n{text}")),
        (
            format!("sources.{UNKNOWN}"),
            format!("{text}\n[sources.{UNKNOWN}]\nscheme = \"github\"\nsecrets = [\"env:A\"]\n"),
        ),
        (
            format!("sources.nobody-knows.{UNKNOWN}"),
            format!("{text}\n[sources.nobody-knows]\nsecrets = [\"env:A\"]\n{UNKNOWN} = 1\n"),
        ),
    ];
    for (key, text) in more {
        // Where the file has one already, or what it has cannot be added to.
        if text.parse::<Table>().is_err() {
            continue;
        }
        let Err(error) = ops::config::parse(&text) else {
            panic!("{key} is taken");
        };
        let named = error.0.iter().any(|problem| problem.key == key);
        assert!(named, "{key}: {error}");
    }
}

/// The tables of the reference: what is not among them is nobody's.
fn is_unknown(key: &&String) -> bool {
    static KNOWN: OnceLock<BTreeSet<String>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let reference = ops::config::reference();
        let headings = reference.lines().filter_map(|line| {
            let name = line.strip_prefix("## `[")?.strip_suffix("]`")?;
            Some(name.split('.').next().unwrap_or_default().to_owned())
        });
        headings.collect()
    });
    assert!(known.contains("sources") && known.len() > 10, "{known:?}");
    !known.contains(*key)
}

/// Whether it stands anywhere but in a list of references: as a key or another value it is somebody's own name.
fn is_pasted_elsewhere(table: &Table) -> bool {
    let mut rest = table.clone();
    if let Some(Value::Table(sources)) = rest.get_mut("sources") {
        for source in sources
            .iter_mut()
            .filter_map(|(_, source)| source.as_table_mut())
        {
            source.remove("secrets");
        }
    }
    rest.to_string().contains(PASTED)
}
