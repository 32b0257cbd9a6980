//! The registrable domain of a host: one owner has it, with all names below it.
//!
//! Source: the Public Suffix List, <https://publicsuffix.org/list/>, compiled in: nothing is downloaded.

/// The registrable domain that a host belongs to: `example.co.uk` of `www.example.co.uk`. None: the host is an address,
/// a name of one label, or itself a public suffix. A dot at the end of a name is no part of its domain.
pub(crate) fn registrable(host: &str) -> Option<&str> {
    if is_address(host) { None } else { psl::domain_str(host) }
}

fn is_address(host: &str) -> bool {
    // The URL standard reads every host whose last label is a number as an IPv4 address.
    let is_number = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    host.contains(':') || host.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::request::host_name;

    #[test]
    fn a_domain_is_the_name_below_a_public_suffix() {
        for (written, domain) in [
            ("example.com", Some("example.com")),
            ("WWW.Example.COM", Some("example.com")),
            ("a.b.c.example.com", Some("example.com")),
            ("www.example.co.uk", Some("example.co.uk")),
            ("co.uk", None),
            ("com", None),
            // Those who rent out names below theirs are in the list too.
            ("a.someone.github.io", Some("someone.github.io")),
            ("github.io", None),
            // The rule with a star, and its exception.
            ("a.b.foo.ck", Some("b.foo.ck")),
            ("foo.ck", None),
            ("a.www.ck", Some("www.ck")),
            // What the list does not know has one label of suffix.
            ("a.intranet.corp", Some("intranet.corp")),
            ("n7.site.localhost", Some("site.localhost")),
            ("localhost", None),
            ("a.example.com.", Some("example.com")),
            // 公司.cn is a public suffix.
            ("商店.公司.cn", Some("xn--czrs0t.xn--55qx5d.cn")),
            ("www.商店.公司.cn", Some("xn--czrs0t.xn--55qx5d.cn")),
            ("公司.cn", None),
            ("www.bücher.de", Some("xn--bcher-kva.de")),
            ("192.0.2.1", None),
            ("0x7f.1", None),
            ("::1", None),
            ("[2001:db8::1]", None),
        ] {
            let host = host_name(written).unwrap();
            assert_eq!(registrable(&host), domain, "{written} ({host})");
        }
    }
}
