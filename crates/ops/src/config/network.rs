//! Networks of addresses, as an operator writes them.

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Why a text is no network.
const RULE: &str =
    "is a network, such as \"203.0.113.0/24\" or \"2001:db8::/32\", or one address of it";

/// How many bits of an IPv4 address in IPv6's clothes are not the address.
const MAPPED_BITS: u8 = 96;

/// `203.0.113.0/24`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

impl Network {
    /// Whether an address is of this network. A socket that listens on `[::]` sees IPv4 peers as `::ffff:a.b.c.d`:
    /// they are the same peers, and meet the same networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse().or_else(|_| alone()).map_err(|_| RULE)?;
        Ok(Self(canonical(network)))
    }
}

/// The IPv4 network that a network of mapped addresses is.
fn canonical(network: IpNet) -> IpNet {
    let mapped = || {
        let bits = network.prefix_len().checked_sub(MAPPED_BITS)?;
        match network.addr().to_canonical() {
            IpAddr::V4(address) => Ipv4Net::new(address, bits).ok(),
            IpAddr::V6(_) => None,
        }
    };
    match network {
        IpNet::V4(_) => network,
        IpNet::V6(_) => mapped().map_or(network, IpNet::V4),
    }
}

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn an_address_is_of_the_networks_that_it_is_of() {
        for (network, address, expected) in [
            ("203.0.113.0/24", "203.0.113.0", true),
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            // Somebody's own address stands for the network around it.
            ("203.0.113.77/24", "203.0.113.1", true),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            // Every address of IPv6 is not every address.
            ("::/0", "198.51.100.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("203.0.113.0/24", "::ffff:203.0.114.9", false),
            ("::ffff:203.0.113.0/120", "203.0.113.9", true),
            ("::ffff:203.0.113.0/120", "203.0.114.9", false),
            ("::ffff:203.0.113.9", "203.0.113.9", true),
            // The old "compatible" form is another address.
            ("203.0.113.0/24", "::203.0.113.9", false),
        ] {
            let network: Network = network.parse().unwrap();
            let found = network.contains(address.parse().unwrap());
            assert_eq!(found, expected, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "203.0.113.0/33",
            "203.0.113/24",
            "2001:db8::/129",
            "example.org",
            "203.0.113.0/24 ",
            "203.0.113.0/-1",
            "*",
        ] {
            assert_eq!(text.parse::<Network>(), Err(RULE), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_what_shares_its_first_bits(net: u32, bits in 0u8..=32, address: u32) {
            let network: Network = format!("{}/{bits}", Ipv4Addr::from(net)).parse().unwrap();
            let shares = (net ^ address).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0;
            let plain = Ipv4Addr::from(address);
            prop_assert_eq!(network.contains(plain.into()), shares);
            prop_assert_eq!(network.contains(plain.to_ipv6_mapped().into()), shares);
        }

        #[test]
        fn the_same_of_ipv6(net: u128, bits in 0u8..=128, address: u128) {
            let net = Ipv6Addr::from(net);
            prop_assume!(net.to_ipv4_mapped().is_none());
            let network: Network = format!("{net}/{bits}").parse().unwrap();
            let differs = u128::from(net) ^ address;
            let shares = differs.checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0;
            prop_assume!(Ipv6Addr::from(address).to_ipv4_mapped().is_none());
            prop_assert_eq!(network.contains(Ipv6Addr::from(address).into()), shares);
        }
    }
}
