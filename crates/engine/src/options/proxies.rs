//! Proxies, and which request goes through which.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// What is spoken to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS 5 with addresses: names are resolved here.
    Socks5,
    /// SOCKS 5 with names: the proxy resolves them.
    Socks5h,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What is spoken to it.
    pub kind: ProxyKind,
    /// Its name or address, without brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// User and password.
    pub credentials: Option<(Box<str>, Box<str>)>,
}

impl Proxy {
    /// Reads `scheme://user:password@host:port`; without a scheme it is http, as for curl.
    ///
    /// # Errors
    /// Says what is wrong, without repeating credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyKind::Http,
            "https" => ProxyKind::Https,
            "socks5" => ProxyKind::Socks5,
            "socks5h" => ProxyKind::Socks5h,
            "socks" | "socks4" | "socks4a" => {
                return Err(format!("{scheme:?} is not supported; socks5 and socks5h are"));
            }
            _ => return Err("a proxy starts with http://, https://, socks5:// or socks5h://".to_owned()),
        };
        // As the URL of a scheme without a default port: what is written is what is used.
        let url = Url::parse(&format!("proxy://{rest}")).map_err(|_| "it is not a URL".to_owned())?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("a proxy has no path".to_owned());
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(name)) => ascii_host(name)?,
            Some(Host::Ipv4(address)) => address.to_string(),
            None => return Err("it names no host".to_owned()),
        };
        let Some(port) = url.port().filter(|port| *port > 0) else {
            return Err(format!("it names no port: {host}:3128, for example"));
        };
        let decoded = |part: &str| -> Box<str> { percent_decode_str(part).decode_utf8_lossy().into() };
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        let credentials =
            has_credentials.then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        if kind.is_socks()
            && credentials.iter().any(|(user, password)| {
                user.is_empty() || user.len() > 255 || password.is_empty() || password.len() > 255
            })
        {
            return Err("SOCKS 5 takes a user and a password of 1 to 255 bytes".to_owned());
        }
        Ok(Self { kind, host: host.into(), port, credentials })
    }
}

fn ascii_host(name: &str) -> Result<String, String> {
    let unreadable = || "its host is not valid".to_owned();
    let decoded = percent_decode_str(name).decode_utf8().map_err(|_| unreadable())?;
    match Host::parse(&decoded).map_err(|_| unreadable())? {
        Host::Domain(name) => Ok(name),
        other => Ok(other.to_string()),
    }
}

impl ProxyKind {
    /// Whether it is a SOCKS proxy.
    pub fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }
}

/// Without its credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.kind.scheme(), &self.host, self.port);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// A proxy by its place in [`Routes::proxies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyId(pub u16);

/// Which URLs a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// http or https alone.
    pub https: Option<bool>,
    /// Only these hosts.
    pub hosts: Option<HostPattern>,
}

/// Some hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name.
    Name(Box<str>),
    /// All names below this one.
    Below(Box<str>),
    /// This name and all below it.
    Domain(Box<str>),
    /// The addresses of a network; names are not resolved for it.
    Net(IpNet),
}

impl HostPattern {
    fn fits(&self, host: &str) -> bool {
        let is_below = |name: &str| {
            let label = host.strip_suffix(name).and_then(|rest| rest.strip_suffix('.'));
            label.is_some_and(|label| !label.is_empty())
        };
        match self {
            Self::Name(name) => **name == *host,
            Self::Below(name) => is_below(name),
            Self::Domain(name) => **name == *host || is_below(name),
            Self::Net(net) => host.parse::<IpAddr>().is_ok_and(|address| net.contains(&address)),
        }
    }
}

impl Pattern {
    /// Reads `all`, `http`, `https`, a name, `*.` and a name for all below it, `.` and a name for both, an address or a
    /// network; names may have a scheme in front: `https://*.example.com`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (https, host) = match text.split_once("://") {
            Some((scheme, host)) if scheme.eq_ignore_ascii_case("http") => (Some(false), host),
            Some((scheme, host)) if scheme.eq_ignore_ascii_case("https") => (Some(true), host),
            Some((scheme, host)) if scheme.eq_ignore_ascii_case("all") => (None, host),
            Some((scheme, _)) => return Err(format!("{scheme:?} is neither http nor https")),
            None if text.eq_ignore_ascii_case("http") => (Some(false), ""),
            None if text.eq_ignore_ascii_case("https") => (Some(true), ""),
            None if text.eq_ignore_ascii_case("all") => (None, ""),
            None => (None, text),
        };
        if host.is_empty() || host == "*" {
            if text.is_empty() {
                return Err("it is empty".to_owned());
            }
            return Ok(Self { https, hosts: None });
        }
        let name = |name: &str| ascii_host(name).map(Box::from);
        let hosts = if let Some(rest) = host.strip_prefix("*.") {
            HostPattern::Below(name(rest)?)
        } else if let Some(rest) = host.strip_prefix('.') {
            HostPattern::Domain(name(rest)?)
        } else if let Ok(net) = host.parse::<IpNet>() {
            HostPattern::Net(net.trunc())
        } else if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            HostPattern::Net(address.into())
        } else {
            HostPattern::Name(name(host)?)
        };
        Ok(Self { https, hosts: Some(hosts) })
    }

    fn fits(&self, is_https: bool, host: &str) -> bool {
        self.https.is_none_or(|https| https == is_https)
            && self.hosts.as_ref().is_none_or(|hosts| hosts.fits(host))
    }
}

/// A rule: the requests to some URLs go through these proxies in turn; without any, directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which URLs.
    pub pattern: Pattern,
    /// Which proxies.
    pub through: Vec<ProxyId>,
}

/// All rules. Nothing goes through a proxy by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The proxies.
    pub proxies: Vec<Proxy>,
    /// The first rule that fits decides.
    pub rules: Vec<Rule>,
}

impl Routes {
    /// Adds a rule: a pattern, and proxies as text. The same proxy in two rules is one.
    ///
    /// # Errors
    /// What is wrong, without credentials.
    pub fn add(&mut self, pattern: &str, through: &[String]) -> Result<(), String> {
        let read = Pattern::parse(pattern).map_err(|why| format!("{pattern:?} is no pattern: {why}"))?;
        let mut ids = Vec::with_capacity(through.len());
        for text in through {
            let proxy = Proxy::parse(text)?;
            let known = self.proxies.iter().position(|other| *other == proxy);
            let place = known.unwrap_or_else(|| {
                self.proxies.push(proxy);
                self.proxies.len() - 1
            });
            ids.push(ProxyId(
                u16::try_from(place).map_err(|_| "there are more than 65,536 proxies".to_owned())?,
            ));
        }
        self.rules.push(Rule { pattern: read, through: ids });
        Ok(())
    }

    /// The proxies for a URL; none: directly. `host` is as URLs have it, without brackets.
    pub(crate) fn through(&self, is_https: bool, host: &str) -> &[ProxyId] {
        // A dot at the end makes it no other host.
        let host = host.strip_suffix('.').unwrap_or(host);
        let rule = self.rules.iter().find(|rule| rule.pattern.fits(is_https, host));
        rule.map_or(&[], |rule| &rule.through)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_what_is_written_and_shows_no_password() {
        for (text, shown, credentials) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", None),
            ("proxy.example:80", "http://proxy.example:80", None),
            ("HTTPS://Proxy.Example:443/", "https://proxy.example:443", None),
            ("socks5://me:se%3Acret@[::1]:1080", "socks5://[::1]:1080", Some(("me", "se:cret"))),
            ("socks5h://127.0.0.1:1080", "socks5h://127.0.0.1:1080", None),
            ("http://me@proxy.example:3128", "http://proxy.example:3128", Some(("me", ""))),
            ("http://bücher.example:8080", "http://xn--bcher-kva.example:8080", None),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown);
            let found = proxy.credentials.as_ref().map(|(user, password)| (&**user, &**password));
            assert_eq!(found, credentials, "{text}");
            assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for text in [
            "",
            "http://",
            "ftp://secret:secret@proxy.example:21",
            "socks4://proxy.example:1080",
            "http://secret:secret@proxy.example",
            "http://proxy.example:0",
            "http://proxy.example:99999",
            "http://proxy.example:3128/path",
            "http://proxy.example:3128?query",
            "socks5://secret@proxy.example:1080",
            "http://a b:3128",
            "http://secret:secret@:3128",
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(!error.is_empty() && !error.contains("secret"), "{text}: {error}");
        }
    }

    fn through(
        rules: &[(Option<bool>, Option<HostPattern>, u16)],
        is_https: bool,
        host: &str,
    ) -> Option<u16> {
        let rules = rules.iter().cloned().map(|(https, hosts, proxy)| Rule {
            pattern: Pattern { https, hosts },
            through: if proxy == 0 { vec![] } else { vec![ProxyId(proxy)] },
        });
        let routes = Routes { proxies: vec![], rules: rules.collect() };
        routes.through(is_https, host).first().map(|proxy| proxy.0)
    }

    #[test]
    fn patterns_are_read_as_people_write_them() {
        for (text, https, host, fits) in [
            ("all", false, "a.example", true),
            ("https", false, "a.example", false),
            ("HTTPS://*.Example.com", true, "a.example.com", true),
            ("https://*.example.com", true, "example.com", false),
            ("http://example.com", false, "example.com", true),
            ("all://example.com", true, "example.com", true),
            (".example.com", true, "example.com", true),
            (".example.com", true, "badexample.com", false),
            ("10.1.2.3", true, "10.1.2.3", true),
            ("10.1.2.3/8", true, "10.9.9.9", true),
            ("::1", true, "::1", true),
            ("bücher.example", true, "xn--bcher-kva.example", true),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(pattern.fits(https, host), fits, "{text} {host}");
        }
        for text in ["", "ftp://a.example", "a b", "https://a/b", "*.", "http://a.example:80"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_of_two_rules_is_one() {
        let mut routes = Routes::default();
        let [one, two] = ["http://a.example:1", "http://b.example:1"].map(str::to_owned);
        routes.add("https", &[one.clone(), two]).unwrap();
        routes.add("all", &[one]).unwrap();
        assert_eq!(routes.proxies.len(), 2);
        assert_eq!(routes.through(false, "x.example"), [ProxyId(0)]);
        assert!(
            routes
                .add("all", &["http://me:secret@a.example".to_owned()])
                .is_err_and(|why| !why.contains("secret"))
        );
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [
            (None, Some(HostPattern::Domain("direct.example".into())), 0),
            (None, Some(HostPattern::Net("10.0.0.0/8".parse().unwrap())), 0),
            (Some(true), Some(HostPattern::Below("example.com".into())), 1),
            (None, Some(HostPattern::Name("api.example".into())), 2),
            (Some(true), None, 3),
            (None, None, 4),
        ];
        for (is_https, host, expected) in [
            (true, "direct.example", None),
            (false, "a.direct.example", None),
            (true, "a.direct.example.", None),
            (true, "indirect.example", Some(3)),
            (false, "10.1.2.3", None),
            (false, "11.1.2.3", Some(4)),
            (true, "www.example.com", Some(1)),
            (true, "example.com", Some(3)),
            (true, ".example.com", Some(3)),
            (false, "www.example.com", Some(4)),
            (true, "api.example", Some(2)),
            (true, "v1.api.example", Some(3)),
        ] {
            assert_eq!(through(&rules, is_https, host), expected, "{is_https} {host}");
        }
        assert_eq!(through(&[], true, "a.example"), None);
    }
}
