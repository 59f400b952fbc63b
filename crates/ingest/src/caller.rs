//! Whose address a request counts as coming from: the peer's, or what a trusted proxy says of its own peer.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use ops::config::{IngestConfig, Network, any_contains};
use std::net::{IpAddr, SocketAddr};

/// The proxies that are believed, and where they write.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    proxies: Vec<Network>,
    header: Option<HeaderName>,
}

impl Callers {
    pub(crate) fn new(bounds: &IngestConfig) -> Self {
        let header = bounds.client_address_header.as_ref();
        Self {
            proxies: bounds.trusted_proxies.clone(),
            header: header.map(|name| {
                HeaderName::try_from(name.as_str()).expect("the configuration has checked it")
            }),
        }
    }

    /// Whether this is a trusted proxy.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        any_contains(&self.proxies, peer.to_canonical())
    }

    /// The caller's address; none where a trusted proxy has handed on something that is no address.
    pub(crate) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let Some(header) = &self.header else {
            return Some(peer);
        };
        let lines = headers.get_all(header).iter();
        let lines: Vec<_> = lines.map(|line| line.as_bytes()).collect();
        behind(peer, &lines, &self.proxies)
    }
}

/// The last address that is not a trusted proxy's, read from the right.
///
/// A proxy appends the address of its own peer to what that peer has sent. So only the right end is written by somebody
/// we trust, and each step to the left is to be believed as long as whoever wrote it, the one to its right, is trusted. What
/// stands further left, the first entry above all, may be the sender's own invention. Where everybody is a trusted
/// proxy, the farthest of them is the caller: the request began there.
fn behind(peer: IpAddr, lines: &[&[u8]], proxies: &[Network]) -> Option<IpAddr> {
    let mut caller = peer.to_canonical();
    // Several lines of one name are one list, in their order (RFC 9110 §5.3).
    let entries = lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|byte| *byte == b','));
    for entry in entries {
        if !any_contains(proxies, caller) {
            break;
        }
        // What is no address ends the walk without one: to go on would be to believe what is left of it.
        caller = address(entry)?;
    }
    Some(caller)
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<std::net::Ipv6Addr>()
            .ok()
    };
    let alone = text.parse::<IpAddr>().ok();
    alone
        .or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
        .or_else(|| bracketed().map(IpAddr::V6))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn check(peer: &str, lines: &[&str], expected: Option<&str>) {
        let proxies = networks(&["10.0.0.0/8", "fd00::/8"]);
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        let caller = behind(peer.parse().unwrap(), &lines, &proxies);
        let expected = expected.map(|text| text.parse().unwrap());
        assert_eq!(caller, expected, "{peer} with {lines:?}");
    }

    #[test]
    fn only_what_trusted_proxies_have_written_is_believed() {
        // Nobody in between.
        check("203.0.113.9", &[], Some("203.0.113.9"));
        // Whoever is no proxy may write what it likes.
        check("203.0.113.9", &["198.51.100.1"], Some("203.0.113.9"));
        check("203.0.113.9", &["nonsense"], Some("203.0.113.9"));
        check("10.0.0.1", &["203.0.113.9"], Some("203.0.113.9"));
        check("::ffff:10.0.0.1", &["203.0.113.9"], Some("203.0.113.9"));
        check("fd00::1", &["2001:db8::9"], Some("2001:db8::9"));
        // The first entry is the sender's invention, the last one is the proxy's.
        check(
            "10.0.0.1",
            &["198.51.100.1, 203.0.113.9"],
            Some("203.0.113.9"),
        );
        check("10.0.0.1", &["10.0.0.7, 203.0.113.9"], Some("203.0.113.9"));
        check("10.0.0.1", &["nonsense, 203.0.113.9"], Some("203.0.113.9"));
        // Two proxies in a row.
        check("10.0.0.1", &["203.0.113.9,10.0.0.2"], Some("203.0.113.9"));
        check(
            "10.0.0.1",
            &["198.51.100.1, 203.0.113.9 ,10.0.0.2"],
            Some("203.0.113.9"),
        );
        // Over two lines.
        check(
            "10.0.0.1",
            &["198.51.100.1", "203.0.113.9"],
            Some("203.0.113.9"),
        );
        check(
            "10.0.0.1",
            &["203.0.113.9", "10.0.0.2"],
            Some("203.0.113.9"),
        );
        // Everybody is a proxy, or nobody has written anything.
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3"));
        check("10.0.0.1", &[], Some("10.0.0.1"));
        // Spellings.
        check("10.0.0.1", &["203.0.113.9:4711"], Some("203.0.113.9"));
        check("10.0.0.1", &["[2001:db8::9]:4711"], Some("2001:db8::9"));
        check("10.0.0.1", &["[2001:db8::9]"], Some("2001:db8::9"));
        check("10.0.0.1", &["::ffff:203.0.113.9"], Some("203.0.113.9"));
        check(
            "10.0.0.1",
            &["203.0.113.9, ::ffff:10.0.0.2"],
            Some("203.0.113.9"),
        );
        // What is no address is nobody's.
        for nonsense in [
            "",
            "unknown",
            "203.0.113",
            "203.0.113.9,",
            "for=203.0.113.9",
            "203.0.113.9 x",
            "\u{fffd}",
        ] {
            check("10.0.0.1", &[nonsense], None);
        }
        check("10.0.0.1", &["203.0.113.9, nonsense, 10.0.0.2"], None);
    }

    fn listed(addresses: &[IpAddr]) -> String {
        let texts: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        texts.join(", ")
    }

    proptest! {
        #[test]
        fn nothing_that_a_sender_writes_changes_its_address(
            invented in "[ -~]{0,60}",
            caller in any::<[u8; 4]>().prop_filter("is no proxy", |bytes| bytes[0] != 10),
            chain in proptest::collection::vec(any::<[u8; 3]>(), 0..4),
        ) {
            let proxies = networks(&["10.0.0.0/8"]);
            let own = |[a, b, c]: [u8; 3]| IpAddr::from([10, a, b, c]);
            let caller = IpAddr::from(caller);
            // Each proxy appends its peer, the last one is ours.
            let mut written = vec![caller];
            written.extend(chain.into_iter().map(own));
            let line = format!("{invented},{}", listed(&written));
            let found = behind(IpAddr::from([10, 9, 9, 9]), &[line.as_bytes()], &proxies);
            prop_assert_eq!(found, Some(caller));
        }

        #[test]
        fn whoever_is_no_proxy_counts_as_itself(peer: [u8; 4], line: Vec<u8>) {
            prop_assume!(peer[0] != 10);
            let found = behind(peer.into(), &[&line], &networks(&["10.0.0.0/8"]));
            prop_assert_eq!(found, Some(peer.into()));
        }

        #[test]
        fn no_line_is_too_strange_for_a_proxy_to_hand_on(line: Vec<u8>) {
            let everybody = networks(&["0.0.0.0/0", "::/0"]);
            let found = behind([10, 0, 0, 1].into(), &[&line], &everybody);
            let is_address = |entry: &[u8]| address(entry).is_some();
            prop_assert_eq!(found.is_some(), line.split(|byte| *byte == b',').all(is_address));
        }
    }
}
