//! An operator at the keyboard: `spillway` commands, run to their end.

use crate::system::Servers;
use anyhow::Context as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;
use testkit::Program;

/// The longest of them waits a minute for events to be applied.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a command said, and whether it was content.
#[derive(Debug)]
pub struct Said {
    pub text: String,
    pub ok: bool,
}

impl Servers {
    /// Runs a command on a cluster.
    pub async fn operate(&self, arguments: &[&str]) -> Said {
        operate(self.program("spillway").args(arguments)).await
    }
}

/// Runs a command on the folder of a `serve`.
pub async fn operate_on(folder: &Path, arguments: &[&str]) -> Said {
    let program = Program::new("spillway").args(arguments);
    operate(program.arg("--data-dir").arg(folder)).await
}

async fn operate(program: Program) -> Said {
    let mut running = program.spawn().unwrap();
    let ended = running.wait(PATIENCE).await;
    // What never ends is not content either: a run of chaos has a verdict all the same.
    let ok = ended.as_ref().is_ok_and(ExitStatus::success);
    if let Err(why) = ended {
        running.kill().unwrap();
        return Said {
            text: format!("{why:#}"),
            ok,
        };
    }
    Said {
        text: running.complete_output().await,
        ok,
    }
}

impl Said {
    /// Of a command that was to be content.
    #[track_caller]
    pub fn fine(self) -> String {
        assert!(self.ok, "{}", self.text);
        self.text
    }

    /// Of a command that was to find something.
    #[track_caller]
    pub fn failed(self) -> String {
        assert!(!self.ok, "{}", self.text);
        self.text
    }

    /// The JSON object in it.
    pub fn object(&self) -> anyhow::Result<serde_json::Value> {
        let text = &self.text;
        let ends = text.find('{').zip(text.rfind('}'));
        let (from, to) = ends.with_context(|| format!("no object in {text}"))?;
        serde_json::from_str(&text[from..=to]).with_context(|| text.clone())
    }

    /// The same where it has to be there.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        self.object().unwrap()
    }
}
