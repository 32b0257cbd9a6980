//! The addresses that are not of the public internet.
//!
//! Source: the IANA IPv4 and IPv6 Special-Purpose Address Registries as of 2025-10-09, whole, and the registries of
//! multicast addresses and of the IPv6 address space. `Ipv4Addr::is_global` of the standard library is unstable, and
//! looks into no translated address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// A block of addresses with one purpose. Of several that hold an address, the smallest counts.
struct Block<Net> {
    net: Net,
    /// What it is for, where it must not be connected to. None: it is reached as any other address is.
    refused: Option<&'static str>,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8, refused: Option<&'static str>) -> Block<Ipv4Net> {
    Block { net: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length), refused }
}

#[allow(clippy::many_single_char_names)] // The eight parts of an address have no names.
const fn v6(address: [u16; 8], length: u8, refused: Option<&'static str>) -> Block<Ipv6Net> {
    let [a, b, c, d, e, f, g, h] = address;
    Block { net: Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length), refused }
}

const THIS_HOST: Option<&str> = Some("this host");
const PRIVATE: Option<&str> = Some("a private network");
const LINK_LOCAL: Option<&str> = Some("a link-local address");
const MULTICAST: Option<&str> = Some("a multicast address");
const PROTOCOL: Option<&str> = Some("an address of network protocols");
/// The registries call these globally reachable. The nearest server answers them, which is one's own gateway.
const NEAREST: Option<&str> = Some("an address of the nearest gateway");
const DOCUMENTATION: Option<&str> = Some("an address for documentation");
const BENCHMARKS: Option<&str> = Some("an address for benchmarks");
const RESERVED: Option<&str> = Some("a reserved address");
const TRANSLATED: Option<&str> = Some("an address that is translated within a network");
const DISCARDED: Option<&str> = Some("an address whose packets are discarded");
const PUBLIC: Option<&str> = None;

static IPV4: [Block<Ipv4Net>; 29] = [
    v4(0, 0, 0, 0, 8, THIS_HOST),
    v4(0, 0, 0, 0, 32, THIS_HOST),
    v4(10, 0, 0, 0, 8, PRIVATE),
    v4(100, 64, 0, 0, 10, Some("an address behind a carrier's NAT")),
    v4(127, 0, 0, 0, 8, Some("a loopback address")),
    v4(169, 254, 0, 0, 16, LINK_LOCAL),
    v4(172, 16, 0, 0, 12, PRIVATE),
    v4(192, 0, 0, 0, 24, PROTOCOL),
    v4(192, 0, 0, 0, 29, PROTOCOL),
    v4(192, 0, 0, 8, 32, PROTOCOL),
    v4(192, 0, 0, 9, 32, NEAREST),
    v4(192, 0, 0, 10, 32, NEAREST),
    v4(192, 0, 0, 170, 32, PROTOCOL),
    v4(192, 0, 0, 171, 32, PROTOCOL),
    v4(192, 0, 2, 0, 24, DOCUMENTATION),
    v4(192, 31, 196, 0, 24, PUBLIC),
    v4(192, 52, 193, 0, 24, PUBLIC),
    v4(192, 88, 99, 0, 24, NEAREST),
    v4(192, 88, 99, 2, 32, NEAREST),
    v4(192, 168, 0, 0, 16, PRIVATE),
    v4(192, 175, 48, 0, 24, PUBLIC),
    v4(198, 18, 0, 0, 15, BENCHMARKS),
    v4(198, 51, 100, 0, 24, DOCUMENTATION),
    v4(203, 0, 113, 0, 24, DOCUMENTATION),
    v4(224, 0, 0, 0, 4, MULTICAST),
    v4(240, 0, 0, 0, 4, RESERVED),
    v4(255, 255, 255, 255, 32, Some("the broadcast address")),
    // In no registry: virtual machines in Azure reach the platform there. Source: Microsoft, "What is IP address
    // 168.63.129.16?".
    v4(168, 63, 129, 16, 32, Some("the platform of a cloud")),
    v4(0, 0, 0, 0, 0, PUBLIC),
];

static IPV6: [Block<Ipv6Net>; 28] = [
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Some("a loopback address")),
    v6([0; 8], 128, THIS_HOST),
    // Unpacked before: the system sends IPv4.
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, RESERVED),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, PUBLIC),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, TRANSLATED),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, DISCARDED),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, DISCARDED),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, PROTOCOL),
    // Teredo and, below, 6to4: the registry leaves open whether they are reachable. That depends on the addresses in them.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, PUBLIC),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, NEAREST),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, NEAREST),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, NEAREST),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, BENCHMARKS),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, PUBLIC),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, PUBLIC),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, RESERVED),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, PUBLIC),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, PUBLIC),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, PUBLIC),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, PUBLIC),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, PROTOCOL),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, PRIVATE),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
    v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, PUBLIC),
    // All else is no unicast address of the internet: IPv4-compatible, IPv4-translated (`::ffff:0:0:0/96`) and
    // site-local addresses (`fec0::/10`) among it.
    v6([0; 8], 0, RESERVED),
];

/// Why an address is not one of the public internet. None: it is. A mapped address must have been unpacked.
pub(super) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let holding = IPV4.iter().filter(|block| block.net.contains(&address));
    holding.max_by_key(|block| block.net.prefix_len()).and_then(|block| block.refused)
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    let holding = IPV6.iter().filter(|block| block.net.contains(&address));
    let refused = holding.max_by_key(|block| block.net.prefix_len()).and_then(|block| block.refused);
    refused.or_else(|| carried(address).into_iter().flatten().find_map(refusal_v4))
}

/// The IPv4 addresses in an IPv6 address, to which a gateway may pass on what is sent there: by NAT64 (RFC 6052), 6to4
/// (RFC 3056), Teredo (RFC 4380: its server, and the client with all bits inverted) and ISATAP (RFC 5214).
#[allow(clippy::many_single_char_names)]
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let [a, b, c, d, e, f, g, h] = address.segments();
    let [by_prefix, client] = match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => [v4(g, h), None],
        (0x2001, 0) => [v4(c, d), v4(!g, !h)],
        (0x2002, _) => [v4(b, c), None],
        _ => [None, None],
    };
    // The first of the interface's part: the bit that says whether it is unique in the world, and the one beside it.
    let isatap = if e & !0x300 == 0 && f == 0x5efe { v4(g, h) } else { None };
    [by_prefix, client, isatap]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use ipnet::IpNet;

    fn is_refused(address: IpAddr) -> bool {
        refusal(address.to_canonical()).is_some()
    }

    /// The registries as they read, and whether an address of the block is refused.
    const BLOCKS: [(&str, bool); 58] = [
        ("0.0.0.0/8", true),
        ("0.0.0.0/32", true),
        ("10.0.0.0/8", true),
        ("100.64.0.0/10", true),
        ("127.0.0.0/8", true),
        ("169.254.0.0/16", true),
        ("172.16.0.0/12", true),
        ("192.0.0.0/24", true),
        ("192.0.0.0/29", true),
        ("192.0.0.8/32", true),
        ("192.0.0.9/32", true),
        ("192.0.0.10/32", true),
        ("192.0.0.170/32", true),
        ("192.0.0.171/32", true),
        ("192.0.2.0/24", true),
        ("192.31.196.0/24", false),
        ("192.52.193.0/24", false),
        ("192.88.99.0/24", true),
        ("192.88.99.2/32", true),
        ("192.168.0.0/16", true),
        ("192.175.48.0/24", false),
        ("198.18.0.0/15", true),
        ("198.51.100.0/24", true),
        ("203.0.113.0/24", true),
        ("224.0.0.0/4", true),
        ("240.0.0.0/4", true),
        ("255.255.255.255/32", true),
        ("168.63.129.16/32", true),
        ("::1/128", true),
        ("::/128", true),
        ("::/96", true),
        ("::ffff:0:0:0/96", true),
        ("64:ff9b:1::/48", true),
        ("100::/64", true),
        ("100:0:0:1::/64", true),
        // Its first 2001::/32 is Teredo's, and 2001::/32 is among the translated ones below.
        ("2001:40::/26", true),
        ("2001:80::/25", true),
        ("2001:100::/24", true),
        ("2001:1::1/128", true),
        ("2001:1::2/128", true),
        ("2001:1::3/128", true),
        ("2001:2::/48", true),
        ("2001:3::/32", false),
        ("2001:4:112::/48", false),
        ("2001:10::/28", true),
        ("2001:20::/28", false),
        ("2001:30::/28", false),
        ("2001:db8::/32", true),
        ("2620:4f:8000::/48", false),
        ("3fff::/20", true),
        ("5f00::/16", true),
        ("fc00::/7", true),
        ("fe80::/10", true),
        ("fec0::/10", true),
        ("ff00::/8", true),
        ("4000::/2", true),
        ("8000::/2", true),
        ("2400::/6", false),
    ];

    #[test]
    fn d6_every_block_is_refused_or_public_from_its_first_address_to_its_last() {
        for (text, refused) in BLOCKS {
            let net: IpNet = text.parse().unwrap();
            for address in [net.network(), net.broadcast()] {
                assert_eq!(is_refused(address), refused, "{address} of {text}");
            }
        }
    }

    #[test]
    fn d6_the_neighbours_of_blocks_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "168.63.129.15",
            "168.63.129.17",
            "8.8.8.8",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2003::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "2000::",
            "2606:4700:4700::1111",
        ] {
            assert!(!is_refused(text.parse().unwrap()), "{text}");
        }
    }

    /// A translated address is refused if an address in it is, whatever the spelling.
    #[test]
    fn i14_translated_addresses_are_what_is_in_them() {
        for (private, public) in [
            ("::ffff:127.0.0.1", "::ffff:1.1.1.1"),
            ("::ffff:169.254.169.254", "::ffff:8.8.8.8"),
            ("64:ff9b::7f00:1", "64:ff9b::1.1.1.1"),
            ("64:ff9b::10.0.0.1", "64:ff9b::808:808"),
            // 6to4.
            ("2002:7f00:1::", "2002:101:101::1"),
            ("2002:a9fe:a9fe::1", "2002:808:808::1"),
            // Teredo: its server, its client.
            ("2001:0:7f00:1::fefe:fefe", "2001:0:101:101::fefe:fefe"),
            ("2001:0:101:101::80ff:fffe", "2001:0:101:101:8000:63bf:f7f7:f7f7"),
            // ISATAP, below any prefix.
            ("2606:4700::5efe:10.0.0.1", "2606:4700::5efe:1.1.1.1"),
            ("2606:4700::200:5efe:127.0.0.1", "2606:4700::200:5efe:101:101"),
            ("2002:101:101::5efe:10.0.0.1", "2002:101:101::5efe:1.1.1.1"),
        ] {
            assert!(is_refused(private.parse().unwrap()), "{private}");
            assert!(!is_refused(public.parse().unwrap()), "{public}");
        }
        // Where no public address can be reached, the one within does not matter.
        for text in ["::1.1.1.1", "::ffff:0:1.1.1.1", "64:ff9b:1::1.1.1.1", "fe80::5efe:1.1.1.1"] {
            assert!(is_refused(text.parse().unwrap()), "{text}");
        }
    }
}
