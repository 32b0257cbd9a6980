//! What an origin's robots.txt allows. Pure: the file comes in as bytes, the fetching is done elsewhere.
//!
//! Groups, precedence and matching are those of RFC 9309. A file is parsed once and kept for all agents: each request
//! is judged by its own user agent.

mod file;
mod lines;
mod pattern;

use std::time::Duration;

use file::File;
use memchr::memmem;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use pattern::matches;
pub(crate) use pattern::plain_path;

/// How much of a body is read: the part that counts, and one byte that shows whether there is more.
pub(crate) const ROBOTS_BYTES: u64 = lines::BYTE_LIMIT as u64 + 1;

/// What one origin allows. Two words; an origin that allows everything allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules(State);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Everything is allowed: there is no file, or it restricts nobody.
    Open,
    /// Nothing is allowed, because the rules are not known.
    Unknown(Outage),
    /// Depends on the agent and the path.
    File(Box<File>),
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

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may. Its agent should pause this long between two requests.
    Allowed(Option<Duration>),
    /// It may not. The reason, for the row's detail.
    Disallowed(&'static str),
}

impl Rules {
    /// The rules of an origin without a file: everything is allowed.
    pub(crate) const fn absent() -> Self {
        Self(State::Open)
    }

    /// The rules of an origin that could not be reached: nothing is allowed.
    pub(crate) const fn unreachable() -> Self {
        Self(State::Unknown(Outage::Unreachable))
    }

    /// The rules that follow from the response to the request for robots.txt, after redirects.
    ///
    /// A file that is unavailable (4xx, an endless redirect) forbids nothing; one that is unreachable forbids
    /// everything. A 429 counts as unreachable, although it is a 4xx: it asks us to stop.
    ///
    /// Source: RFC 9309, sections 2.3.1.1 to 2.3.1.4.
    pub(crate) fn of_answer(status: u16, body: &[u8]) -> Self {
        match status {
            200..=299 => Self::parse(body),
            429 => Self(State::Unknown(Outage::TooManyRequests)),
            300..=499 => Self::absent(),
            _ => Self(State::Unknown(Outage::ServerError)),
        }
    }

    /// The rules in the first 500 KiB of `body`. Never fails: an unreadable line is skipped.
    ///
    /// Source: RFC 9309, sections 2.2 and 2.5.
    fn parse(body: &[u8]) -> Self {
        Self(File::parse(body).map_or(State::Open, |file| State::File(Box::new(file))))
    }

    /// Judges a request for `path_and_query`, as it is sent, by the [`product`] of its User-Agent. `/robots.txt` is
    /// always allowed.
    pub(crate) fn judge(&self, agent: &[u8], path_and_query: &str) -> Verdict {
        match &self.0 {
            State::Open => Verdict::Allowed(None),
            State::Unknown(_) if is_robots_txt(path_and_query) => Verdict::Allowed(None),
            State::Unknown(outage) => Verdict::Disallowed(outage.in_words()),
            State::File(file) => {
                let (is_allowed, crawl_delay) = file.judge(agent, &plain_path(path_and_query));
                if is_allowed || is_robots_txt(path_and_query) {
                    Verdict::Allowed(crawl_delay)
                } else {
                    Verdict::Disallowed("robots.txt disallows the path")
                }
            }
        }
    }

    /// Whether the origin has answered; otherwise the rules are unknown.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.0, State::Unknown(_))
    }
}

impl Outage {
    fn in_words(self) -> &'static str {
        match self {
            Self::Unreachable => "robots.txt could not be fetched",
            Self::ServerError => "robots.txt was answered with a server error",
            Self::TooManyRequests => "robots.txt was answered with 429",
        }
    }
}

/// The product token of a User-Agent: `hurtle` of `hurtle/0.1.0 (+https://…)`, `ExampleBot` of `Mozilla/5.0
/// (compatible; ExampleBot/0.1; …)`. Empty if there is none; only the group for everybody matches it.
///
/// Source: RFC 9309, section 2.2.1.
pub(crate) fn product(user_agent: &[u8]) -> &[u8] {
    const COMPATIBLE: &[u8] = b"(compatible;";
    let first = first_token(user_agent);
    if first.eq_ignore_ascii_case(b"mozilla")
        && let Some(at) = memmem::find(user_agent, COMPATIBLE)
        && let Some(comment) = user_agent.get(at + COMPATIBLE.len()..)
        && let named = first_token(comment)
        && !named.is_empty()
    {
        return named;
    }
    first
}

fn first_token(text: &[u8]) -> &[u8] {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b';' | b'(' | b')');
    text.trim_ascii_start().split(ends).next().unwrap_or_default()
}

fn is_robots_txt(path_and_query: &str) -> bool {
    path_and_query.strip_prefix("/robots.txt").is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod cases;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
