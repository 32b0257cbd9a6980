use std::time::Instant;

use super::lines::BYTE_LIMIT;
use super::*;

/// The longest pause, as `file` has it.
const MAX_CRAWL_DELAY: Duration = Duration::from_secs(3600);

/// What the rules of one file say to one agent.
pub(super) struct Own {
    rules: Rules,
    agent: &'static str,
}

impl Own {
    pub(super) fn new(agent: &'static str, body: impl AsRef<[u8]>) -> Self {
        Self { rules: Rules::parse(body.as_ref()), agent }
    }

    fn judge(&self, path: &str) -> Verdict {
        self.rules.judge(self.agent.as_bytes(), path)
    }

    pub(super) fn allows(&self, path: &str) -> bool {
        matches!(self.judge(path), Verdict::Allowed(_))
    }

    fn crawl_delay(&self) -> Option<Duration> {
        match self.judge("/robots.txt") {
            Verdict::Allowed(crawl_delay) => crawl_delay,
            Verdict::Disallowed(why) => panic!("{why}"),
        }
    }
}

fn rules(body: impl AsRef<[u8]>) -> Own {
    Own::new("hurtle", body)
}

#[test]
fn test_answer_decides_when_the_file_cannot_be_had() {
    let body = b"user-agent: *\ndisallow: /a";
    let refused = Verdict::Disallowed;
    let file = (refused("robots.txt disallows the path"), Verdict::Allowed(None));
    let open = (Verdict::Allowed(None), Verdict::Allowed(None));
    let unknown = |why| (refused(why), refused(why));
    let (error, limit) = ("robots.txt was answered with a server error", "robots.txt was answered with 429");
    let cases = [
        ([200, 206, 299].as_slice(), file),
        (&[300, 301, 308, 400, 401, 403, 404, 410, 425, 499], open),
        (&[429], unknown(limit)),
        (&[500, 503, 999], unknown(error)),
    ];
    let judged = |rules: Rules| (rules.judge(b"hurtle", "/a"), rules.judge(b"hurtle", "/b"));
    for (statuses, verdicts) in cases {
        for &status in statuses {
            let rules = Rules::of_answer(status, body);
            assert_eq!(rules.judge(b"hurtle", "/robots.txt"), Verdict::Allowed(None), "{status}");
            assert_eq!(rules.is_known(), !matches!(status, 429 | 500..), "{status}");
            assert_eq!(judged(rules), verdicts, "{status}");
        }
    }
    assert_eq!(judged(Rules::absent()), open);
    assert_eq!(judged(Rules::unreachable()), unknown("robots.txt could not be fetched"));
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
        let found = rules(format!("user-agent: *\ncrawl-delay: {value}")).crawl_delay();
        assert_eq!(found, seconds.map(Duration::from_secs_f64), "{value}");
    }
}

#[test]
fn test_crawl_delay_is_that_of_our_group_when_there_are_several() {
    let body = "crawl-delay: 1\nuser-agent: *\nCrawl delay: 10\nuser-agent: testbot\ncrawldelay 15";
    assert_eq!(rules(body).crawl_delay(), Some(Duration::from_secs(10)));
    assert_eq!(Own::new("testbot", body).crawl_delay(), Some(Duration::from_secs(15)));
    assert_eq!(rules("crawl-delay: 1").crawl_delay(), None, "no agent, no group");
    let body = "user-agent: hurtle\ncrawl-delay: 3\ncrawl-delay: 2\nuser-agent: hurtle\ncrawl-delay: 7";
    assert_eq!(rules(body).crawl_delay(), Some(Duration::from_secs(2)), "the shortest counts");
    assert_eq!(rules(format!("{body}\ncrawl-delay: 0")).crawl_delay(), None);
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
        ("Müller-Bot/1", "Müller-Bot"),
        ("", ""),
    ];
    for (user_agent, token) in cases {
        assert_eq!(product(user_agent.as_bytes()), token.as_bytes(), "{user_agent}");
    }
}

#[test]
fn test_one_file_is_read_once_when_several_agents_are_judged() {
    let body = "user-agent: a\ndisallow: /a\ncrawl-delay: 1\nuser-agent: b\nuser-agent: c\ndisallow: /b\n\
            user-agent: *\ncrawl-delay: 2\nuser-agent: a\nuser-agent: d\nallow: /a/open\n";
    let rules = Rules::parse(body.as_bytes());
    let seconds = |delay: u64| Verdict::Allowed(Some(Duration::from_secs(delay)));
    let refused = Verdict::Disallowed("robots.txt disallows the path");
    for (agent, to_a, to_open, to_b) in [
        ("a", refused, seconds(1), seconds(1)),
        ("A", refused, seconds(1), seconds(1)),
        ("b", Verdict::Allowed(None), Verdict::Allowed(None), refused),
        ("c", Verdict::Allowed(None), Verdict::Allowed(None), refused),
        ("d", Verdict::Allowed(None), Verdict::Allowed(None), Verdict::Allowed(None)),
        ("e", seconds(2), seconds(2), seconds(2)),
        ("", seconds(2), seconds(2), seconds(2)),
    ] {
        let judged = ["/a", "/a/open", "/b"].map(|path| rules.judge(agent.as_bytes(), path));
        assert_eq!(judged, [to_a, to_open, to_b], "{agent}");
    }
}

#[test]
fn test_host_costs_two_words_when_it_forbids_nobody_anything() {
    assert_eq!(size_of::<Rules>(), 2 * size_of::<usize>());
    for body in [
        "",
        "user-agent: *\nallow: /",
        "user-agent: *\ndisallow:\ncrawl-delay: 0\n",
        "disallow: /",
        "user-agent:\ndisallow: /",
        "sitemap: https://a.example/",
    ] {
        assert_eq!(rules(body).rules, Rules::absent(), "{body}");
    }
}

#[test]
fn test_host_costs_no_more_than_its_file_when_it_forbids_something() {
    let everybody = "User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\n\n\
            Sitemap: https://a.example/sitemap.xml\n";
    let short_groups = "user-agent a\nallow b\nuser-agent a\ndisallow b\n".repeat(1000);
    let short_rules = format!("user-agent a\n{}", "disallow b\n".repeat(1000));
    let names = "user-agent:hurtle\n".repeat(1000) + "disallow:/a%24";
    for body in [everybody, &short_groups, &short_rules, &names] {
        let State::File(file) = rules(body).rules.0 else { panic!("{body}") };
        assert!(file.bytes() <= body.len(), "{} of {}", file.bytes(), body.len());
    }
}

#[test]
fn test_rules_behind_the_limit_are_not_read_when_a_file_is_too_long() {
    let start = "user-agent: *\ndisallow: /start\n";
    let padding = "#".repeat(BYTE_LIMIT - start.len() - "\ndisallow: /cut".len());
    let rules = rules(format!("{start}{padding}\ndisallow: /cut-here\ndisallow: /after"));
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
    assert!(!rules(&body).allows("/last") && !rules(format!("{body}\nallow: /last")).allows("/last"));
}

#[test]
fn test_reading_and_matching_end_when_a_file_is_hostile() {
    let many_rules: String =
        (0..100_000).fold("user-agent: *\n".to_owned(), |body, rule| body + &format!("disallow:/{rule}\n"));
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
        let rules = rules(&body);
        refused += usize::from(!rules.allows(&path));
        assert!(rules.allows("/robots.txt"));
        assert!(rules.crawl_delay().is_none_or(|delay| delay <= MAX_CRAWL_DELAY));
    }
    assert!(refused > 0, "the noise never made a rule");
}
