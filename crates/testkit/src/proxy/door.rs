//! Takes connections, and carries each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection;
use super::rules::Rules;

/// Between two tries to accept where the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(20);

/// What the acceptor knows.
pub(super) struct Door {
    pub(super) upstreams: Vec<(String, u16)>,
    /// Which of them the next connection asks first.
    pub(super) turn: usize,
    pub(super) rules: watch::Receiver<Rules>,
    pub(super) carried: Arc<()>,
}

impl Door {
    /// Until it is aborted; the connections go with it.
    pub(super) async fn accept(mut self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => self.admit(client, &mut connections),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                // Asked so that ended ones do not pile up.
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn admit(&mut self, client: TcpStream, connections: &mut JoinSet<()>) {
        if self.rules.borrow().refuse {
            return connection::reset(&client);
        }
        let (rules, carried) = (self.rules.clone(), self.carried.clone());
        let mut upstreams = self.upstreams.clone();
        upstreams.rotate_left(self.turn);
        self.turn = (self.turn + 1) % upstreams.len();
        // Taken here: what is ordered from now on is meant for this connection too.
        let born = rules.borrow().clone();
        connections.spawn(async move {
            connection::carry(client, &upstreams, born, rules).await;
            drop(carried);
        });
    }
}
