//! A robots.txt as it is kept: what decides something, for all agents, in their groups.
//!
//! One text holds all of it, so that a host costs less than its file does and any agent can be judged at any time.
//! Nothing is sorted or merged: an agent's groups are found by their names, which are few beside the rules.

use std::time::Duration;

use memchr::memchr;

use super::lines::{Key, directives};
use super::pattern::{matches, octets, push_pattern};

/// The agent of the group for everybody.
const ANYBODY: &[u8] = b"*";

/// The longest pause between two requests that a file can ask for. A longer one is a mistake or a trap.
const MAX_CRAWL_DELAY: Duration = Duration::from_secs(3600);

/// The pause of a group that says nothing about it. Zero says that there is to be none.
const UNASKED: u32 = u32::MAX;

/// What comes before the pattern of a rule.
const ALLOW: u8 = b'+';
const DISALLOW: u8 = b'-';

/// What a file says, to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// The agents of a group, then its rules, then the next group. Each of them ends with a line feed.
    text: Box<[u8]>,
    groups: Box<[Group]>,
}

/// How much of the text belongs to a group, and what else it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    agents: u32,
    rules: u32,
    crawl_delay_ms: u32,
}

impl File {
    /// Reads a file. Never fails: a line that cannot be read is passed over. None: it forbids nobody anything.
    ///
    /// Time and memory are linear in the body; what is kept is no larger than the body.
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

    /// Whether an agent may ask for a path, which is in its spelling, and the pause between two requests that it is
    /// asked for: the shortest one that is said to it. Of the rules that match, the longest counts, and of two that are
    /// of one length the one that allows.
    ///
    /// O(names in the file + rules for the agent × length of the path).
    ///
    /// Source: RFC 9309, sections 2.2.1 and 2.2.2.
    pub(super) fn judge(&self, agent: &[u8], path: &[u8]) -> (bool, Option<Duration>) {
        let name = self.most_specific(agent);
        let (mut longest, mut crawl_delay_ms) = ((0, true), UNASKED);
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
        let is_pause = !matches!(crawl_delay_ms, 0 | UNASKED);
        (longest.1, is_pause.then(|| Duration::from_millis(crawl_delay_ms.into())))
    }

    /// The longest name in the file that means `agent`: the same, or a whole word at its start (`hurtle` means
    /// `hurtle-images` where the file does not name that). [`ANYBODY`] where none does.
    fn most_specific(&self, agent: &[u8]) -> &[u8] {
        let names = self.groups().flat_map(|(_, agents, _)| lines(agents));
        names.filter(|name| means(name, agent)).max_by_key(|name| name.len()).unwrap_or(ANYBODY)
    }

    /// The groups with their agents and their rules.
    fn groups(&self) -> impl Iterator<Item = (Group, &[u8], &[u8])> {
        let mut rest = &*self.text;
        self.groups.iter().map_while(move |group| {
            let (agents, after) = rest.split_at_checked(group.agents as usize)?;
            let (rules, after) = after.split_at_checked(group.rules as usize)?;
            rest = after;
            Some((*group, agents, rules))
        })
    }

    /// Memory that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.groups)
    }
}

/// The groups so far.
#[derive(Default)]
struct Draft {
    text: Vec<u8>,
    groups: Vec<Group>,
    /// The last line that decided something named an agent: another one belongs to the same group.
    in_agents: bool,
    /// Somebody is forbidden something, or asked for a pause.
    says_something: bool,
}

impl Draft {
    /// An empty name begins a group as well, one for nobody.
    fn add_agent(&mut self, name: &[u8]) {
        if !std::mem::replace(&mut self.in_agents, true) {
            self.groups.push(Group { agents: 0, rules: 0, crawl_delay_ms: UNASKED });
        }
        if let Some(group) = self.groups.last_mut()
            && !name.is_empty()
        {
            self.text.extend_from_slice(name);
            self.text.push(b'\n');
            group.agents += name.len() as u32 + 1;
        }
    }

    /// The group that a line belongs to which names no agent. None: that for nobody.
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
        self.says_something |= kind == DISALLOW;
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
        self.says_something |= delay_ms > 0;
    }

    fn finish(mut self) -> Option<File> {
        self.groups.retain(|group| group.agents > 0);
        let says_something = self.says_something;
        says_something.then(|| File { text: self.text.into(), groups: self.groups.into() })
    }
}

/// The lines of a text in which each line ends with a line feed.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, rest) = text.split_at_checked(memchr(b'\n', text)?)?;
        text = rest.get(1..)?;
        Some(line)
    })
}

/// The product token of a `User-agent` line, without what does not belong there: a version, a second word, a star at
/// the end.
fn agent_token(value: &[u8]) -> &[u8] {
    let ends = |byte: &u8| *byte == b'/' || byte.is_ascii_whitespace();
    let token = value.split(ends).next().unwrap_or_default();
    if token == ANYBODY {
        return token;
    }
    let stars = token.iter().rev().take_while(|&&byte| byte == b'*').count();
    token.get(..token.len() - stars).unwrap_or_default()
}

fn means(token: &[u8], agent: &[u8]) -> bool {
    let Some((head, rest)) = agent.split_at_checked(token.len()) else { return false };
    !token.is_empty()
        && head.eq_ignore_ascii_case(token)
        && rest.first().is_none_or(|next| !next.is_ascii_alphanumeric())
}

/// A pause as it is asked for, if it is a number of seconds.
fn crawl_delay(seconds: &[u8]) -> Option<Duration> {
    let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
