//! HTTP/1.1 over one kept-alive connection: a request is written in one piece, and of the answer only its status
//! and its length are read. A client library would be half of what a load costs.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A head of ours has seven headers. One that is larger than this is not from a door we know.
const HEAD_MAX_BYTES: usize = 8 * 1024;
const HEADERS_MAX: usize = 32;

/// One connection to one address, made when it is needed.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
    body_max_bytes: usize,
}

/// An answer, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    head_bytes: usize,
    body_bytes: usize,
    stays_open: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was sent.
    NotSent(Error),
    /// Something was sent, and nobody can know whether it arrived.
    NotAnswered(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) => write!(out, "not sent: {why}"),
            Self::NotAnswered(why) => write!(out, "not answered: {why}"),
        }
    }
}

impl Connection {
    /// Not connected yet. Answers with a longer body are not taken.
    pub fn new(address: SocketAddr, body_max_bytes: usize) -> Self {
        Self {
            address,
            stream: None,
            answer: Vec::with_capacity(2 * 1024),
            body_max_bytes,
        }
    }

    /// Connects, where it is not.
    pub async fn open(&mut self) -> Result<(), Failure> {
        if self.is_open() {
            return Ok(());
        }
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(Failure::NotSent)?;
        // A request is written in one piece: waiting for more of it would only delay it.
        stream.set_nodelay(true).map_err(Failure::NotSent)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// A door hangs up on a sender that has been silent for some seconds. What it said is looked at before the
    /// connection is used; costs nothing where it has said nothing.
    fn is_open(&mut self) -> bool {
        let mut unasked = [0; 1];
        let said = self
            .stream
            .as_ref()
            .map(|stream| stream.try_read(&mut unasked));
        let is_silent = matches!(said, Some(Err(why)) if why.kind() == ErrorKind::WouldBlock);
        if !is_silent {
            self.stream = None;
        }
        is_silent
    }

    /// Sends one request and reads the answer to it. Dropped before its end, the connection is closed, as a half
    /// answered one has to be.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.open().await?;
        let Some(mut stream) = self.stream.take() else {
            return Err(Failure::NotSent(ErrorKind::NotConnected.into()));
        };
        stream
            .write_all(request)
            .await
            .map_err(Failure::NotAnswered)?;
        let answer = self.read(&mut stream).await.map_err(Failure::NotAnswered)?;
        self.stream = answer.stays_open.then_some(stream);
        Ok(answer)
    }

    /// The body of the last answer.
    pub fn body(&self, answer: Answer) -> &[u8] {
        let end = answer.head_bytes + answer.body_bytes;
        self.answer.get(answer.head_bytes..end).unwrap_or_default()
    }

    async fn read(&mut self, stream: &mut TcpStream) -> Result<Answer, Error> {
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = parse(&self.answer)? {
                return self.read_body(stream, answer).await;
            }
            if self.answer.len() >= HEAD_MAX_BYTES {
                return Err(unintelligible("a head without end"));
            }
        }
    }

    async fn read_body(&mut self, stream: &mut TcpStream, answer: Answer) -> Result<Answer, Error> {
        if answer.body_bytes > self.body_max_bytes {
            return Err(unintelligible("a body that is too large"));
        }
        while self.answer.len() < answer.head_bytes + answer.body_bytes {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answer)
    }
}

/// The head of an answer, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head
        .parse(bytes)
        .map_err(|why| unintelligible(&why.to_string()))?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        return Ok(None);
    };
    let mut answer = Answer {
        status: head.code.unwrap_or_default(),
        head_bytes,
        body_bytes: 0,
        stays_open: head.version == Some(1),
    };
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            answer.body_bytes =
                length.ok_or_else(|| unintelligible("a length that is no number"))?;
        } else if header.name.eq_ignore_ascii_case("connection") {
            answer.stays_open &= !header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(unintelligible("a body in chunks"));
        }
    }
    Ok(Some(answer))
}

fn unintelligible(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the answer has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ndate: now\r\n\r\n{}";

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        for end in 0..OK.len() - 2 {
            assert_eq!(parse(&OK.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        let answer = parse(OK.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.body_bytes, answer.stays_open),
            (200, 2, true)
        );
    }

    #[test]
    fn what_ends_the_connection_is_noticed() {
        let stays = |text: &str| parse(text.as_bytes()).unwrap().unwrap().stays_open;
        assert!(!stays("HTTP/1.0 200 OK\r\n\r\n"));
        assert!(!stays(
            "HTTP/1.1 431 Too Large\r\nconnection: close\r\n\r\n"
        ));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }

    /// A door that says these, one for each request, and hangs up on the others.
    async fn door(answers: &'static [&'static [&'static str]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for connection in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 64];
                for answer in *connection {
                    let _ = stream.read(&mut request).await.unwrap();
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_made_anew_when_the_door_hung_up() {
        let address = door(&[&[OK, OK], &[OK]]).await;
        let mut connection = Connection::new(address, 100);
        for _ in 0..2 {
            let answer = connection.exchange(b"POST").await.unwrap();
            assert_eq!(connection.body(answer), b"{}");
        }
        // Until its end has reached us.
        let stream = connection.stream.as_ref().unwrap();
        stream.readable().await.unwrap();
        assert_eq!(connection.exchange(b"POST").await.unwrap().status, 200);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let address = door(&[&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}"]]).await;
        let failed = Connection::new(address, 100).exchange(b"POST").await;
        assert!(matches!(failed, Err(Failure::NotAnswered(_))));
        let large = door(&[&["HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n"]]).await;
        let failed = Connection::new(large, 100).exchange(b"POST").await;
        assert!(matches!(failed, Err(Failure::NotAnswered(_))));
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let failed = Connection::new(address, 100).exchange(b"POST").await;
        assert!(matches!(failed, Err(Failure::NotSent(_))));
    }
}
