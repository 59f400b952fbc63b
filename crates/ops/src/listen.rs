//! Listening sockets.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// Connections the kernel completes while we are busy. The default of 128 overflows within 26 ms at 5,000
/// new connections a second; the kernel caps it at net.core.somaxconn (4096 since Linux 5.4).
const BACKLOG: u32 = 4096;

/// An address that cannot be listened on, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {why}")]
pub struct ListenError {
    address: SocketAddr,
    purpose: &'static str,
    why: String,
}

/// Listens on an address; port 0 takes any free one.
pub fn listen(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, ListenError> {
    bind(address).map_err(|error| {
        let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
        let why = if in_use {
            "the port is in use by another program".to_owned()
        } else {
            error.to_string()
        };
        ListenError {
            address,
            purpose,
            why,
        }
    })
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_one_clear_sentence() {
        let taken = listen("127.0.0.1:0".parse().unwrap(), "webhooks").unwrap();
        let address = taken.local_addr().unwrap();
        let sentence = listen(address, "webhooks").unwrap_err().to_string();
        assert_eq!(
            sentence,
            format!(
                "cannot listen on {address} for webhooks: the port is in use by another program"
            )
        );
    }
}
