//! Each way to break a connection, seen from both of its ends.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use testkit::{Proxy, Way, wait_until, wait_within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(10);
/// Long enough for loopback, and paid only where nothing is expected to come.
const A_WHILE: Duration = Duration::from_millis(200);

/// A server that accepts, and a proxy before it.
struct Place {
    server: TcpListener,
    proxy: Proxy,
}

impl Place {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = server.local_addr().expect("an address").port();
        let proxy = Proxy::before(&format!("amqp://a:b@127.0.0.1:{port}/x")).await;
        Self {
            server,
            proxy: proxy.expect("a proxy"),
        }
    }

    /// A connection through the proxy: the client's end, the server's end.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let port = url::Url::parse(self.proxy.url()).expect("a URL").port();
        let address = ("127.0.0.1", port.expect("a port"));
        let client = TcpStream::connect(address).await.expect("it listens");
        let (server, _) = self.server.accept().await.expect("it is carried");
        (client, server)
    }
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("it is connected");
}

async fn hear(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = tokio::time::timeout(SOON, stream.read_exact(&mut bytes));
    read.await.expect("in time").expect("it is connected");
    bytes
}

async fn hears_nothing(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(A_WHILE, stream.peek(&mut byte));
    read.await.is_err()
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(SOON, stream.read_u8()).await;
    matches!(read, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn it_carries_bytes_both_ways_and_keeps_the_rest_of_the_url() {
    let place = Place::new().await;
    assert!(place.proxy.url().starts_with("amqp://a:b@127.0.0.1:"));
    assert!(place.proxy.url().ends_with("/x"));
    let (mut client, mut server) = place.connect().await;
    say(&mut client, b"question").await;
    assert_eq!(hear(&mut server, 8).await, b"question");
    say(&mut server, b"answer").await;
    assert_eq!(hear(&mut client, 6).await, b"answer");
    assert_eq!(place.proxy.connections(), 1);
    drop((client, server));
    let proxy = &place.proxy;
    wait_until("it is let go", SOON, async || proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_black_hole_swallows_one_way_and_gives_back_when_it_heals() {
    for way in [Way::Up, Way::Down] {
        let place = Place::new().await;
        let (client, server) = place.connect().await;
        let (mut from, mut to) = match way {
            Way::Up => (client, server),
            Way::Down => (server, client),
        };
        place.proxy.black_hole(way);
        say(&mut from, b"lost?").await;
        assert!(hears_nothing(&mut to).await, "{way:?}");
        say(&mut to, b"here").await;
        assert_eq!(hear(&mut from, 4).await, b"here", "the other way is open");
        place.proxy.pass();
        assert_eq!(hear(&mut to, 5).await, b"lost?", "{way:?}");
    }
}

#[tokio::test]
async fn a_black_hole_swallows_the_end_of_the_stream_too() {
    let place = Place::new().await;
    let (client, mut server) = place.connect().await;
    place.proxy.black_hole(Way::Up);
    drop(client);
    assert!(hears_nothing(&mut server).await, "it knows of the end");
    place.proxy.pass();
    let ended = tokio::time::timeout(SOON, server.read_u8()).await;
    assert!(ended.expect("in time").is_err());
}

#[tokio::test]
async fn a_reset_ends_what_is_there_on_both_sides_and_nothing_that_comes_later() {
    let place = Place::new().await;
    let (mut client, mut server) = place.connect().await;
    place.proxy.reset();
    assert!(is_reset(&mut client).await);
    assert!(is_reset(&mut server).await);
    let (mut client, mut server) = place.connect().await;
    say(&mut client, b"again").await;
    assert_eq!(hear(&mut server, 5).await, b"again");
}

#[tokio::test]
async fn a_half_close_ends_one_way_only() {
    let place = Place::new().await;
    let (mut client, mut server) = place.connect().await;
    place.proxy.half_close(Way::Up);
    let ended = tokio::time::timeout(SOON, server.read(&mut [0])).await;
    assert_eq!(ended.expect("in time").expect("no reset"), 0);
    say(&mut server, b"still").await;
    assert_eq!(hear(&mut client, 5).await, b"still");
}

#[tokio::test]
async fn a_delay_holds_back_and_loses_nothing() {
    let place = Place::new().await;
    let (mut client, mut server) = place.connect().await;
    place.proxy.delay(A_WHILE);
    let started = Instant::now();
    say(&mut client, b"late").await;
    assert_eq!(hear(&mut server, 4).await, b"late");
    assert!(started.elapsed() >= A_WHILE);
}

#[tokio::test]
async fn slices_arrive_in_order_and_complete() {
    let place = Place::new().await;
    let (mut client, mut server) = place.connect().await;
    place.proxy.slice(3);
    let text: Vec<u8> = (0..=255).collect();
    say(&mut client, &text).await;
    let mut first = [0; 256];
    let read = server.read(&mut first).await.expect("it is connected");
    assert!(read < 256, "all of it came at once");
    let rest = hear(&mut server, 256 - read).await;
    assert_eq!([&first[..read], &rest].concat(), text);
}

#[tokio::test]
async fn a_cut_lets_so_many_bytes_through_and_then_resets() {
    let place = Place::new().await;
    let (mut client, mut server) = place.connect().await;
    say(&mut client, b"before").await;
    assert_eq!(hear(&mut server, 6).await, b"before");
    place.proxy.cut_after(Way::Up, 4);
    say(&mut client, b"cuthere").await;
    assert!(is_reset(&mut client).await);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, server.read_to_end(&mut rest)).await;
    assert!(ended.expect("in time").is_err(), "it ended in order");
    assert!(b"cuth".starts_with(&rest), "{rest:?}");
    // Each connection has its own count, and a healed proxy none.
    place.proxy.pass();
    let (mut client, mut server) = place.connect().await;
    say(&mut client, b"far more than four").await;
    assert_eq!(hear(&mut server, 18).await, b"far more than four");
}

#[tokio::test]
async fn a_refusal_is_for_new_connections_only() {
    let place = Place::new().await;
    let (mut client, mut server) = place.connect().await;
    place.proxy.refuse();
    let port = url::Url::parse(place.proxy.url()).expect("a URL").port();
    let address = ("127.0.0.1", port.expect("a port"));
    let refused = TcpStream::connect(address).await;
    let refused = match refused {
        Ok(mut stream) => stream.read_u8().await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    say(&mut client, b"old").await;
    assert_eq!(hear(&mut server, 3).await, b"old");
    let carried = wait_within(A_WHILE, async || place.proxy.connections() > 1).await;
    assert!(carried.is_none(), "it was carried");
}
