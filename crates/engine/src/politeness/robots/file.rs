//! A robots.txt as it is kept: all lines with an effect, for all agents, in their groups.
//!
//! They are stored as one text, so that an origin takes less memory than its file and any agent can be judged later.
//! Nothing is sorted or merged: the groups of an agent are found by the names, which are few compared with the rules.

use std::time::Duration;

use memchr::memchr;

use super::lines::{Key, directives};
use super::pattern::{matches, octets, push_pattern};

/// The agent of the group for everybody.
const ANYBODY: &[u8] = b"*";

/// The longest pause between two requests that a file can ask for. A longer one is a mistake or a trap.
const MAX_CRAWL_DELAY: Duration = Duration::from_secs(3600);

/// The crawl-delay of a group without one. Zero is a crawl-delay of zero.
const UNSET: u32 = u32::MAX;

/// The first byte of a rule; its pattern follows.
const ALLOW: u8 = b'+';
const DISALLOW: u8 = b'-';

/// The groups of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// For each group its agents, then its rules. Every line ends with a line feed.
    text: Box<[u8]>,
    groups: Box<[Group]>,
}

/// How many bytes of the text belong to a group, and its crawl-delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    agents: u32,
    rules: u32,
    crawl_delay_ms: u32,
}

impl File {
    /// Parses a file. Never fails: an unreadable line is skipped. None: it restricts nobody.
    ///
    /// Time and memory are linear in the body; what is kept is not larger than the body.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut draft = Draft::default();
        for (key, value) in directives(body) {
            match key {
                Key::UserAgent => draft.add_agent(agent_token(value)),
                Key::Allow => draft.add_rule(ALLOW, value),
                Key::Disallow => draft.add_rule(DISALLOW, value),
                Key::CrawlDelay => draft.add_crawl_delay(value),
            }
        }
        draft.finish()
    }

    /// Whether `agent` may request `path`, a result of [`plain_path`](super::pattern::plain_path), and the pause between
    /// two requests that it is asked for. Of the rules that match, the longest wins, and of two equally long ones the
    /// one that allows. Of several crawl-delays, the shortest wins.
    ///
    /// O(names in the file + rules of the agent × length of the path).
    ///
    /// Source: RFC 9309, sections 2.2.1 and 2.2.2.
    pub(super) fn judge(&self, agent: &[u8], path: &[u8]) -> (bool, Option<Duration>) {
        let name = self.most_specific(agent);
        let (mut longest, mut crawl_delay_ms) = ((0, true), UNSET);
        for (group, agents, rules) in self.groups() {
            if !lines(agents).any(|other| other.eq_ignore_ascii_case(name)) {
                continue;
            }
            crawl_delay_ms = crawl_delay_ms.min(group.crawl_delay_ms);
            for rule in lines(rules) {
                let [kind, pattern @ ..] = rule else { continue };
                if matches(pattern, path) {
                    longest = longest.max((octets(pattern), *kind == ALLOW));
                }
            }
        }
        let is_pause = !matches!(crawl_delay_ms, 0 | UNSET);
        (longest.1, is_pause.then(|| Duration::from_millis(crawl_delay_ms.into())))
    }

    /// The longest name in the file that applies to `agent`: the same, or a whole word at its start (`hurtle` applies
    /// to `hurtle-images` if the file does not name that). [`ANYBODY`] if there is none.
    fn most_specific(&self, agent: &[u8]) -> &[u8] {
        let names = self.groups().flat_map(|(_, agents, _)| lines(agents));
        names.filter(|name| applies(name, agent)).max_by_key(|name| name.len()).unwrap_or(ANYBODY)
    }

    /// The groups, each with its agents and its rules.
    fn groups(&self) -> impl Iterator<Item = (Group, &[u8], &[u8])> {
        let mut rest = &*self.text;
        self.groups.iter().map_while(move |group| {
            let (agents, after) = rest.split_at_checked(group.agents as usize)?;
            let (rules, after) = after.split_at_checked(group.rules as usize)?;
            rest = after;
            Some((*group, agents, rules))
        })
    }

    /// The memory it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.groups)
    }
}

/// The groups parsed so far.
#[derive(Default)]
struct Draft {
    text: Vec<u8>,
    groups: Vec<Group>,
    /// The last line with an effect named an agent, so that another name belongs to the same group.
    in_agents: bool,
    /// There is a disallowed path, or a crawl-delay.
    restricts: bool,
}

impl Draft {
    /// An empty name also starts a group, which applies to nobody.
    fn add_agent(&mut self, name: &[u8]) {
        if !std::mem::replace(&mut self.in_agents, true) {
            self.groups.push(Group { agents: 0, rules: 0, crawl_delay_ms: UNSET });
        }
        if let Some(group) = self.groups.last_mut()
            && !name.is_empty()
        {
            self.text.extend_from_slice(name);
            self.text.push(b'\n');
            group.agents += name.len() as u32 + 1;
        }
    }

    /// The group of a line that does not name an agent. None: it applies to nobody.
    fn group(&mut self) -> Option<&mut Group> {
        self.in_agents = false;
        self.groups.last_mut().filter(|group| group.agents > 0)
    }

    fn add_rule(&mut self, kind: u8, pattern: &[u8]) {
        if self.group().is_none() || pattern.is_empty() {
            return;
        }
        let before = self.text.len();
        self.text.push(kind);
        push_pattern(&mut self.text, pattern);
        self.text.push(b'\n');
        self.restricts |= kind == DISALLOW;
        let added = self.text.len() - before;
        if let Some(group) = self.group() {
            group.rules += added as u32;
        }
    }

    fn add_crawl_delay(&mut self, seconds: &[u8]) {
        let Some(group) = self.group() else { return };
        let Some(delay) = crawl_delay(seconds) else { return };
        let delay_ms = delay.min(MAX_CRAWL_DELAY).as_millis() as u32;
        group.crawl_delay_ms = group.crawl_delay_ms.min(delay_ms);
        self.restricts |= delay_ms > 0;
    }

    fn finish(mut self) -> Option<File> {
        self.groups.retain(|group| group.agents > 0);
        self.restricts.then(|| File { text: self.text.into(), groups: self.groups.into() })
    }
}

/// The lines of a text in which every line ends with a line feed.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, rest) = text.split_at_checked(memchr(b'\n', text)?)?;
        text = rest.get(1..)?;
        Some(line)
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

/// Whether a name in the file applies to `agent`.
fn applies(token: &[u8], agent: &[u8]) -> bool {
    let Some((head, rest)) = agent.split_at_checked(token.len()) else { return false };
    !token.is_empty()
        && head.eq_ignore_ascii_case(token)
        && rest.first().is_none_or(|next| !next.is_ascii_alphanumeric())
}

/// The value of a crawl-delay, if it is a number of seconds.
fn crawl_delay(seconds: &[u8]) -> Option<Duration> {
    let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
