//! Which addresses may be connected to. Checked where a connection is opened, on the addresses that it is opened to:
//! what a URL says and what a name server answers do not matter, and no later answer is used without a check.

mod special;

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use self::special::refusal;
use crate::error::{Code, Failure};

/// The caller's wish that nothing but the public internet is reached.
pub(crate) struct Guard {
    blocks_private: bool,
    /// Networks that are reached all the same.
    allowed: Box<[IpNet]>,
}

impl Guard {
    /// A guard that lets through what is public or `allowed`; all, unless it `blocks_private`.
    pub(crate) fn new(blocks_private: bool, allowed: &[IpNet]) -> Self {
        Self { blocks_private, allowed: allowed.into() }
    }

    /// Those of the addresses of one host that may be connected to, in their order. O(1) if nothing is blocked.
    ///
    /// # Errors
    /// `blocked.address` if there were some, and none is left.
    pub(crate) fn admit<'a>(&self, addresses: &'a [IpAddr]) -> Result<Cow<'a, [IpAddr]>, Failure> {
        let Some((at, why)) = self.first_refused(addresses) else { return Ok(Cow::Borrowed(addresses)) };
        let left: Vec<_> =
            addresses.iter().copied().filter(|&address| self.refuses(address).is_none()).collect();
        if left.is_empty() {
            let address = addresses.get(at).map(IpAddr::to_canonical);
            let shown = address.map_or_else(String::new, |address| address.to_string());
            let detail = format!("not connected to {shown}: {why}");
            return Err(Failure::new(Code::BlockedAddress, detail));
        }
        Ok(Cow::Owned(left))
    }

    fn first_refused(&self, addresses: &[IpAddr]) -> Option<(usize, &'static str)> {
        let refused = |(at, &address)| self.refuses(address).map(|why| (at, why));
        addresses.iter().enumerate().find_map(refused)
    }

    /// Why an address may not be connected to. None: it may.
    fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        if !self.blocks_private {
            return None;
        }
        // A mapped address is the IPv4 address in it: the system sends IPv4.
        let address = address.to_canonical();
        refusal(address).filter(|_| !self.allowed.iter().any(|network| network.contains(&address)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn without_a_guard_all_addresses_are_used() {
        let all = addresses(&["127.0.0.1", "::1", "10.0.0.1"]);
        let guard = Guard::new(false, &[]);
        assert!(matches!(guard.admit(&all), Ok(Cow::Borrowed(left)) if left == all));
    }

    #[test]
    fn d8_private_addresses_are_dropped_and_the_others_keep_their_order() {
        let guard = Guard::new(true, &[]);
        let mixed = addresses(&["::1", "1.1.1.1", "10.0.0.1", "2606:4700::1111", "::ffff:127.0.0.1"]);
        assert_eq!(*guard.admit(&mixed).unwrap(), addresses(&["1.1.1.1", "2606:4700::1111"]));
        let failure = guard.admit(&addresses(&["::ffff:10.0.0.1", "::1"])).unwrap_err();
        assert_eq!(failure.code, Code::BlockedAddress);
        assert_eq!(failure.detail, "not connected to 10.0.0.1: a private network");
        assert!(guard.admit(&[]).unwrap().is_empty(), "a host without an address is no blocked one");
    }

    #[test]
    fn allowed_networks_are_those_of_the_address_that_is_connected_to() {
        let guard = Guard::new(true, &["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let admits = |text: &str| guard.admit(&addresses(&[text])).is_ok();
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "8.8.8.8"] {
            assert!(admits(text), "{text}");
        }
        // Translated by somebody else, it is not known to be the same host.
        for text in ["10.2.0.1", "64:ff9b::10.1.2.3", "fe80::1", "127.0.0.1"] {
            assert!(!admits(text), "{text}");
        }
    }
}
