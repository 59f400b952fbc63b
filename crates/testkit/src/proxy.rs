//! A network that can be broken on demand: one listener on a free loopback port before one server.
//!
//! What it does to the connections it carries is decided by [`Rules`], which every pump follows at
//! once, old connections included. Nothing is ever dropped from the middle of a stream: what a black
//! hole swallows comes out when it closes, as TCP's own retransmissions would see to.

mod connection;
mod door;
mod pump;
mod rules;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use crate::ports::free_port;
use door::Door;
use rules::Rules;

pub use rules::Way;

/// A TCP proxy before one server, dropped with all its connections.
#[derive(Debug)]
pub struct Proxy {
    url: Url,
    rules: watch::Sender<Rules>,
    /// Each connection holds a clone, and the door one.
    carried: Arc<()>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server that `url` names by its host and port. It carries connections on
    /// the runtime it is made in; the server need not run yet.
    ///
    /// # Errors
    /// When the URL has no host and port, or no port can be taken.
    pub async fn before(url: &str) -> Result<Self> {
        Self::before_any(&[url.to_owned()]).await
    }

    /// A proxy before several servers that are as good as each other, as a load balancer is: connections
    /// go to them in turn, past those that refuse.
    ///
    /// # Errors
    /// As [`before`](Self::before); without any URL too.
    pub async fn before_any(urls: &[String]) -> Result<Self> {
        let mut url = Url::parse(urls.first().context("no URL")?).context("not a URL")?;
        let upstreams = urls.iter().map(|url| address(url)).collect::<Result<_>>()?;
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        url.set_ip_host(Ipv4Addr::LOCALHOST.into())
            .and_then(|()| url.set_port(Some(port)))
            .map_err(|()| anyhow!("the URL takes no host and port"))?;
        let (rules, carried) = (watch::Sender::new(Rules::default()), Arc::new(()));
        let door = Door {
            upstreams,
            turn: 0,
            rules: rules.subscribe(),
            carried: carried.clone(),
        };
        let acceptor = tokio::spawn(door.accept(listener));
        Ok(Self {
            url,
            rules,
            carried,
            acceptor,
        })
    }

    /// The server's URL with the proxy in the server's place.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Heals everything: bytes held back flow on. What was reset or half-closed stays so.
    pub fn pass(&self) {
        self.rules.send_modify(Rules::heal);
    }

    /// Lets nothing through that way, of old connections and of new ones: no byte, no end of stream.
    pub fn black_hole(&self, way: Way) {
        self.rules.send_modify(|rules| rules[way].open = false);
    }

    /// Ends every connection there is with a reset, on both sides. New ones are carried.
    pub fn reset(&self) {
        self.rules.send_modify(|rules| rules.resets += 1);
    }

    /// Ends the stream that way, and only that way, of every connection there is.
    pub fn half_close(&self, way: Way) {
        self.rules.send_modify(|rules| rules[way].closes += 1);
    }

    /// Holds every piece back this long, both ways.
    pub fn delay(&self, by: Duration) {
        self.rules.send_modify(|rules| {
            rules[Way::Up].delay = by;
            rules[Way::Down].delay = by;
        });
    }

    /// Hands everything on in pieces of at most this many bytes, both ways.
    pub fn slice(&self, bytes: usize) {
        self.rules.send_modify(|rules| {
            rules[Way::Up].slice = bytes.max(1);
            rules[Way::Down].slice = bytes.max(1);
        });
    }

    /// Lets this many bytes through that way and then resets: of each connection, counted from now or
    /// from its beginning.
    pub fn cut_after(&self, way: Way, bytes: usize) {
        self.rules.send_modify(|rules| rules[way].cut(bytes));
    }

    /// Resets new connections before they are carried. The old ones stay.
    pub fn refuse(&self) {
        self.rules.send_modify(|rules| rules.refuse = true);
    }

    /// How many connections it carries now.
    #[must_use]
    pub fn connections(&self) -> usize {
        Arc::strong_count(&self.carried).saturating_sub(2)
    }
}

fn address(url: &str) -> Result<(String, u16)> {
    let url = Url::parse(url).context("not a URL")?;
    let host = url.host_str().context("a URL without a host")?.to_owned();
    Ok((host, url.port().context("a URL without a port")?))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
