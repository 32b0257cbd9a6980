//! A URL, parsed once and kept as one normalised text and four small numbers.
//!
//! Lists hold millions of URLs and nearly all are already in the form the URL standard would give them. One
//! pass over the bytes recognises those; every other text goes through the `url` crate. Both ways give the
//! same [`Target`], which the tests prove on generated texts.
//!
//! Source: WHATWG URL Standard, <https://url.spec.whatwg.org/#concept-basic-url-parser>.

mod plain;

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use http::uri::Authority;
use percent_encoding::percent_decode_str;
use url::{ParseError, Position, Url};

use self::plain::{HTTP, HTTPS, MAX_HOST_BYTES, Plain};
use crate::error::{Code, Failure};

/// The longest URL that is read, in bytes.
pub(crate) const MAX_URL_BYTES: usize = 64 << 10;

/// The longest part of a user's text that a message repeats, in characters.
const MAX_SUGGESTION: usize = 80;

/// An absolute http or https URL without userinfo and fragment, normalised: lower-case host in ASCII, no
/// default port, at least `/` as path, characters percent-encoded where the standard asks for it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    url: Box<str>,
    /// Where the host ends, brackets included. It starts after `://`.
    host_end: u16,
    /// Where the authority ends and the path starts.
    path_start: u16,
    port: u16,
}

/// A parsed URL and the credentials that were in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The URL without its credentials.
    pub(crate) target: Target,
    /// User and password, percent-decoded; a missing one is empty.
    pub(crate) userinfo: Option<(String, String)>,
}

impl Target {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// - `input.too_long`: more than 64 KiB.
    /// - `input.scheme`: neither http nor https.
    /// - `input.url`: a space or control character anywhere, no scheme, port 0, or anything else that the URL
    ///   standard refuses. The message never repeats credentials or the query.
    pub(crate) fn parse(text: &str) -> Result<Parsed, Failure> {
        if text.len() > MAX_URL_BYTES {
            return Err(too_long());
        }
        if let Some(target) = Plain::scan(text).map(|plain| Self::from_plain(text, &plain)) {
            return Ok(Parsed { target, userinfo: None });
        }
        // The url crate strips tabs and line ends, and trims: a text that contains any would be sent as another URL.
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Failure::new(Code::InputUrl, "the URL contains a space or control character"));
        }
        let url = Url::parse(text).map_err(|error| explain(text, error))?;
        if !is_web(&url) {
            return Err(other_scheme(text, &url));
        }
        Self::from_url(url)
    }

    /// Resolves a reference, as found in `Location`, against this URL.
    ///
    /// # Errors
    /// As [`Target::parse`], except that spaces are percent-encoded here, as the URL standard says.
    pub(crate) fn join(&self, reference: &str) -> Result<Parsed, Failure> {
        if reference.len() > MAX_URL_BYTES {
            return Err(too_long());
        }
        if let Some(target) = Plain::scan(reference).map(|plain| Self::from_plain(reference, &plain)) {
            return Ok(Parsed { target, userinfo: None });
        }
        let base = Url::parse(&self.url).map_err(invalid)?;
        let url = base.join(reference).map_err(invalid)?;
        if !is_web(&url) {
            return Err(Failure::new(
                Code::InputScheme,
                format!("scheme {:?} is not http or https", url.scheme()),
            ));
        }
        Self::from_url(url)
    }

    /// The whole URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.url.as_bytes().get(4) == Some(&b's')
    }

    /// The host as names are looked up and certificates are checked: an IPv6 address stands WITHOUT brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.slice(self.host_start(), self.host_end.into());
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, the scheme's default if the URL names none.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Scheme, host and port: `https://example.com` or `https://example.com:8443`. Equal texts are equal origins.
    pub(crate) fn origin(&self) -> &str {
        self.slice(0, self.path_start.into())
    }

    /// Host and port as the Host header wants them: IPv6 in brackets, no default port.
    pub(crate) fn authority(&self) -> &str {
        self.slice(self.host_start(), self.path_start.into())
    }

    /// Path and query as the request line wants them. Always a valid [`http::uri::PathAndQuery`].
    pub(crate) fn path_and_query(&self) -> &str {
        self.slice(self.path_start.into(), self.url.len())
    }

    /// Appends query parameters that are already encoded (`a=1&b=2`).
    #[must_use]
    pub(crate) fn with_params(self, encoded: &str) -> Self {
        if encoded.is_empty() {
            return self;
        }
        let mut url = String::with_capacity(self.url.len() + 1 + encoded.len());
        url.push_str(&self.url);
        match (self.path_and_query().contains('?'), url.ends_with(['?', '&'])) {
            (false, _) => url.push('?'),
            (true, false) => url.push('&'),
            (true, true) => {}
        }
        url.push_str(encoded);
        Self { url: url.into_boxed_str(), ..self }
    }

    fn from_plain(text: &str, plain: &Plain) -> Self {
        let kept = text.get(..plain.end).unwrap_or_default();
        let url = if plain.end == plain.path_start { format!("{kept}/").into() } else { kept.into() };
        // Both offsets are below 8 + 253 + 6.
        Self { url, host_end: plain.host_end as u16, path_start: plain.path_start as u16, port: plain.port }
    }

    /// Converts what the `url` crate has parsed as http or https.
    fn from_url(mut url: Url) -> Result<Parsed, Failure> {
        let host_length = url.host_str().map_or(0, |host| host.trim_end_matches('.').len());
        if host_length == 0 {
            return Err(invalid(ParseError::EmptyHost));
        }
        if host_length > MAX_HOST_BYTES {
            return Err(Failure::new(Code::InputUrl, "the host name is longer than 253 bytes"));
        }
        // The URL standard allows some characters in a host (`"`, `{`, `|`) that a Host header must not contain.
        if url[Position::BeforeHost..Position::BeforePath].parse::<Authority>().is_err() {
            return Err(invalid(ParseError::InvalidDomainCharacter));
        }
        let port = match url.port_or_known_default() {
            Some(port) if port != 0 => port,
            _ => return Err(invalid(ParseError::InvalidPort)),
        };
        let userinfo = take_userinfo(&mut url)?;
        url.set_fragment(None);
        let host_end = offset(url[..Position::AfterHost].len())?;
        let path_start = offset(url[..Position::BeforePath].len())?;
        let target = Self { url: String::from(url).into_boxed_str(), host_end, path_start, port };
        Ok(Parsed { target, userinfo })
    }

    fn host_start(&self) -> usize {
        if self.is_https() { HTTPS.len() } else { HTTP.len() }
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.url.get(start..end).unwrap_or_default()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.url)
    }
}

impl fmt::Debug for Parsed {
    /// Shows whether there are credentials, but not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let userinfo = self.userinfo.as_ref().map(|_| "redacted");
        f.debug_struct("Parsed").field("target", &self.target).field("userinfo", &userinfo).finish()
    }
}

/// Parses the name of a host as in a URL: in lower case, IDNA in ASCII, an address in its canonical spelling, IPv6
/// with or without brackets in the input and without them in the result.
///
/// # Errors
/// `input.url`: anything that is not a host alone.
pub fn host_name(text: &str) -> Result<Box<str>, Failure> {
    let is_ipv6 = text.parse::<Ipv6Addr>().is_ok() || (text.starts_with('[') && text.ends_with(']'));
    if text.contains(['/', '\\', '?', '#', '@']) || (text.contains(':') && !is_ipv6) {
        return Err(invalid(ParseError::InvalidDomainCharacter));
    }
    let url = if text.contains(':') && !text.starts_with('[') {
        format!("{HTTP}[{text}]/")
    } else {
        format!("{HTTP}{text}/")
    };
    Target::parse(&url).map(|parsed| parsed.target.host().into())
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Removes user and password from the URL and decodes them.
fn take_userinfo(url: &mut Url) -> Result<Option<(String, String)>, Failure> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (decode(url.username()), decode(url.password().unwrap_or_default()));
    // Only a URL without a host refuses these, and that is excluded above.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(invalid(ParseError::EmptyHost));
    }
    Ok((!user.is_empty() || !password.is_empty()).then_some((user, password)))
}

fn offset(position: usize) -> Result<u16, Failure> {
    u16::try_from(position).map_err(|_| Failure::new(Code::InputUrl, "the host name is too long"))
}

fn too_long() -> Failure {
    Failure::new(Code::InputTooLong, "the URL is longer than 64 KiB")
}

fn invalid(error: ParseError) -> Failure {
    Failure::new(Code::InputUrl, error.to_string())
}

fn explain(text: &str, error: ParseError) -> Failure {
    if error == ParseError::RelativeUrlWithoutBase { no_scheme(text) } else { invalid(error) }
}

/// Explains a URL of another scheme. Strictly speaking, `localhost:8080/x` has the scheme `localhost`.
fn other_scheme(text: &str, url: &Url) -> Failure {
    let rest = text.get(url.scheme().len() + 1..).unwrap_or_default();
    if rest.starts_with(|first: char| first.is_ascii_digit()) {
        return no_scheme(text);
    }
    // In `user:password@host` the "scheme" is a user name that must not be shown.
    let words: Cow<'static, str> = if rest.starts_with("//") {
        format!("scheme {:?} is not http or https", shorten(url.scheme())).into()
    } else {
        "the scheme is not http or https".into()
    };
    Failure::new(Code::InputScheme, words)
}

/// Explains a URL without a scheme; repeats host and path only, and nothing if it may contain credentials.
fn no_scheme(text: &str) -> Failure {
    let shown = text.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    if shown.is_empty() || text.contains('@') {
        return Failure::new(Code::InputUrl, "no scheme: a URL starts with https:// or http://");
    }
    Failure::new(Code::InputUrl, format!("no scheme: did you mean https://{}?", shorten(shown)))
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SUGGESTION) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(text).unwrap_or_else(|failure| panic!("{text:?}: {failure}")).target
    }

    fn code(text: &str) -> Code {
        match Target::parse(text) {
            Ok(parsed) => panic!("{text:?} became {parsed:?}"),
            Err(failure) => failure.code,
        }
    }

    /// The result of the slow way alone, for a text without credentials.
    fn parse_slowly(text: &str) -> Option<Target> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return None;
        }
        Target::from_url(Url::parse(text).ok()?).ok().map(|parsed| parsed.target)
    }

    fn pieces(target: &Target) -> (&str, bool, &str, u16, &str, &str, &str) {
        let (url, host) = (target.as_str(), target.host());
        (
            url,
            target.is_https(),
            host,
            target.port(),
            target.origin(),
            target.authority(),
            target.path_and_query(),
        )
    }

    const LABELS: &[&str] = &[
        "a",
        "example",
        "com",
        "x-1",
        "a_b",
        "127",
        "0",
        "1",
        "256",
        "0x7f",
        "xn--mnchen-3ya",
        "xn--",
        "a--b",
        "-",
        "B",
        "ü",
        "",
        "%41",
        "[::1]",
        "8com",
        "1.2.3.4",
        "ß",
    ];

    const PIECES: &[&str] = &[
        "/", "/", "a", "b.html", ".", "..", "%2e", "%2E.", "%20", "%C3%BC", "?", "#", "q=1&b", "'", "\"",
        "^", "|", "`", "{}", "\\", "~", "ü", " ", "\t", ";,:@", "!$&()*+=", "<>", "[]", "\u{7f}", "%zz",
        "//", "/.",
    ];

    /// A small generator (xorshift64*), so that a failing text can be reproduced.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
        }

        fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
            choices[self.roll(choices.len())]
        }

        fn url(&mut self) -> String {
            let mut text =
                String::from(self.pick(&["http://", "https://", "https://", "HTTP://", "https:/", "ftp://"]));
            for _ in 0..=self.roll(4) {
                text += self.pick(LABELS);
                text += self.pick(&[".", ".", ".", "", "-"]);
            }
            text += self.pick(&["com", "org", "", "9"]);
            text +=
                self.pick(&["", "", "", ":", ":80", ":443", ":8080", ":0", ":08", ":65535", ":65536", ":9a"]);
            text += self.pick(&["", "/", "/", "/", "?", "#"]);
            for _ in 0..self.roll(9) {
                text += self.pick(PIECES);
            }
            text
        }
    }

    #[test]
    fn the_fast_way_equals_the_slow_way() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut fast = 0;
        for _ in 0..200_000 {
            let text = dice.url();
            if let Some(plain) = Plain::scan(&text) {
                let target = Target::from_plain(&text, &plain);
                let slow = parse_slowly(&text).unwrap_or_else(|| panic!("{text:?} is not valid"));
                assert_eq!(pieces(&target), pieces(&slow), "{text:?}");
                fast += 1;
            }
        }
        assert!(fast > 2_000, "only {fast} texts took the fast way");
    }

    #[test]
    fn every_byte_in_every_place_is_treated_as_the_standard_says() {
        for byte in 0..=127u8 {
            for (before, after) in [
                ("http://a", "b.com/"),
                ("http://a.com/x", "y"),
                ("http://a.com/?x", "y"),
                ("http://a.com/#", ""),
            ] {
                let text = format!("{before}{}{after}", char::from(byte));
                if let Some(plain) = Plain::scan(&text) {
                    assert_eq!(Some(Target::from_plain(&text, &plain)), parse_slowly(&text), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn every_result_can_be_sent_and_is_its_own_normal_form() {
        let mut dice = Dice(42);
        let mut valid = 0;
        for _ in 0..50_000 {
            let text = dice.url();
            if let Ok(Parsed { target, .. }) = Target::parse(&text) {
                let line = target.path_and_query().parse::<http::uri::PathAndQuery>();
                assert!(line.is_ok_and(|line| line == *target.path_and_query()), "{text:?}");
                assert!(target.authority().parse::<Authority>().is_ok(), "{text:?}");
                assert_eq!(parse(target.as_str()), target, "{text:?}");
                valid += 1;
            }
        }
        assert!(valid > 5_000, "only {valid} texts were valid");
    }

    #[test]
    fn the_plain_case_takes_the_fast_way() {
        for text in [
            "https://example.com",
            "http://127.0.0.1:8080/bytes/100?x=1#top",
            "https://sub.example.co.uk/a/b.html?q=a%20b&c=[1]",
            "http://db_1.internal./x",
        ] {
            assert!(Plain::scan(text).is_some(), "{text}");
        }
    }

    #[test]
    fn pieces_of_a_url() {
        let target = parse("https://Example.com:8443/a/../b?x#y");
        assert_eq!(
            pieces(&target),
            (
                "https://example.com:8443/b?x",
                true,
                "example.com",
                8443,
                "https://example.com:8443",
                "example.com:8443",
                "/b?x"
            )
        );
        let target = parse("http://[2001:DB8::1]:80");
        assert_eq!(
            pieces(&target),
            ("http://[2001:db8::1]/", false, "2001:db8::1", 80, "http://[2001:db8::1]", "[2001:db8::1]", "/")
        );
    }

    #[test]
    fn a_target_is_small() {
        assert!(size_of::<Target>() <= 24, "{} bytes", size_of::<Target>());
    }

    #[test]
    fn i1_malformed() {
        let long_host = format!("https://{}.com/", "a".repeat(300));
        for text in [
            "",
            "http://",
            "https:///",
            "http://a:65536/",
            "http://a:0/",
            "http://a:x/",
            "http://[::1/",
            "http://a b/",
            "http://./",
            "http://1.2.3.4.5/",
            "http://256.1.1.1/",
            "http://a%00b/",
            "http://%/",
            &long_host,
        ] {
            assert_eq!(code(text), Code::InputUrl, "{text:?}");
        }
    }

    #[test]
    fn i1_without_scheme_says_what_was_meant() {
        for (text, meant) in [
            ("example.com/x?token=s3cret", "https://example.com/x?"),
            ("//example.com/x", "https://example.com/x?"),
            ("localhost:8080/x", "https://localhost:8080/x?"),
        ] {
            let failure = Target::parse(text).unwrap_err();
            assert_eq!(failure.code, Code::InputUrl);
            assert_eq!(failure.detail, format!("no scheme: did you mean {meant}"));
        }
    }

    #[test]
    fn i2_other_scheme() {
        for text in [
            "ftp://a/",
            "file:///etc/passwd",
            "data:,x",
            "mailto:a@b",
            "gopher://a",
            "javascript:alert(1)",
            "ws://a/",
        ] {
            assert_eq!(code(text), Code::InputScheme, "{text:?}");
        }
    }

    #[test]
    fn i3_too_long() {
        let text =
            |length| "https://a.com/".chars().chain(std::iter::repeat('a')).take(length).collect::<String>();
        assert_eq!(parse(&text(MAX_URL_BYTES)).as_str().len(), MAX_URL_BYTES);
        assert_eq!(code(&text(MAX_URL_BYTES + 1)), Code::InputTooLong);
    }

    #[test]
    fn i4_international_names() {
        assert_eq!(parse("https://münchen.de/").host(), "xn--mnchen-3ya.de");
        assert_eq!(parse("https://日本語。jp/ü").as_str(), "https://xn--wgv71a119e.jp/%C3%BC");
        assert_eq!(code("https://xn--a/"), Code::InputUrl);
    }

    #[test]
    fn i5_i7_spaces_and_controls_anywhere() {
        for byte in ["\r", "\n", "\t", " ", "\0", "\x1b", "\x7f"] {
            for text in [
                "@http://a.com/",
                "http://a@.com/",
                "http://a.com/@",
                "http://a.com/?@x",
                "http://a.com/#@",
                "ht@tp://a.com/",
            ] {
                assert_eq!(code(&text.replace('@', byte)), Code::InputUrl, "{byte:?} in {text:?}");
            }
        }
    }

    #[test]
    fn i13_userinfo_is_decoded_and_removed() {
        let parsed = Target::parse("https://us%40er:p%3Ass@example.com/x").unwrap();
        assert_eq!(parsed.target.as_str(), "https://example.com/x");
        assert_eq!(parsed.userinfo, Some(("us@er".to_owned(), "p:ss".to_owned())));
        assert!(!format!("{parsed:?}").contains("p:ss"));
        assert_eq!(
            Target::parse("https://token@a.com/").unwrap().userinfo,
            Some(("token".to_owned(), String::new()))
        );
        assert_eq!(Target::parse("https://@a.com/").unwrap().userinfo, None);
    }

    #[test]
    fn i13_no_explanation_repeats_credentials() {
        for text in [
            "hunter:hunter2@example.com/",
            "https://hunter:hunter2@a:0/",
            "https://hunter:hunter2@[::/",
            "ftp://hunter:hunter2@a/",
            "//hunter:hunter2@a/",
            "hunter2@example.com",
        ] {
            let failure = Target::parse(text).unwrap_err();
            assert!(!failure.detail.contains("hunter"), "{}", failure.detail);
        }
    }

    #[test]
    fn i14_every_spelling_of_an_address_becomes_the_canonical_one() {
        for (text, host) in [
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://017700000001/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:7f00:1"),
            ("http://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1"),
        ] {
            assert_eq!(parse(text).host(), host, "{text}");
            assert!(parse(text).host().parse::<std::net::IpAddr>().is_ok(), "{text}");
        }
    }

    #[test]
    fn join_resolves_as_the_standard_says() {
        let base = parse("https://a.com:8443/b/c?d");
        for (reference, url) in [
            ("/x", "https://a.com:8443/x"),
            ("x", "https://a.com:8443/b/x"),
            ("../x/./y", "https://a.com:8443/x/y"),
            ("//b.com/x", "https://b.com/x"),
            ("?q", "https://a.com:8443/b/c?q"),
            ("#f", "https://a.com:8443/b/c?d"),
            ("http://c.com", "http://c.com/"),
            ("/a b/ü", "https://a.com:8443/a%20b/%C3%BC"),
        ] {
            assert_eq!(base.join(reference).unwrap().target.as_str(), url, "{reference:?}");
        }
        assert_eq!(base.join("file:///etc/passwd").unwrap_err().code, Code::InputScheme);
        assert_eq!(base.join("https://[/").unwrap_err().code, Code::InputUrl);
        assert_eq!(base.join("//u:p@b.com/").unwrap().userinfo, Some(("u".to_owned(), "p".to_owned())));
    }

    #[test]
    fn params_are_appended() {
        for (text, url) in [
            ("https://a.com", "https://a.com/?x=1"),
            ("https://a.com/?y", "https://a.com/?y&x=1"),
            ("https://a.com/?", "https://a.com/?x=1"),
            ("https://a.com/?y&", "https://a.com/?y&x=1"),
        ] {
            let target = parse(text).with_params("x=1");
            assert_eq!(target.as_str(), url);
            assert_eq!(target, parse(url));
        }
        assert_eq!(parse("https://a.com/").with_params("").as_str(), "https://a.com/");
    }

    #[test]
    fn a_host_name_is_read_as_in_a_url() {
        for (text, name) in [
            ("API.example.com", "api.example.com"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("straße.de", "xn--strae-oqa.de"),
            ("127.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("example.com.", "example.com."),
        ] {
            assert_eq!(host_name(text).as_deref(), Ok(name), "{text}");
        }
        for text in
            ["", " ", "a b", "a:80", "[::1]:80", "a/b", "a?b", "a#b", "u@a", "a\\b", "[::g]", "1.2.3.256"]
        {
            assert_eq!(host_name(text).map_err(|failure| failure.code), Err(Code::InputUrl), "{text}");
        }
    }
}
