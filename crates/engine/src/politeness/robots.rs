//! What an origin's robots.txt allows. Pure: the file comes in as bytes, the fetching is done elsewhere.
//!
//! Groups, precedence and matching are those of RFC 9309, done by `robotxt`. Before it sees a file, [`rewrite`] turns
//! what sites write into what the RFC says: agents lose their version, reserved characters get one spelling, and
//! lines without effect (comments, sitemaps) are left out, so that they cost no memory per host.

use std::time::Duration;

use robotxt::{Agent, BYTE_LIMIT, Robots};

/// The longest pause between two requests that a file can ask for. A longer one is a mistake or a trap.
const MAX_CRAWL_DELAY: Duration = Duration::from_secs(3600);

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The agent of the group for everybody.
const ANYBODY: &[u8] = b"*";

/// What one origin allows one agent. Two words; an origin that allows everything allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules(State);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Everything is allowed: there is no file, or nothing in it applies to us.
    Open,
    /// Nothing is allowed, because the rules are not known.
    Unknown(Outage),
    /// The group that applies to us.
    Group(Box<Robots>),
}

/// Why the rules of a host are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// No response: an error of the name or the connection, or a timeout.
    Unreachable,
    /// A 5xx, or a status that no server should send.
    ServerError,
    /// A 429: the host asks for fewer requests.
    TooManyRequests,
}

impl Rules {
    /// The rules that follow from the response to the request for robots.txt, after redirects. `status` is `None` if
    /// there was no response, `agent` the [`product`] of our User-Agent.
    ///
    /// A file that is unavailable (4xx, an endless redirect) forbids nothing; one that is unreachable forbids
    /// everything. A 429 counts as unreachable, although it is a 4xx: it asks us to stop.
    ///
    /// Source: RFC 9309, sections 2.3.1.1 to 2.3.1.4.
    pub(crate) fn of_answer(status: Option<u16>, body: &[u8], agent: &str) -> Self {
        match status {
            None => Self(State::Unknown(Outage::Unreachable)),
            Some(200..=299) => Self::parse(body, agent),
            Some(429) => Self(State::Unknown(Outage::TooManyRequests)),
            Some(300..=499) => Self(State::Open),
            Some(_) => Self(State::Unknown(Outage::ServerError)),
        }
    }

    /// The rules of a host that has no file: everything is allowed.
    pub(crate) const fn absent() -> Self {
        Self(State::Open)
    }

    /// The rules for `agent` in the first 500 KiB of `body`. Never fails: a line that cannot be read is passed over.
    ///
    /// Time and memory are linear in the body, apart from sorting the rules of the group.
    ///
    /// Source: RFC 9309, sections 2.2 and 2.5.
    pub(crate) fn parse(body: &[u8], agent: &str) -> Self {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let body = whole_lines(body, BYTE_LIMIT);
        // A line that names our agent contains a part of its name, which is UTF-8.
        let group = std::str::from_utf8(most_specific(body, agent)).unwrap_or_default();
        let robots = Robots::parse(&rewrite(body), Agent::Exact(group));
        if robots.always() == Some(true) && robots.crawl_delay().is_none() {
            return Self(State::Open);
        }
        Self(State::Group(Box::new(robots)))
    }

    /// Whether `path_and_query`, as it is sent, may be requested. `/robots.txt` always may.
    ///
    /// O(rules of the group × length of the path).
    pub(crate) fn allows(&self, path_and_query: &str) -> bool {
        match &self.0 {
            State::Open => true,
            _ if is_robots_txt(path_and_query) => true,
            State::Unknown(_) => false,
            State::Group(robots) => robots.is_allowed(&canonical_path(path_and_query)),
        }
    }

    /// The pause that the file asks for between two requests: the shortest one in our group, at most an hour. `None`
    /// if it asks for none, or if the value is not a number of seconds.
    pub(crate) fn crawl_delay(&self) -> Option<Duration> {
        let State::Group(robots) = &self.0 else { return None };
        let delay = robots.crawl_delay().filter(|delay| !delay.is_zero())?;
        Some(delay.min(MAX_CRAWL_DELAY))
    }

    /// Whether the origin has answered; otherwise the rules are unknown.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.0, State::Unknown(_))
    }

    /// Why a path is disallowed, for the row's detail.
    pub(crate) fn why(&self) -> &'static str {
        match &self.0 {
            State::Open => "robots.txt allows everything",
            State::Group(_) => "robots.txt disallows the path",
            State::Unknown(Outage::Unreachable) => "robots.txt could not be fetched",
            State::Unknown(Outage::ServerError) => "robots.txt was answered with a server error",
            State::Unknown(Outage::TooManyRequests) => "robots.txt was answered with 429",
        }
    }
}

/// The product token of a User-Agent: `hurtle` of `hurtle/0.1.0 (+https://…)`, `ExampleBot` of `Mozilla/5.0
/// (compatible; ExampleBot/0.1; …)`. Empty if there is none; only the group for everybody matches it.
///
/// Source: RFC 9309, section 2.2.1.
pub(crate) fn product(user_agent: &str) -> &str {
    let first = first_token(user_agent);
    if first.eq_ignore_ascii_case("mozilla")
        && let Some((_, comment)) = user_agent.split_once("(compatible;")
        && let named = first_token(comment)
        && !named.is_empty()
    {
        return named;
    }
    first
}

fn first_token(text: &str) -> &str {
    let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | ';' | '(' | ')');
    text.trim_start().split(ends).next().unwrap_or_default()
}

fn is_robots_txt(path_and_query: &str) -> bool {
    path_and_query.strip_prefix("/robots.txt").is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}

/// The lines that end within the first `limit` bytes: a rule cut in the middle would be another rule.
fn whole_lines(body: &[u8], limit: usize) -> &[u8] {
    let Some(window) = body.get(..=limit) else { return body };
    let end = window.iter().rposition(|&byte| is_line_end(byte)).unwrap_or_default();
    body.get(..end).unwrap_or_default()
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'\0')
}

/// A line with an effect, its value trimmed.
#[derive(Clone, Copy)]
enum Directive<'a> {
    UserAgent(&'a [u8]),
    Allow(&'a [u8]),
    Disallow(&'a [u8]),
    CrawlDelay(&'a [u8]),
}

#[derive(Clone, Copy)]
enum Key {
    UserAgent,
    Allow,
    Disallow,
    CrawlDelay,
}

/// The keys as sites write them, including common mistakes.
///
/// Source: `robots.cc` of google/robotstxt (`kAllowFrequentTypos`) and `_protego.py` of scrapy/protego.
const SPELLINGS: [(&[u8], Key); 13] = [
    (b"user-agent", Key::UserAgent),
    (b"user agent", Key::UserAgent),
    (b"useragent", Key::UserAgent),
    (b"allow", Key::Allow),
    (b"disallow", Key::Disallow),
    (b"dissallow", Key::Disallow),
    (b"dissalow", Key::Disallow),
    (b"disalow", Key::Disallow),
    (b"diasllow", Key::Disallow),
    (b"disallaw", Key::Disallow),
    (b"crawl-delay", Key::CrawlDelay),
    (b"crawl delay", Key::CrawlDelay),
    (b"crawldelay", Key::CrawlDelay),
];

fn directives(body: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    body.split(|&byte| is_line_end(byte)).filter_map(directive)
}

/// Reads `key: value # comment`; a missing colon is tolerated.
fn directive(line: &[u8]) -> Option<Directive<'_>> {
    let line = line.split(|&byte| byte == b'#').next()?.trim_ascii();
    SPELLINGS.iter().find_map(|&(spelling, key)| {
        let (head, rest) = line.split_at_checked(spelling.len())?;
        if !head.eq_ignore_ascii_case(spelling) {
            return None;
        }
        let value = match rest.trim_ascii_start() {
            [b':', value @ ..] => value.trim_ascii(),
            value if rest.first().is_some_and(u8::is_ascii_whitespace) => value,
            _ => return None,
        };
        Some(match key {
            Key::UserAgent => Directive::UserAgent(agent_token(value)),
            Key::Allow => Directive::Allow(value),
            Key::Disallow => Directive::Disallow(value),
            Key::CrawlDelay => Directive::CrawlDelay(value),
        })
    })
}

/// The product token of a `User-agent` line, without a version, a second word or a star at the end, which do not
/// belong there.
fn agent_token(value: &[u8]) -> &[u8] {
    let ends = |byte: &u8| *byte == b'/' || byte.is_ascii_whitespace();
    let token = value.split(ends).next().unwrap_or_default();
    if token == ANYBODY {
        return token;
    }
    let stars = token.iter().rev().take_while(|&&byte| byte == b'*').count();
    token.get(..token.len() - stars).unwrap_or_default()
}

/// The longest agent named in the file that applies to `agent`: the same, or a whole word at its start (`hurtle`
/// applies to `hurtle-images` if the file does not name that). [`ANYBODY`] if there is none.
fn most_specific<'a>(body: &'a [u8], agent: &str) -> &'a [u8] {
    directives(body)
        .filter_map(|directive| match directive {
            Directive::UserAgent(token) if means(token, agent.as_bytes()) => Some(token),
            _ => None,
        })
        .max_by_key(|token| token.len())
        .unwrap_or(ANYBODY)
}

fn means(token: &[u8], agent: &[u8]) -> bool {
    let Some((head, rest)) = agent.split_at_checked(token.len()) else { return false };
    !token.is_empty()
        && head.eq_ignore_ascii_case(token)
        && rest.first().is_none_or(|next| !next.is_ascii_alphanumeric())
}

/// The file in the RFC's form. Shorter than the original, unless that has neither comments nor a space after its
/// colons; then the root slash of [`push_pattern`] can push its very last rules over [`BYTE_LIMIT`].
fn rewrite(body: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(body.len());
    for directive in directives(body) {
        match directive {
            Directive::UserAgent(token) => {
                file.extend_from_slice(b"useragent:");
                file.extend_from_slice(token);
            }
            Directive::Allow(pattern) => {
                file.extend_from_slice(b"allow:");
                push_pattern(&mut file, pattern);
            }
            Directive::Disallow(pattern) => {
                file.extend_from_slice(b"disalow:");
                push_pattern(&mut file, pattern);
            }
            Directive::CrawlDelay(seconds) => {
                file.extend_from_slice(b"crawldelay:");
                file.extend_from_slice(seconds);
            }
        }
        file.push(b'\n');
    }
    file
}

/// One spelling for every pattern: an octet that is a visible character is that character. `%2A` is kept, because
/// that is how a pattern writes a literal star; so are `%2F`, `%3F` and `%23`, which differ from the characters they
/// encode.
///
/// Pattern and path both get a slash in front: `robotxt` gives one to a pattern that has none, which would turn
/// `*/private` into `/*/private` and allow `/private`. An empty pattern matches nothing and stays empty.
///
/// Source: RFC 9309, sections 2.2.2 and 2.2.3.
fn push_pattern(file: &mut Vec<u8>, pattern: &[u8]) {
    match pattern.first() {
        None => return,
        Some(b'/' | b'*') => file.push(b'/'),
        // `private` means `/private`.
        Some(_) => file.extend_from_slice(b"//"),
    }
    push_plain(file, pattern);
    // An escaped dollar at the end is a literal one; a star after it keeps it from meaning the end of the path.
    if pattern.ends_with(b"%24") {
        file.push(b'*');
    }
}

/// The same spelling for a path. A star in it is a character, never a wildcard.
fn canonical_path(path_and_query: &str) -> String {
    let starless = path_and_query.replace('*', "%2A");
    let mut path = Vec::with_capacity(starless.len() + 2);
    path.extend_from_slice(if starless.starts_with('/') { b"/" } else { b"//" });
    push_plain(&mut path, starless.as_bytes());
    String::from_utf8_lossy(&path).into_owned()
}

/// Appends `text`, with the escapes of visible ASCII characters decoded where that does not change the meaning.
fn push_plain(out: &mut Vec<u8>, mut text: &[u8]) {
    while let [first, rest @ ..] = text {
        let (octet, after) = unescaped(text).unwrap_or((*first, rest));
        out.push(octet);
        text = after;
    }
}

/// If `text` starts with an escape that may be decoded: the character, and the rest.
fn unescaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, after @ ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let octet = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    let plain = octet.is_ascii_graphic() && !matches!(octet, b'/' | b'?' | b'#' | b'%' | b'*');
    plain.then_some((octet, after))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Source, agent, file, the paths it may ask for, the paths it may not.
    type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

    /// Source: `google` is `robots_test.cc` of google/robotstxt, `protego` is `tests/test_protego.py` of
    /// scrapy/protego: the behaviour that each of these tests requires, in our own words.
    #[rustfmt::skip]
    const CASES: &[Case] = &[
        ("google LineSyntax_Line", "FooBot", "user-agent: FooBot\ndisallow: /\n", &[], &["/", "/x/y"]),
        ("google LineSyntax_Line, unknown keys", "FooBot", "foo: FooBot\nbar: /\n", &["/x/y"], &[]),
        ("google LineSyntax_Line, no colon", "FooBot", "user-agent FooBot\ndisallow /\n", &[], &["/x/y"]),
        ("google LineSyntax_Groups, FooBot", "FooBot", GROUPS, &["/x/b", "/z/d"], &["/y/c", "/foo/bar/"]),
        ("google LineSyntax_Groups, BarBot", "BarBot", GROUPS, &["/y/c", "/w/a"], &["/z/d", "/foo/bar/"]),
        ("google LineSyntax_Groups, BazBot", "BazBot", GROUPS, &["/z/d"], &["/foo/bar/"]),
        ("google REPLineNamesCaseInsensitive", "F", "uSeR-aGeNt: F\nAlLoW: /x/\ndIsAlLoW: /", &["/x/y"],
            &["/a"]),
        ("google UserAgentValueCaseInsensitive", "foo", "User-Agent: FOO\nDisallow: /", &[], &["/a"]),
        ("google AcceptUserAgentUpToFirstSpace", "Foo",
            "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /", &["/x/y"], &["/a"]),
        ("google GlobalGroups_Secondary", "FooBot",
            "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /", &[], &["/x"]),
        ("google GlobalGroups_Secondary, other", "BarBot",
            "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /", &["/x"], &[]),
        ("google GlobalGroups_Secondary, none", "QuxBot", "user-agent: FooBot\ndisallow: /", &["/x"], &[]),
        ("google AllowDisallow_Value_CaseSensitive", "F", "user-agent: *\ndisallow: /X/", &["/x/y"],
            &["/X/y"]),
        ("google LongestMatch, disallow", "F", "user-agent: F\ndisallow: /x/page.html\nallow: /x/", &["/x/"],
            &["/x/page.html"]),
        ("google LongestMatch, allow", "F", "user-agent: F\nallow: /x/page.html\ndisallow: /x/",
            &["/x/page.html"], &["/x/"]),
        ("google LongestMatch, empty", "F", "user-agent: F\ndisallow:\nallow:", &["/x"], &[]),
        ("google LongestMatch, tie", "F", "user-agent: F\ndisallow: /\nallow: /", &["/x"], &[]),
        ("google LongestMatch, star", "F", "user-agent: F\nallow: /page\ndisallow: /*.html", &["/page"],
            &["/page.html"]),
        ("google LongestMatch, star loses", "F", "user-agent: F\nallow: /x/page.\ndisallow: /*.html",
            &["/x/page.html"], &["/x/y.html"]),
        ("google LongestMatch, group", "F", "User-agent: *\nDisallow: /x/\nUser-agent: F\nDisallow: /y/",
            &["/x/page"], &["/y/page"]),
        ("google Encoding, query", "F",
            "User-agent: F\nDisallow: /\nAllow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par",
            &["/foo/bar?qux=taz&baz=http://foo.bar?tar&par"], &["/foo/bar?qux=taz"]),
        ("google Encoding, raw UTF-8", "F", "User-agent: F\nDisallow: /\nAllow: /foo/bar/ツ",
            &["/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84"], &["/foo/bar/"]),
        ("google Encoding, encoded UTF-8", "F", "User-agent: F\nDisallow: /\nAllow: /foo/bar/%E3%83%84",
            &["/foo/bar/%E3%83%84", "/foo/bar/ツ"], &["/foo/bar/"]),
        ("protego percentage_encoding", "F", "User-agent: F\nDisallow: /\nAllow: /foo/bar/%62%61%7A",
            &["/foo/bar/baz", "/foo/bar/%62%61%7A"], &["/foo/bar/ba"]),
        ("google SpecialCharacters, star", "F", "User-agent: F\nDisallow: /foo/bar/quz\nAllow: /foo/*/qux",
            &["/foo/quz", "/foo//quz", "/foo/bax/quz"], &["/foo/bar/quz"]),
        ("google SpecialCharacters, dollar", "F", "User-agent: F\nDisallow: /foo/bar$\nAllow: /foo/bar/qux",
            &["/foo/bar/qux", "/foo/bar/", "/foo/bar/baz"], &["/foo/bar"]),
        ("google SpecialCharacters, hash", "F",
            "User-agent: F\n# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /", &["/foo/bar"], &["/foo/quz"]),
        ("google DocumentationChecks, /fish", "F", "user-agent: F\ndisallow: /\nallow: /fish",
            &["/fish", "/fish.html", "/fish/salmon.html", "/fishheads", "/fish.html?id=a"],
            &["/Fish.asp", "/catfish", "/?id=fish"]),
        ("google DocumentationChecks, /fish*", "F", "user-agent: F\ndisallow: /\nallow: /fish*",
            &["/fish", "/fishheads/yummy.html"], &["/Fish.bar", "/catfish"]),
        ("google DocumentationChecks, /fish/", "F", "user-agent: F\ndisallow: /\nallow: /fish/",
            &["/fish/", "/fish/?salmon"], &["/fish", "/fish.html", "/Fish/Salmon"]),
        ("google DocumentationChecks, /*.php", "F", "user-agent: F\ndisallow: /\nallow: /*.php",
            &["/filename.php", "/folder/filename.php?a", "//folder/any.php.file.html", "/index?f=filename.php/"],
            &["/php/", "/index?php", "/windows.PHP"]),
        ("google DocumentationChecks, /*.php$", "F", "user-agent: F\ndisallow: /\nallow: /*.php$",
            &["/filename.php", "/folder/filename.php"],
            &["/filename.php?a", "/filename.php/", "/filename.php5", "/aaaphpaaa"]),
        ("google DocumentationChecks, /fish*.php", "F", "user-agent: F\ndisallow: /\nallow: /fish*.php",
            &["/fish.php", "/fishheads/catfish.php?a"], &["/Fish.PHP", "/fish"]),
        ("google DocumentationChecks, /$", "F", "user-agent: F\nallow: /$\ndisallow: /", &["/"],
            &["/page.html"]),
        ("google LinesNumbersAreCountedCorrectly, CRLF", "bar",
            "User-Agent: foo\r\nAllow: /some\r\nUser-Agent: bar\r\n\r\n\r\nDisallow: /\r\n", &[],
            &["/some/path"]),
        ("google LinesNumbersAreCountedCorrectly, CR", "bar",
            "User-Agent: foo\rAllow: /some\rUser-Agent: bar\r\r\rDisallow: /\r", &[], &["/some/path"]),
        ("google LinesNumbersAreCountedCorrectly, mixed", "foo",
            "User-Agent: foo\nAllow: /some\r\nUser-Agent: bar\n\r\n\nDisallow: /", &["/some/path"], &[]),
        ("google UTF8ByteOrderMarkIsSkipped", "foo", "\u{feff}User-Agent: foo\nDisallow: /x", &["/y"],
            &["/x"]),
        ("protego malformed_disallow", "F",
            "User-agent: *\nDissallow: /2\nDissalow: /3\nDisalow: /4\nDiasllow: /5\nDisallaw: /6", &["/1"],
            &["/2", "/3", "/4", "/5", "/6"]),
        ("protego escaped_url", "F", "User-agent: *\nDisallow: /\nAllow: /a%3cd.html",
            &["/a<d.html", "/a%3cd.html", "/a%3Cd.html"], &["/a"]),
        ("protego unescaped_url", "F", "User-agent: *\nDisallow: /\nAllow: /a<*",
            &["/a<d.html", "/a%3cd.html"], &["/a"]),
        ("protego url_parts, query", "F", "User-agent: *\nDisallow: /?", &["/"], &["/?query"]),
        ("protego url_parts, parameters", "F", "User-agent: *\nDisallow: /path;params?query", &["/path"],
            &["/path;params?query"]),
        ("protego allowed_wildcards, end", "F", "User-agent: *\nDisallow: /a/*/end$",
            &["/a", "/a/x/endinglater"], &["/a/x/end", "/a/b/c/end"]),
        ("protego allowed_wildcards, no slash", "F", "User-agent: *\nDisallow: *m", &["/foo", "/foo/bar.txt"],
            &["/foo.htm", "/moo"]),
        ("protego allowed_wildcards, all", "F", "User-agent: *\nAllow: /foo/bar.html\nDisallow: *",
            &["/foo/bar.html"], &["/", "/foo"]),
        ("protego allowed_wildcards, many stars", "F", "User-agent: *\nDisallow: *****************/****.js",
            &["/a/b"], &["/a/foo.js"]),
        ("protego unicode_url", "F", "User-Agent: *\nDisallow: /wiki/Käyttäjä:", &["/wiki/K"],
            &["/wiki/K%C3%A4ytt%C3%A4j%C3%A4:", "/wiki/K%C3%A4ytt%C3%A4j%C3%A4%3A"]),
        ("protego no_leading_user_agent", "testbot", "Disallow: /a\nUser-Agent: testbot\nDisallow: /b",
            &["/a"], &["/b"]),
        ("protego user_agent_grouping", "two",
            "User-Agent: one\nUser-Agent: two\nDisallow: /s\nUser-Agent: *\nDisallow: /f", &["/f"], &["/s"]),
        ("protego empty_disallow_allow_directives", "F",
            "User-agent: *\nDisallow: /\nUser-agent: F\nDisallow:", &["/", "/a"], &[]),
        ("protego empty_disallow ends the group", "a", "User-agent: a\nDisallow:\nUser-agent: b\nDisallow: /",
            &["/x"], &[]),
        ("protego empty_record_group", "testbot", "User-Agent: h\nDisallow: /\nUser-Agent: testbot", &["/a"],
            &[]),
        ("protego 1996rfc, %2f is no /", "F", "User-agent: *\nAllow: /a%2fb.html\nDisallow: /",
            &["/a%2fb.html", "/a%2Fb.html"], &["/a/b.html"]),
        ("protego 1996rfc, / is no %2f", "F", "User-agent: *\nAllow: /a/b.html\nDisallow: /", &["/a/b.html"],
            &["/a%2fb.html"]),
        ("protego 1996rfc, %7e is ~", "F", "User-agent: *\nAllow: /%7ejoe/\nDisallow: /",
            &["/~joe/i.html", "/%7Ejoe/i.html"], &["/joe/"]),
        ("protego generosity", "F", "user agent F\ndisallow /horcrux", &["/abc"], &["/horcrux"]),
        ("protego wildcard at the end of an agent", "foobot", "user-agent: foobot*\ndisallow: /me", &["/"],
            &["/me"]),
        ("protego nonterminal_dollar", "F", "user-agent: F\ndisallow: /x$/abc\ndisallow: /x*x$/abc",
            &["/x", "/x/abc"], &["/x$/abcdef", "/x%24/abcdef", "/xabcx$/abc"]),
        ("protego escaped_special_symbols, dollar", "F", "user-agent: F\ndisallow: /x/abc%24", &["/x/abc"],
            &["/x/abc$", "/x/abc$abc", "/x/abc%24"]),
        ("protego escaped_special_symbols, star", "F", "user-agent: F\ndisallow: /x%2Ax/abc", &["/xabcx/abc"],
            &["/x*x/abc", "/x%2ax/abcdef"]),
        ("protego with_absolute_urls", "F", "user-agent: *\ndisallow: http://a.example/", &["/"],
            &["/http://a.example/"]),
        ("protego leading_double_slash_in_pattern", "F", "User-Agent: *\nDisallow: //folder/*",
            &["/folder/page", "//folder"], &["//folder/page"]),
        ("protego disallow_query_wildcard", "F", "User-agent: *\nDisallow: /*s=", &["/", "/s/"],
            &["/?s=asd", "/?s%3Dasd"]),
        ("a star and a folder", "F", "User-Agent: *\nDisallow: */private/$", &["/", "/private", "/a/private/b"],
            &["/private/", "/a/private/"]),
        ("no slash at the start", "F", "User-Agent: *\nDisallow: private", &["/a/private"],
            &["/private", "/private/a"]),
        ("protego leading_asterisk", "F", "User-Agent: *\nallow: */p\ndisallow: /", &["/page"], &["/a"]),
        ("protego default_user_agent", "mybot",
            "User-Agent: robot\nDisallow: /r\nUser-Agent: *\nDisallow: /d", &["/r"], &["/d"]),
        ("RFC 9309 2.2.1, groups are merged", "F",
            "user-agent: F\ndisallow: /a\nuser-agent: G\ndisallow: /b\nuser-agent: F\ndisallow: /c", &["/b"],
            &["/a", "/c"]),
        ("RFC 9309 2.2.3, verbatim characters", "F", "user-agent: *\ndisallow: /path/file-with-a-%2A.html",
            &["/path/file-with-a-b.html"], &["/path/file-with-a-*.html"]),
        ("RFC 9309 2.2.4, other records", "F",
            "user-agent: F\nSitemap: https://a.example/s.xml\nuser-agent: G\ndisallow: /", &[], &["/a"]),
        ("RFC 9309 5.1", "foobot",
            "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\
             User-Agent: foobot\nDisallow: /\nAllow: /example/page.html\nAllow: /example/allowed.gif",
            &["/example/page.html", "/example/allowed.gif"], &["/a", "/publications/"]),
        ("a version in the agent line", "hurtle",
            "user-agent: hurtle/0.1\ndisallow: /a\nuser-agent: *\ndisallow: /b", &["/b"], &["/a"]),
        ("two spellings of one agent", "hurtle",
            "user-agent: hurtle\ndisallow: /a\nuser-agent: Hurtle/2.0\ndisallow: /b", &["/c"], &["/a", "/b"]),
        ("the most specific agent", "hurtle-images",
            "user-agent: hurtle\ndisallow: /a\nuser-agent: hurtle-images\ndisallow: /b", &["/a"], &["/b"]),
        ("a word of the agent", "hurtle-images", "user-agent: hurtle\ndisallow: /a", &["/b"], &["/a"]),
        ("half a word of the agent", "hurtle", "user-agent: hurt\ndisallow: /a", &["/a"], &[]),
        ("a longer agent than ours", "hurtle", "user-agent: hurtle-images\ndisallow: /a", &["/a"], &[]),
        ("no agent of our own", "", "user-agent: F\ndisallow: /a\nuser-agent: *\ndisallow: /b", &["/a"],
            &["/b"]),
        ("an empty agent line", "F", "user-agent:\ndisallow: /a", &["/a"], &[]),
        ("broken escapes", "F", "user-agent: *\ndisallow: /100%\ndisallow: /%zz\ndisallow: /%4", &["/%A"],
            &["/100%", "/%zz", "/%4"]),
        ("a page of HTML", "F", "<!doctype html><html><body>\nDisallow: /a\n</body>", &["/a"], &[]),
    ];

    const GROUPS: &str = "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\nuser-agent: BarBot\n\
        disallow: /\nallow: /y/\n\n\nallow: /w/\nuser-agent: BazBot\n\nuser-agent: FooBot\nallow: /z/\ndisallow: /\n";

    fn rules(body: &str) -> Rules {
        Rules::parse(body.as_bytes(), "hurtle")
    }

    #[test]
    fn test_paths_are_judged_as_by_the_reference_parsers_when_a_file_is_read() {
        for (source, agent, body, allowed, refused) in CASES {
            let rules = Rules::parse(body.as_bytes(), agent);
            for path in *allowed {
                assert!(rules.allows(path), "{source}: {path} should be allowed");
            }
            for path in *refused {
                assert!(!rules.allows(path), "{source}: {path} should be refused");
            }
        }
    }

    #[test]
    fn test_answer_decides_when_the_file_cannot_be_had() {
        let body = b"user-agent: *\ndisallow: /a";
        let cases: [(Option<u16>, bool, bool, &str); 14] = [
            (Some(200), false, true, "robots.txt disallows the path"),
            (Some(206), false, true, "robots.txt disallows the path"),
            (Some(301), true, true, "robots.txt allows everything"),
            (Some(308), true, true, "robots.txt allows everything"),
            (Some(400), true, true, "robots.txt allows everything"),
            (Some(401), true, true, "robots.txt allows everything"),
            (Some(403), true, true, "robots.txt allows everything"),
            (Some(404), true, true, "robots.txt allows everything"),
            (Some(410), true, true, "robots.txt allows everything"),
            (Some(429), false, false, "robots.txt was answered with 429"),
            (Some(500), false, false, "robots.txt was answered with a server error"),
            (Some(503), false, false, "robots.txt was answered with a server error"),
            (Some(999), false, false, "robots.txt was answered with a server error"),
            (None, false, false, "robots.txt could not be fetched"),
        ];
        for (status, a, b, why) in cases {
            let rules = Rules::of_answer(status, body, "hurtle");
            assert_eq!((rules.allows("/a"), rules.allows("/b"), rules.why()), (a, b, why), "{status:?}");
            assert!(rules.allows("/robots.txt"), "{status:?}");
        }
    }

    #[test]
    fn test_robots_txt_itself_is_allowed_when_all_else_is_refused() {
        let rules = rules("user-agent: *\ndisallow: /");
        assert!(rules.allows("/robots.txt") && rules.allows("/robots.txt?v=2"));
        assert!(!rules.allows("/robots.txt.bak") && !rules.allows("/a/robots.txt") && !rules.allows(""));
    }

    #[test]
    fn test_crawl_delay_is_read_when_it_is_a_number_of_seconds() {
        let cases: [(&str, Option<f64>); 16] = [
            ("10", Some(10.0)),
            ("0.5", Some(0.5)),
            ("1e1", Some(10.0)),
            ("2 # seconds", Some(2.0)),
            ("3600", Some(3600.0)),
            ("3601", Some(3600.0)),
            ("86400", Some(3600.0)),
            ("0", None),
            ("-1", None),
            ("", None),
            ("ten", None),
            ("10s", None),
            ("1,5", None),
            ("nan", None),
            ("inf", None),
            ("1e300", None),
        ];
        for (value, seconds) in cases {
            let found = rules(&format!("user-agent: *\ncrawl-delay: {value}")).crawl_delay();
            assert_eq!(found, seconds.map(Duration::from_secs_f64), "{value}");
        }
    }

    #[test]
    fn test_crawl_delay_is_that_of_our_group_when_there_are_several() {
        let body = "crawl-delay: 1\nuser-agent: *\nCrawl delay: 10\nuser-agent: testbot\ncrawldelay 15";
        assert_eq!(rules(body).crawl_delay(), Some(Duration::from_secs(10)));
        assert_eq!(Rules::parse(body.as_bytes(), "testbot").crawl_delay(), Some(Duration::from_secs(15)));
        assert_eq!(rules("crawl-delay: 1").crawl_delay(), None, "no agent, no group");
    }

    #[test]
    fn test_product_is_the_name_of_the_client_when_a_user_agent_is_given() {
        let cases = [
            ("hurtle/0.1.0 (+https://example.com)", "hurtle"),
            ("hurtle", "hurtle"),
            ("  my-bot_2/1 x", "my-bot_2"),
            ("Mozilla/5.0 (compatible; ExampleBot/0.1; https://www.example.com/bot.html)", "ExampleBot"),
            ("Mozilla/5.0 (compatible;)", "Mozilla"),
            ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla"),
            ("(no name)", ""),
            ("", ""),
        ];
        for (user_agent, token) in cases {
            assert_eq!(product(user_agent), token, "{user_agent}");
        }
    }

    #[test]
    fn test_host_costs_two_words_when_it_allows_everything() {
        assert_eq!(size_of::<Rules>(), 2 * size_of::<usize>());
        for body in
            ["", "user-agent: *\nallow: /", "user-agent: other\ndisallow: /", "sitemap: https://a.example/"]
        {
            assert_eq!(rules(body), Rules(State::Open), "{body}");
        }
    }

    #[test]
    fn test_rules_behind_the_limit_are_not_read_when_a_file_is_too_long() {
        let start = "user-agent: *\ndisallow: /start\n";
        let padding = "#".repeat(BYTE_LIMIT - start.len() - "\ndisallow: /cut".len());
        let rules = rules(&format!("{start}{padding}\ndisallow: /cut-here\ndisallow: /after"));
        assert!(
            !rules.allows("/start")
                && rules.allows("/cut")
                && rules.allows("/cut-here")
                && rules.allows("/after")
        );
    }

    #[test]
    fn test_last_rule_counts_when_it_ends_at_the_limit() {
        let (start, last) = ("user-agent: *\n", "\ndisallow: /last");
        let padding = "#".repeat(BYTE_LIMIT - start.len() - last.len());
        let body = format!("{start}{padding}{last}");
        assert_eq!(body.len(), BYTE_LIMIT);
        assert!(!rules(&body).allows("/last") && !rules(&format!("{body}\nallow: /last")).allows("/last"));
    }

    #[test]
    fn test_reading_and_matching_end_when_a_file_is_hostile() {
        let many_rules: String = (0..100_000)
            .fold("user-agent: *\n".to_owned(), |body, rule| body + &format!("disallow:/{rule}\n"));
        let many_stars = format!("user-agent: *\ndisallow: /{}$", "*a".repeat(BYTE_LIMIT / 2 - 20));
        let one_line = "a".repeat(BYTE_LIMIT);
        let long_rule = format!("user-agent: *\ndisallow: /{}", "a".repeat(BYTE_LIMIT - 100));
        let agents = "user-agent: hurtle\n".repeat(BYTE_LIMIT / 19);
        let long_path = format!("/{}b", "a".repeat(60_000));
        for body in [many_rules, many_stars, one_line, long_rule, agents] {
            let started = Instant::now();
            let rules = rules(&body);
            assert!(rules.allows(&long_path) && rules.allows("/x"));
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        }
    }

    /// xorshift64: the same bytes in every run.
    struct Noise(u64);

    impl Noise {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap() % bound
        }

        fn bytes(&mut self, length: usize) -> Vec<u8> {
            (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
        }

        fn one_of<'a>(&mut self, words: &[&'a [u8]]) -> &'a [u8] {
            words[self.below(words.len())]
        }

        /// Lines that look like rules, some of them broken.
        fn file(&mut self, lines: usize) -> Vec<u8> {
            let mut file = b"user-agent: *\n".to_vec();
            for _ in 0..lines {
                file.extend(self.one_of(&[
                    b"user-agent",
                    b"useragent",
                    b"disallow",
                    b"allow",
                    b"crawl-delay",
                    b"\xff",
                ]));
                file.extend(self.one_of(&[b":", b": ", b" ", b"\t:", b"", b"::", b"#"]));
                file.extend(self.pattern());
                file.extend(self.one_of(&[b"\n", b"\r", b"\r\n", b"\0", b" # \n", b""]));
            }
            file
        }

        fn pattern(&mut self) -> Vec<u8> {
            const PIECES: [&[u8]; 12] =
                [b"/", b"/", b"a", b"*", b"$", b"%", b"%2", b"%24", b"%2A", b"hurtle", b"\xff", b"9"];
            (0..self.below(6)).flat_map(|_| self.one_of(&PIECES).to_vec()).collect()
        }
    }

    #[test]
    fn test_nothing_breaks_when_a_file_is_noise() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let mut refused = 0;
        for round in 0..4_000 {
            let length = noise.below(120);
            let body = if round % 2 == 0 { noise.bytes(length) } else { noise.file(length / 10) };
            let path = format!("/{}", String::from_utf8_lossy(&noise.pattern()));
            let rules = Rules::parse(&body, "hurtle");
            refused += usize::from(!rules.allows(&path));
            assert!(rules.allows("/robots.txt"));
            assert!(rules.crawl_delay().is_none_or(|delay| delay <= MAX_CRAWL_DELAY));
        }
        assert!(refused > 0, "the noise never made a rule");
    }
}
