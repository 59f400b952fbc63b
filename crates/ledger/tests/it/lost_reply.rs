//! A connection that is cut between COMMIT and its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands before Postgres. Armed, it lets the next COMMIT through and cuts the connection instead of
/// passing on the answer.
pub struct LostReply {
    pub address: SocketAddr,
    armed: Arc<AtomicBool>,
}

impl LostReply {
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        tokio::spawn(accept(listener, server, Arc::clone(&armed)));
        Self { address, armed }
    }

    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn has_struck(&self) -> bool {
        !self.armed.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, server: String, armed: Arc<AtomicBool>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(&server).await.unwrap();
        tokio::spawn(relay(client, server, Arc::clone(&armed)));
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicBool>) {
    let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut commit_sent = false;
    loop {
        tokio::select! {
            Ok(size @ 1..) = client.read(&mut question) => {
                let has_commit = question[..size].windows(8).any(|it| it == b"; COMMIT");
                commit_sent |= has_commit && armed.load(Ordering::SeqCst);
                server.write_all(&question[..size]).await.unwrap();
            }
            Ok(size @ 1..) = server.read(&mut answer) => {
                if commit_sent {
                    // The answer is here, so the commit is done; nobody will ever hear of it.
                    armed.store(false, Ordering::SeqCst);
                    return;
                }
                client.write_all(&answer[..size]).await.unwrap();
            }
            else => return,
        }
    }
}
