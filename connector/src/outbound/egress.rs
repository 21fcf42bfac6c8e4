//! Which addresses something may be sent to: the public internet, and the networks an administrator names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::site::api_account;

/// Networks that are allowed beside the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// Reads the site setting `outbound_networks`. What can't be read, which the setting never holds, allows nothing.
    #[must_use]
    pub fn read(networks: &[String]) -> Self {
        let read = networks
            .iter()
            .filter_map(|network| api_account::parse_network(network));
        Self(read.collect())
    }

    /// Whether something may be sent to `address`.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> bool {
        let address = plain(address);
        is_public(address) || (!self.0.is_empty() && api_account::admits(&self.0, address))
    }
}

/// The IPv4 address inside an IPv6 one that only carries it: mapped, NAT64 or 6to4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // The old form `::a.b.c.d`, which is neither `::` nor `::1`.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded(high, low),
        _ => IpAddr::V6(v6),
    }
}

/// Whether an address is one of the public internet (IANA special-purpose address registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    // 2001::/23 (Teredo and other protocols), 2001:db8::/32 and 3fff::/20 (documentation).
    let special = first == 0x2001 && (second < 0x200 || second == 0xdb8)
        || first == 0x3fff && second < 0x1000;
    global && !special
}

#[cfg(test)]
mod tests {
    use super::Networks;

    fn admits(networks: &Networks, address: &str) -> bool {
        networks.admit(address.parse().expect("an address"))
    }

    /// threat U
    #[test]
    fn threat_u_only_the_public_internet_is_reached_unless_allowed() {
        let none = Networks::default();
        for public in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(admits(&none, public), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!admits(&none, special), "{special}");
        }
        let inside = Networks::read(&[
            "10.1.0.0/16".to_owned(),
            "127.0.0.1".to_owned(),
            "fd00::/8".to_owned(),
            "nonsense".to_owned(),
        ]);
        for allowed in [
            "10.1.2.3",
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "fd12::1",
            "1.1.1.1",
        ] {
            assert!(admits(&inside, allowed), "{allowed}");
        }
        for other in ["10.2.0.1", "127.0.0.2", "fc00::1", "169.254.169.254"] {
            assert!(!admits(&inside, other), "{other}");
        }
    }
}
