//! The items of `RateLimit` and `RateLimit-Policy`: structured fields (RFC 9651), as far as the drafts need them.

use super::{count, number};

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Requests,
    /// Requests in flight at a time.
    Concurrent,
    /// Bytes, or what a later registration calls its own.
    Other,
}

/// An item of `RateLimit-Policy`: `"default";q=100;w=60`, or `100;w=60` until draft 7.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PolicyItem<'a> {
    name: &'a str,
    key: Option<&'a str>,
    /// Units in a window.
    pub(super) quota: f64,
    pub(super) window_s: Option<f64>,
    pub(super) unit: Unit,
}

/// An item of `RateLimit`: `"default";r=50;t=30` in drafts 8 to 11, `"default";a=50;w=30` in draft 12.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LimitItem<'a> {
    name: &'a str,
    key: Option<&'a str>,
    /// Units that are left.
    pub(super) available: f64,
    /// Within so many seconds no more than those may be used.
    pub(super) window_s: Option<f64>,
    /// What a request like this one costs, in units; at least one.
    pub(super) cost: f64,
}

/// The whole of `RateLimit` in draft 7: `limit=100, remaining=50, reset=30`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dictionary {
    pub(super) limit: Option<f64>,
    pub(super) remaining: f64,
    pub(super) reset_s: f64,
}

impl<'a> PolicyItem<'a> {
    /// `None`: not an item of a policy, which its recipient ignores.
    pub(super) fn read(item: &'a str) -> Option<Self> {
        let name = name(item)?;
        let quota = count(parameter(item, "q").unwrap_or(name))?;
        let window_s =
            optional(parameter(item, "w"), |value| number(value).filter(|&window_s| window_s > 0.0)).ok()?;
        // The drafts' text says "requests", their registry "request".
        let unit = match parameter(item, "qu").map(bare) {
            None | Some("requests" | "request") => Unit::Requests,
            Some("concurrent-requests") => Unit::Concurrent,
            Some(_) => Unit::Other,
        };
        Some(Self { name: bare(name), key: parameter(item, "pk"), quota, window_s, unit })
    }

    /// Whether `limit` is what is left of this policy, at best for the same partition.
    pub(super) fn is_of(&self, limit: &LimitItem<'_>, same_partition: bool) -> bool {
        self.name == limit.name && (!same_partition || self.key == limit.key)
    }
}

impl<'a> LimitItem<'a> {
    /// `None`: not a service limit, which its recipient ignores.
    pub(super) fn read(item: &'a str) -> Option<Self> {
        let name = bare(name(item)?);
        let available = count(parameter(item, "r").or_else(|| parameter(item, "a"))?)?;
        let window_s = optional(parameter(item, "t").or_else(|| parameter(item, "w")), number).ok()?;
        let cost = optional(parameter(item, "c"), count).ok()?.unwrap_or(1.0).max(1.0);
        Some(Self { name, key: parameter(item, "pk"), available, window_s, cost })
    }
}

impl Dictionary {
    pub(super) fn read(line: &str) -> Option<Self> {
        let member = |key| {
            let value = pieces(line, ',').filter_map(|member| value_of(member, key)).last()?;
            pieces(value, ';').next()
        };
        Some(Self {
            limit: optional(member("limit"), count).ok()?,
            remaining: count(member("remaining")?)?,
            reset_s: number(member("reset")?)?,
        })
    }
}

/// The items of a line.
pub(super) fn items(line: &str) -> impl Iterator<Item = &str> {
    pieces(line, ',')
}

/// What stands before an item's parameters, a token or a whole string.
fn name(item: &str) -> Option<&str> {
    let name = pieces(item, ';').next()?.trim();
    let is_whole = !name.starts_with('"') || (name.len() > 1 && name.ends_with('"'));
    (!name.is_empty() && is_whole).then_some(name)
}

/// A string without its quotes. Policies are named by tokens, too.
fn bare(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// The parameter `key` of an item; of several the last, as RFC 9651 has it.
fn parameter<'a>(item: &'a str, key: &str) -> Option<&'a str> {
    pieces(item, ';').skip(1).filter_map(|parameter| value_of(parameter, key)).last()
}

/// What `read` makes of a value that may be missing, but not unreadable.
fn optional<'a>(value: Option<&'a str>, read: impl Fn(&'a str) -> Option<f64>) -> Result<Option<f64>, ()> {
    value.map(|value| read(value).ok_or(())).transpose()
}

/// The value of `key=value`.
fn value_of<'a>(pair: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = pair.split_once('=')?;
    (name.trim() == key).then(|| value.trim())
}

/// Splits a structured field where `separator` is not inside a quoted string.
fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let apart = letter == separator && !quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        apart
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn limit(item: &str) -> Option<(f64, Option<f64>, f64)> {
        LimitItem::read(item).map(|limit| (limit.available, limit.window_s, limit.cost))
    }

    fn policy(item: &str) -> Option<(f64, Option<f64>, Unit)> {
        PolicyItem::read(item).map(|policy| (policy.quota, policy.window_s, policy.unit))
    }

    #[test]
    fn test_service_limits_are_read_when_any_draft_writes_them() {
        assert_eq!(limit(r#""default";r=50;t=30"#), Some((50.0, Some(30.0), 1.0)), "drafts 8 to 11");
        assert_eq!(
            limit(r#""default"; r=50; t=30"#),
            Some((50.0, Some(30.0), 1.0)),
            "express-rate-limit 8.7.5"
        );
        assert_eq!(limit(r#""api";a=99;w=60;pk=:R0VUH2FsaWNl:"#), Some((99.0, Some(60.0), 1.0)), "draft 12");
        assert_eq!(limit(r#""api";a=99;w=60;c=5"#), Some((99.0, Some(60.0), 5.0)), "draft 12, with a cost");
        assert_eq!(limit(r#""api";a=99;w=60;c=0"#), Some((99.0, Some(60.0), 1.0)), "this one was free");
        assert_eq!(limit("default;r=50"), Some((50.0, None, 1.0)), "a token, and no window");
        assert_eq!(limit(r#""a";r=1;r=2"#), Some((2.0, None, 1.0)), "the last of two");
    }

    #[test]
    fn test_policies_are_read_when_any_draft_writes_them() {
        let requests = |quota, window_s| Some((quota, window_s, Unit::Requests));
        assert_eq!(policy("5;w=10"), requests(5.0, Some(10.0)), "draft 6");
        assert_eq!(
            policy(r#"100;w=60;comment="fixed; or so, window""#),
            requests(100.0, Some(60.0)),
            "draft 7"
        );
        assert_eq!(policy(r#""default";q=100;w=60"#), requests(100.0, Some(60.0)), "drafts 8 to 12");
        assert_eq!(policy(r#""default";q=100"#), requests(100.0, None));
        assert_eq!(policy(r#""default";q=100;qu="request""#), requests(100.0, None), "the registry's name");
        assert_eq!(policy(r#""b";q=9;qu="content-bytes";w=1"#), Some((9.0, Some(1.0), Unit::Other)));
        assert_eq!(policy(r#""c";q=4;qu="concurrent-requests""#), Some((4.0, None, Unit::Concurrent)));
    }

    #[test]
    fn test_items_are_not_read_when_a_part_is_missing_or_garbage() {
        for item in [
            "",
            "\"a",
            "\"",
            ";r=1",
            "\"a\"",
            "\"a\";t=1",
            "\"a\";r=",
            "\"a\";r=x",
            "\"a\"b;r=1;t=1",
            "\"a\";r=-1",
            "\"a\";r=1;t=x",
        ] {
            assert_eq!(limit(item), None, "{item}");
        }
        for item in
            ["", "\"a\"", "a;w=1", "\"a\";q=-1", "\"a\";q=1;w=0", "\"a\";q=1;w=x", "-5;w=10", "\"5;w=10"]
        {
            assert_eq!(policy(item), None, "{item}");
        }
        for line in
            ["", "limit=5", "limit=5, remaining=4", "remaining=x, reset=1", "limit=x, remaining=1, reset=1"]
        {
            assert_eq!(Dictionary::read(line), None, "{line}");
        }
    }

    #[test]
    fn test_names_may_hold_separators_when_they_are_quoted() {
        let line = r#""a,b;\"c";r=4;t=2, "d";r=1"#;
        let read: Vec<_> = items(line).filter_map(LimitItem::read).map(|limit| limit.available).collect();
        assert_eq!(read, [4.0, 1.0]);
    }

    #[test]
    fn test_a_policy_belongs_to_its_partition_when_both_name_it() {
        let limit = LimitItem::read(r#""user";r=4;pk=:YQ==:"#).unwrap();
        let [same, other] =
            ["user;q=5;pk=:YQ==:", r#""user";q=9;pk=:Yg==:"#].map(|item| PolicyItem::read(item).unwrap());
        assert!(same.is_of(&limit, true) && !other.is_of(&limit, true) && other.is_of(&limit, false));
    }
}
