//! What was measured, kept row by row, and the document made of all of them.

use crate::lab::Lab;
use crate::machine;
use crate::rows::Name;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One row: what it has to reach, what it reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What has to be reached.
    pub asked: String,
    /// What was, in one line.
    pub reached: String,
    /// Whether that is enough.
    pub held: bool,
    /// All figures.
    pub figures: Vec<(String, String)>,
}

/// A row with where it comes from.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    row: Row,
    commit: String,
    at: String,
    command: String,
}

/// All rows, in a folder beside the programs, and the document.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    folder: PathBuf,
    machine: Vec<String>,
    quick: bool,
}

impl Results {
    pub async fn open(out: &Path, quick: bool, lab: &Lab) -> Result<Self> {
        let program = std::env::current_exe().context("no path of this program")?;
        let beside = program.parent().context("this program has no folder")?;
        let folder = beside.join(if quick { "bench-quick" } else { "bench-rows" });
        fs::create_dir_all(&folder).context("no folder for the rows")?;
        // A smoke run must not overwrite what was measured.
        let path = if quick {
            folder.join("RESULTS.md")
        } else {
            out.to_owned()
        };
        Ok(Self {
            path,
            folder,
            machine: machine::describe(lab).await?,
            quick,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn add(&mut self, name: Name, row: Row) -> Result<()> {
        let quick = if self.quick { " --quick" } else { "" };
        let kept = Kept {
            row,
            commit: machine::commit(),
            at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: format!("cargo xtask bench{quick} --only {name}"),
        };
        fs::write(
            self.folder.join(format!("{name}.json")),
            serde_json::to_string_pretty(&kept)?,
        )?;
        let document = document(&self.machine, &self.all()?, self.quick);
        fs::write(&self.path, document)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn all(&self) -> Result<BTreeMap<Name, Kept>> {
        let mut all = BTreeMap::new();
        for name in Name::all() {
            if let Ok(text) = fs::read_to_string(self.folder.join(format!("{name}.json"))) {
                all.insert(name, serde_json::from_str(&text)?);
            }
        }
        Ok(all)
    }
}

fn document(machine: &[String], rows: &BTreeMap<Name, Kept>, quick: bool) -> String {
    let mut text = String::from("# Results\n\n");
    if quick {
        text.push_str("A smoke run: these figures mean nothing.\n\n");
    }
    text.push_str(
        "Written by `cargo xtask bench`: everything on one machine, the load generator too.\n\n",
    );
    for line in machine {
        text.push_str(&format!("- {line}\n"));
    }
    text.push_str("\n| what | asked | reached | |\n|---|---|---|---|\n");
    for (name, Kept { row, .. }) in rows {
        let word = if row.held { "held" } else { "**not held**" };
        text.push_str(&format!(
            "| [{name}](#{name}) | {} | {} | {word} |\n",
            row.asked, row.reached
        ));
    }
    for (name, kept) in rows {
        text.push_str(&format!("\n## {name}\n\n{}\n\n", name.about()));
        text.push_str(&format!(
            "`{}`, commit {}, {}\n\n| | |\n|---|---|\n",
            kept.command, kept.commit, kept.at
        ));
        for (what, value) in &kept.row.figures {
            text.push_str(&format!("| {what} | {value} |\n"));
        }
    }
    text
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.held { "held" } else { "NOT HELD" };
        writeln!(out, "{word}: {}\n  asked: {}", self.reached, self.asked)?;
        for (what, value) in &self.figures {
            writeln!(out, "  {what:<44} {value}")?;
        }
        out.write_char('\n')
    }
}
