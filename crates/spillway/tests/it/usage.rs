//! What a program holds of its machine: after a fault it holds no more than before.

use chaos::system::Node;
use std::fs;
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Allocators keep some of what they once had; a leak under these loads is many times this.
const MEMORY_SLACK_MIB: u64 = 48;
/// A pool that has grown by a connection is no leak, one descriptor for each cut or request is.
const DESCRIPTORS_SLACK: usize = 6;

/// The memory and the descriptors of one process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub resident_mib: u64,
    pub descriptors: usize,
}

impl Usage {
    pub fn of(node: &Node) -> Self {
        let folder = format!("/proc/{}", node.running.pid());
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.unwrap().trim().trim_end_matches(" kB");
        Self {
            resident_mib: kibibytes.parse::<u64>().unwrap() / 1024,
            descriptors: fs::read_dir(format!("{folder}/fd")).unwrap().count(),
        }
    }

    /// The process is back to about what it held before.
    pub async fn is_again_that_of(self, node: &Node) {
        wait_until("the descriptors are given back", PATIENCE, async || {
            Self::of(node).descriptors <= self.descriptors + DESCRIPTORS_SLACK
        })
        .await;
        let now = Self::of(node);
        println!("{now:?} after {self:?}");
        assert!(
            now.resident_mib <= self.resident_mib + MEMORY_SLACK_MIB,
            "{now:?} after {self:?}"
        );
    }
}
