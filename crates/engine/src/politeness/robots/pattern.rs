//! One spelling for the patterns of a file and for the paths that are compared with them, and the matching.
//!
//! Escaped octets are decoded, except where that would change the meaning: `%2A` is how a pattern writes a literal star;
//! `%2F`, `%3F`, `%23` and `%25` differ from the characters they encode; and an encoded line end does not end a line.
//!
//! Source: RFC 9309, sections 2.2.2 and 2.2.3.

use memchr::memmem;

/// Appends a pattern. An empty one matches nothing and stays empty.
pub(super) fn push_pattern(out: &mut Vec<u8>, pattern: &[u8]) {
    match pattern.first() {
        None => return,
        Some(b'/' | b'*') => {}
        // `private` means `/private`.
        Some(_) => out.push(b'/'),
    }
    push_plain(out, pattern);
    // An escaped dollar at the end is a literal one; a star after it keeps it from meaning the end of the path.
    if pattern.ends_with(b"%24") {
        out.push(b'*');
    }
}

/// The same spelling for a path. A star in it is a character, never a wildcard.
pub(crate) fn plain_path(path_and_query: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(path_and_query.len() + 1);
    if !path_and_query.starts_with('/') {
        path.push(b'/');
    }
    for (place, piece) in path_and_query.as_bytes().split(|&byte| byte == b'*').enumerate() {
        if place > 0 {
            path.extend_from_slice(b"%2A");
        }
        push_plain(&mut path, piece);
    }
    path
}

/// Whether a pattern matches the start of a path, both in the one spelling. A star stands for anything, a dollar at the
/// end for the end of the path. The segments between stars are matched at their first occurrence, which leaves the
/// longest rest for those after them.
///
/// O(path) for each segment.
pub(crate) fn matches(pattern: &[u8], path: &[u8]) -> bool {
    // Most patterns differ from the path before their first star, and no path contains one.
    if pattern.iter().zip(path).find(|(one, other)| one != other).is_some_and(|(one, _)| *one != b'*') {
        return false;
    }
    let open = pattern.strip_suffix(b"$");
    let mut segments = open.unwrap_or(pattern).split(|&byte| byte == b'*');
    let Some(mut rest) = segments.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let Some(last) = segments.next_back() else { return open.is_none() || rest.is_empty() };
    for segment in segments {
        let found = memmem::find(rest, segment).and_then(|at| rest.get(at + segment.len()..));
        let Some(after) = found else { return false };
        rest = after;
    }
    if open.is_some() { rest.ends_with(last) } else { memmem::find(rest, last).is_some() }
}

/// The length of a pattern in a URL, by which the most specific one is found: other octets than visible ASCII are
/// escaped there.
pub(super) fn octets(pattern: &[u8]) -> usize {
    pattern.len() + 2 * pattern.iter().filter(|byte| !byte.is_ascii_graphic()).count()
}

/// Appends `text`, with the escapes decoded where that does not change the meaning.
fn push_plain(out: &mut Vec<u8>, mut text: &[u8]) {
    while let [first, rest @ ..] = text {
        text = match (octet(text), rest) {
            (Some(octet), [_, _, after @ ..]) if keeps_escape(octet) => {
                out.push(b'%');
                out.extend(rest.iter().take(2).map(u8::to_ascii_uppercase));
                after
            }
            (Some(octet), [_, _, after @ ..]) => {
                out.push(octet);
                after
            }
            _ => {
                out.push(*first);
                rest
            }
        };
    }
}

/// If `text` starts with an escape: the octet.
fn octet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn keeps_escape(octet: u8) -> bool {
    matches!(octet, b'/' | b'?' | b'#' | b'%' | b'*' | b'\n' | b'\r' | b'\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern, paths that it matches, paths that it does not match.
    type Case = (&'static [u8], &'static [&'static [u8]], &'static [&'static [u8]]);

    fn spelled(pattern: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_pattern(&mut out, pattern);
        out
    }

    #[test]
    fn test_patterns_and_paths_have_one_spelling() {
        let cases: [(&[u8], &[u8]); 15] = [
            (b"", b""),
            (b"/a", b"/a"),
            (b"a", b"/a"),
            (b"*a", b"*a"),
            (b"/%61%7e%22", b"/a~\""),
            (b"/%2f%3F%23%25", b"/%2F%3F%23%25"),
            (b"/%2a*", b"/%2A*"),
            (b"/%0a%0D%00", b"/%0A%0D%00"),
            (b"/a b%20c%09", b"/a b c\t"),
            (b"/%e3%83%84", "/ツ".as_bytes()),
            (b"/\xff%Fe", b"/\xff\xfe"),
            (b"/100%", b"/100%"),
            (b"/%zz%4", b"/%zz%4"),
            (b"/x%24", b"/x$*"),
            (b"/x%24y$", b"/x$y$"),
        ];
        for (pattern, spelling) in cases {
            assert_eq!(spelled(pattern), spelling, "{}", pattern.escape_ascii());
            assert!(spelling.len() <= pattern.len() + 1);
        }
        assert_eq!(plain_path("/a*b%2a%61$"), b"/a%2Ab%2Aa$");
        assert_eq!(plain_path("?x"), b"/?x");
    }

    #[test]
    fn test_octets_are_counted_as_a_url_has_them() {
        for (pattern, count) in [("/a*$", 4), ("/a b", 6), ("/a%20b", 6), ("/ツ", 10), ("/%E3%83%84", 10)] {
            assert_eq!(octets(&spelled(pattern.as_bytes())), count, "{pattern}");
        }
    }

    #[test]
    fn test_pattern_matches_as_its_stars_and_its_dollar_say() {
        let cases: [Case; 9] = [
            (b"/fish", &[b"/fish", b"/fish.html"], &[b"/Fish", b"/a/fish", b"/fis"]),
            (b"/$", &[b"/"], &[b"/a", b"//"]),
            (b"/*.php", &[b"/a.php", b"/a/b.php?c"], &[b"/", b"/a.ph"]),
            (b"/*.php$", &[b"/a.php", b"/a.php.php"], &[b"/a.php?c"]),
            (b"/*ab*ab$", &[b"/abab", b"/xab-ab"], &[b"/ab", b"/abax"]),
            (b"/*aba*ba$", &[b"/ababa"], &[b"/abab"]),
            (b"/**a", &[b"/xa", b"/a"], &[b"/x"]),
            (b"/a$b", &[b"/a$b/c"], &[b"/a"]),
            (b"*", &[b"/", b"/a"], &[]),
        ];
        for (pattern, matched, others) in cases {
            let named = pattern.escape_ascii();
            assert!(matched.iter().all(|path| matches(pattern, path)), "{named}");
            assert!(!others.iter().any(|path| matches(pattern, path)), "{named}");
        }
    }
}
