//! The lines of a robots.txt that have an effect, as sites write them.

/// How many bytes of a file count. Source: RFC 9309, section 2.5.
pub(super) const BYTE_LIMIT: usize = 500 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
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

/// The lines with an effect in the part of the file that counts, their values trimmed.
pub(super) fn directives(body: &[u8]) -> impl Iterator<Item = (Key, &[u8])> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    whole_lines(body, BYTE_LIMIT).split(|&byte| is_line_end(byte)).filter_map(directive)
}

/// Reads `key: value # comment`; a missing colon is tolerated.
fn directive(line: &[u8]) -> Option<(Key, &[u8])> {
    let line = line.split(|&byte| byte == b'#').next()?.trim_ascii();
    SPELLINGS.iter().find_map(|&(spelling, key)| {
        let (head, rest) = line.split_at_checked(spelling.len())?;
        if !head.eq_ignore_ascii_case(spelling) {
            return None;
        }
        match rest.trim_ascii_start() {
            [b':', value @ ..] => Some((key, value.trim_ascii())),
            value if rest.first().is_some_and(u8::is_ascii_whitespace) => Some((key, value)),
            _ => None,
        }
    })
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
