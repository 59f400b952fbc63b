//! Room for connections in the table of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Beside the connections: the broker's, the ledger's, files, and the runtime's own, some forty in all.
const SPARE: u64 = 256;

/// Raises the soft limit of descriptors to what so many connections need. A shell's is 1,024, for programs that still
/// use `select`; the hard limit is the operator's word, and a smaller one is told.
pub fn make_room_for(connections: usize) {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(SPARE);
    let limits = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if is_enough(limits.current) {
        return;
    }
    let current = limits.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum: limits.maximum,
        },
    );
    if raised.is_err() || !is_enough(limits.maximum) {
        warn!(
            "fewer file descriptors than {wanted} may be open, for {connections} connections: those beyond wait \
             unaccepted; raise the hard limit (ulimit -Hn, LimitNOFILE=)"
        );
    }
}
