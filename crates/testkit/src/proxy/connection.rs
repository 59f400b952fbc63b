//! One connection: a pump each way, until both have ended or one broke.

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::pump::{Broken, pump};
use super::rules::{Rules, Way};

/// Carries a client's connection to the first of these servers that takes it, under the rules it was `born` under and
/// those that follow.
pub(super) async fn carry(
    mut client: TcpStream,
    upstreams: &[(String, u16)],
    born: Rules,
    rules: watch::Receiver<Rules>,
) {
    // A server that is not there looks like one that refuses.
    let Some(mut server) = connect(upstreams).await else {
        return reset(&client);
    };
    // Pieces must not be put together again.
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    if both_ways(&mut client, &mut server, &born, rules)
        .await
        .is_err()
    {
        reset(&client);
        reset(&server);
    }
}

async fn connect(upstreams: &[(String, u16)]) -> Option<TcpStream> {
    for (host, port) in upstreams {
        if let Ok(server) = TcpStream::connect((host.as_str(), *port)).await {
            return Some(server);
        }
    }
    None
}

async fn both_ways(
    client: &mut TcpStream,
    server: &mut TcpStream,
    born: &Rules,
    rules: watch::Receiver<Rules>,
) -> Result<(), Broken> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let pumps = async {
        tokio::try_join!(
            pump(from_client, to_server, Way::Up, born, rules.clone()),
            pump(from_server, to_client, Way::Down, born, rules.clone()),
        )
        .map(|((), ())| ())
    };
    tokio::select! {
        ended = pumps => ended,
        broken = until_reset(born, rules.clone()) => broken,
    }
}

async fn until_reset(born: &Rules, mut rules: watch::Receiver<Rules>) -> Result<(), Broken> {
    // An error means that the proxy is gone, which ends its connections too.
    let _ = rules.wait_for(|rules| rules.resets != born.resets).await;
    Err(Broken)
}

/// Makes the close that follows a reset: whatever is unread or unsent is thrown away.
pub(super) fn reset(stream: &TcpStream) {
    // It fails where the connection is gone already, which is what it is for.
    let _ = stream.set_zero_linger();
}
