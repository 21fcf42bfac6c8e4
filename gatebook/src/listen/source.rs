//! Where connections come from, as far as they are told apart: by network, since an address is cheap to change within one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        assert_eq!(source("192.0.2.1"), source("192.0.2.254"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.7"));
        assert_ne!(source("192.0.2.1"), source("192.0.3.1"));
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:ffff::1"));
        assert_ne!(source("2001:db8:1::1"), source("2001:db8:2::1"));
    }
}
