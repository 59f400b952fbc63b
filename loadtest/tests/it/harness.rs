//! A `serve` in a folder, and the tester beside it.

use chaos::sender::SECRET;
use chaos::system::{Node, serve};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use testkit::Program;

const PATIENCE: Duration = Duration::from_secs(60);

/// Everything embedded in one process.
pub struct Site {
    pub node: Node,
    pub folder: tempfile::TempDir,
}

/// How a run of the tester ended.
pub struct Tested {
    pub code: Option<i32>,
    pub output: String,
}

impl Site {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (node, _books) = serve(folder.path()).await;
        Self { node, folder }
    }

    pub fn ledger(&self) -> std::path::PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// Runs the tester against it.
    pub async fn test(&self, arguments: &[&str]) -> Tested {
        test(&self.node.url, self.folder.path(), arguments).await
    }
}

/// Runs the tester against a door.
pub async fn test(url: &str, folder: &Path, arguments: &[&str]) -> Tested {
    let program = Program::new("spillway-loadtest")
        .args(["--url", url, "--data-dir"])
        .arg(folder)
        .args(arguments)
        .env("WEBHOOK_SECRET", SECRET);
    let mut running = program.spawn().unwrap();
    let status = running.wait(PATIENCE).await.unwrap();
    Tested {
        code: status.code(),
        output: running.complete_output().await,
    }
}

impl Tested {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|why| panic!("{why}: {}", self.output))
    }
}
