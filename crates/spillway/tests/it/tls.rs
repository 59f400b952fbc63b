//! TLS at the door: what is spoken, who is hung up on, and a certificate that is replaced while we run.

use crate::admission::serve_as;
use crate::raw::{Raw, address, honest_head};
use crate::slow::{Slow, dawdle};
use chaos::sender::{Event, now};
use chaos::system::Node;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use testkit::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "door.test";

/// A certificate and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Pair {
    pub fn new() -> Self {
        let made = generate_simple_self_signed([NAME.to_owned()]);
        let CertifiedKey { cert, signing_key } = made.unwrap();
        Self {
            certificate: cert.pem(),
            key: signing_key.serialize_pem(),
            der: cert.der().clone(),
        }
    }
}

/// Both files, reached over `..data` as in a mounted Secret, and replaced at one stroke.
fn mount(folder: &Path, version: &str, certificate: &str, key: &str) {
    let files = folder.join(version);
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("tls.crt"), certificate).unwrap();
    std::fs::write(files.join("tls.key"), key).unwrap();
    let fresh = folder.join("..data_tmp");
    symlink(version, &fresh).unwrap();
    std::fs::rename(fresh, folder.join("..data")).unwrap();
}

/// What the file of a door says that has this pair, and more about it.
pub fn configured(folder: &Path, pair: &Pair, more: &str) -> String {
    mount(folder, "v1", &pair.certificate, &pair.key);
    let at = folder.join("..data");
    let at = at.display();
    format!("[ingest.tls]\ncertificate = \"{at}/tls.crt\"\nkey = \"{at}/tls.key\"\n{more}\n")
}

fn client(
    trusted: &[&Pair],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.der.clone()).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(client)
}

async fn connect(url: &str, client: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address(url)).await?;
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(client).connect(name, stream).await
}

/// The bytes that a client begins with.
pub fn hello() -> Vec<u8> {
    static HELLO: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let client = client(&[], &[&TLS12, &TLS13], &[]);
        let mut connection = ClientConnection::new(client, NAME.try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    };
    HELLO.get_or_init(make).clone()
}

/// Sends an event on an open connection, and reads the whole answer.
async fn send(stream: &mut TlsStream<TcpStream>, event: &Event) -> u16 {
    stream
        .write_all(honest_head(event).as_bytes())
        .await
        .unwrap();
    stream.write_all(&event.body).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        assert_ne!(read.expect("an answer").unwrap(), 0, "hung up on");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            return head["http/1.1 ".len()..][..3].parse().unwrap();
        }
    }
}

async fn handshakes(node: &Node, outcome: &str) -> f64 {
    let sample = format!(r#"spillway_ingest_tls_handshakes_total{{outcome="{outcome}"}}"#);
    node.metric(&sample).await
}

/// The hello of a client that knows TLS 1.1 at most.
fn old_hello() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    // No session, one cipher suite, no compression.
    body.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let length = body.len() as u8;
    let mut bytes = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    bytes.extend(body);
    bytes
}

/// Writes these bytes, and reads what there is until the door hangs up.
async fn says(url: &str, bytes: &[u8]) -> Vec<u8> {
    const ENOUGH: usize = 4096;
    let mut raw = Raw::connect(url).await;
    raw.write(bytes).await;
    let mut answer = Vec::new();
    let reading = async {
        while matches!(raw.0.read_buf(&mut answer).await, Ok(1..)) {
            assert!(answer.len() < ENOUGH);
        }
    };
    timeout(PATIENCE, reading)
        .await
        .expect("it does not hang up");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_are_served_and_whoever_speaks_something_else_is_hung_up_on() {
    let (folder, pair) = (tempfile::tempdir().unwrap(), Pair::new());
    let (node, books, _data) = serve_as(&configured(folder.path(), &pair, ""), "").await;
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = client(&[&pair], &[version], &["h2", "http/1.1"]);
        let mut stream = connect(&node.url, client).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        assert_eq!(
            stream.get_ref().1.alpn_protocol(),
            Some(b"http/1.1".as_slice())
        );
        // Twice on one connection.
        for number in 0..2 {
            let event = Event::payment(&format!("evt_{expected:?}_{number}"));
            assert_eq!(send(&mut stream, &event).await, 200);
        }
    }
    assert_eq!(handshakes(&node, "done").await, 2.0);

    let only_h2 = client(&[&pair], &[&TLS13], &["h2"]);
    assert!(connect(&node.url, only_h2).await.is_err());
    let stranger = Pair::new();
    let distrustful = client(&[&stranger], &[&TLS13], &[]);
    assert!(connect(&node.url, distrustful).await.is_err());
    let event = Event::payment("evt_plain");
    let plain = [honest_head(&event).as_bytes(), &event.body].concat();
    const ALERT: u8 = 21;
    for bytes in [
        plain.as_slice(),
        &old_hello(),
        &[0; 512],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = says(&node.url, bytes).await;
        // An alert or nothing, and no HTTP.
        assert!([None, Some(&ALERT)].contains(&answer.first()), "{answer:?}");
        assert!(answer.len() <= 16, "{answer:?}");
    }
    wait_until("all of them are counted", PATIENCE, async || {
        handshakes(&node, "failed").await == 6.0
    })
    .await;

    // Without a word on protocols, as older senders come.
    let client = client(&[&pair], &[&TLS12, &TLS13], &[]);
    let mut stream = connect(&node.url, client).await.unwrap();
    assert_eq!(send(&mut stream, &Event::payment("evt_last")).await, 200);
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == 5
    })
    .await;
    let expires = "spillway_ingest_tls_certificate_expiry_timestamp_seconds ";
    assert!(node.metric(expires).await > now() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_silent_or_slow_in_its_hello_is_hung_up_on_and_keeps_nobody_waiting() {
    const MANY: usize = 20;
    const HANDSHAKE: Duration = Duration::from_secs(5);
    let (folder, pair) = (tempfile::tempdir().unwrap(), Pair::new());
    let (node, _books, _data) = serve_as(&configured(folder.path(), &pair, ""), "").await;
    let slow = (0..MANY).map(|number| {
        let url = node.url.clone();
        let slow = [Slow::Silent, Slow::Hello][number % 2];
        tokio::spawn(async move { dawdle(&url, slow).await })
    });
    let slow: Vec<_> = slow.collect();
    let client = client(&[&pair], &[&TLS13], &[]);
    for number in 0..3 {
        let mut stream = connect(&node.url, client.clone()).await.unwrap();
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(send(&mut stream, &event).await, 200);
    }
    assert_eq!(
        handshakes(&node, "too_slow").await,
        0.0,
        "they were waited for"
    );
    for slow in slow {
        let took = slow.await.unwrap();
        assert!(took < 4 * HANDSHAKE, "hung up on after {took:?}");
    }
    assert_eq!(handshakes(&node, "too_slow").await, MANY as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_without_a_restart_and_one_that_is_none_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) = (Pair::new(), Pair::new(), Pair::new());
    let (mut node, _books, _data) = serve_as(&configured(folder.path(), &first, ""), "").await;
    let client = client(&[&first, &second, &third], &[&TLS13], &[]);
    let mut open = connect(&node.url, client.clone()).await.unwrap();
    let mut sent = 0;
    let mut still_serves = async |open: &mut TlsStream<TcpStream>| {
        sent += 1;
        let event = Event::payment(&format!("evt_{sent}"));
        assert_eq!(send(open, &event).await, 200);
    };
    // How long a connection rests is bounded: it is used all the while.
    let mut is_shown = async |pair: &Pair| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            still_serves(&mut open).await;
            let stream = connect(&node.url, client.clone()).await.unwrap();
            let shown = stream.get_ref().1.peer_certificates().unwrap();
            if shown[0] == pair.der {
                return;
            }
            assert!(Instant::now() < deadline, "the certificate is not shown");
        }
    };
    is_shown(&first).await;
    mount(folder.path(), "v2", &second.certificate, &second.key);
    is_shown(&second).await;

    // The key of another one, which stays, and is told.
    mount(folder.path(), "v3", &third.certificate, &second.key);
    let told = "goes on with the old certificate: ingest.tls.key is not the key of the certificate";
    wait_until("the operator is told", PATIENCE, async || {
        node.running.output().contains(told)
    })
    .await;
    is_shown(&second).await;
    let failures = "spillway_ingest_tls_reload_failures_total ";
    assert_eq!(node.metric(failures).await, 1.0);
    mount(folder.path(), "v4", &third.certificate, &third.key);
    is_shown(&third).await;

    // A stop waits neither for a connection that rests nor for one that is silent.
    let _silent = Raw::connect(&node.url).await;
    node.terminate().await;
    let output = node.running.output();
    assert!(
        !output.contains("stopped with requests in flight"),
        "{output}"
    );
    for pair in [first, second, third] {
        let secret = pair.key.lines().nth(1).unwrap();
        assert!(!output.contains(secret));
    }
}
