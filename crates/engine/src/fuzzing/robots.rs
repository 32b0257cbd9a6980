//! robots.txt: what it says does not depend on how it is written down.

use crate::politeness::fuzzing::{matches, plain_path};
use crate::politeness::{Rules, Verdict, product};

const LONGEST_DELAY_S: u64 = 24 * 60 * 60;

/// A User-Agent, a path, and a robots.txt, divided by two line ends.
///
/// - `/robots.txt` is always allowed.
/// - Line ends, a byte order mark, comments and the case of the agent change nothing.
/// - A pause is bounded.
/// - A pattern matches as a matcher does that tries every way.
pub fn robots(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let agent = product(parts.next().unwrap_or_default());
    let path = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    let path: String = std::iter::once('/').chain(path.chars().filter(char::is_ascii_graphic)).collect();

    let rules = Rules::of_answer(200, body);
    let verdict = rules.judge(agent, &path);
    assert!(matches!(rules.judge(agent, "/robots.txt"), Verdict::Allowed(_)));
    assert!(rules.is_known());
    if let Verdict::Allowed(Some(delay)) = verdict {
        assert!(!delay.is_zero() && delay.as_secs() <= LONGEST_DELAY_S, "{delay:?}");
    }
    assert_eq!(rules.judge(&agent.to_ascii_uppercase(), &path), verdict, "the agent in upper case");
    if body.len() < 4 << 10 {
        let lines = body.split(|&byte| byte == b'\n').collect::<Vec<_>>();
        for (words, same) in [
            ("CR LF", lines.join(&b"\r\n"[..])),
            ("comments", lines.join(&b"\n# comment\n"[..])),
            ("a comment behind", [body, b"\n#x"].concat()),
        ] {
            assert_eq!(Rules::of_answer(200, &same).judge(agent, &path), verdict, "{words}");
        }
        if !body.starts_with(b"\xef\xbb\xbf") {
            let marked = [&b"\xef\xbb\xbf"[..], body].concat();
            assert_eq!(Rules::of_answer(200, &marked).judge(agent, &path), verdict, "a byte order mark");
        }
    }
    let (pattern, path) = (&body[..body.len().min(48)], plain_path(&path));
    assert_eq!(matches(pattern, &path), matches_slowly(pattern, &path), "{pattern:?} on {path:?}");
}

/// Whether a pattern matches the start of a path, found by trying every place for every star.
fn matches_slowly(pattern: &[u8], path: &[u8]) -> bool {
    // Where in the path a match of the pattern so far may end.
    let mut ends = vec![false; path.len() + 1];
    ends[0] = true;
    for (at, byte) in pattern.iter().enumerate() {
        let first = ends.iter().position(|&end| end).unwrap_or(ends.len());
        ends = match byte {
            b'*' => (0..ends.len()).map(|end| end >= first).collect(),
            b'$' if at + 1 == pattern.len() => {
                (0..ends.len()).map(|end| end == path.len() && ends[end]).collect()
            }
            _ => (0..ends.len()).map(|end| end > 0 && ends[end - 1] && path[end - 1] == *byte).collect(),
        };
    }
    ends.contains(&true)
}
