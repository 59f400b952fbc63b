//! Requests byte by byte, for senders that do not behave.

use chaos::sender::Event;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Above every deadline of the door.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection to a door.
pub struct Raw(pub TcpStream);

/// The head of a request with the event's signature, and with these lines about its body.
pub fn head(event: &Event, framing: &str) -> String {
    let Event {
        id,
        timestamp,
        signature,
        body: _,
    } = event;
    format!(
        "POST /webhook HTTP/1.1\r\nhost: spillway\r\nx-event-id: {id}\r\n\
         x-timestamp: {timestamp}\r\nx-signature: {signature}\r\n{framing}\r\n"
    )
}

/// The same with its true length.
pub fn honest_head(event: &Event) -> String {
    head(event, &format!("content-length: {}\r\n", event.body.len()))
}

pub fn address(url: &str) -> SocketAddr {
    let rest = url.strip_prefix("http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

impl Raw {
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(address(url)).await.unwrap())
    }

    /// False where the door has hung up.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The status of the next answer; nothing where the connection ends without one.
    pub async fn status(&mut self) -> Option<u16> {
        let mut answer = Vec::new();
        while answer.len() < "HTTP/1.1 200".len() {
            let read = timeout(PATIENCE, self.0.read_buf(&mut answer)).await;
            if read.expect("the door neither answers nor hangs up").ok()? == 0 {
                return None;
            }
        }
        let status = String::from_utf8_lossy(&answer[9..12]).into_owned();
        Some(status.parse().unwrap())
    }

    /// The status of the next answer, once its whole body is there, which ends like every JSON object.
    pub async fn reply(&mut self) -> Option<u16> {
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let read = timeout(PATIENCE, self.0.read_buf(&mut answer)).await;
            if read.expect("the door neither answers nor hangs up").ok()? == 0 {
                return None;
            }
        }
        Some(String::from_utf8_lossy(&answer[9..12]).parse().unwrap())
    }

    /// Everything the door says until it hangs up.
    pub async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut answer)).await;
        read.expect("the door does not hang up").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Reads until the door has hung up.
    pub async fn is_closed(&mut self) {
        let mut bytes = [0; 4096];
        let closed = async { while !matches!(self.0.read(&mut bytes).await, Ok(0) | Err(_)) {} };
        timeout(PATIENCE, closed)
            .await
            .expect("the door does not hang up");
    }
}
