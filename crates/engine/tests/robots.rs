//! robots.txt: by which way it is reached, for whom it speaks, and what becomes of requests that wait for it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Rows, Script, drain, engine, fetch, fetch_one, one_attempt, send};
use http::HeaderValue;
use http::header::USER_AGENT;
use hurtle_engine::{Code, Engine, JobOptions, Options, Spec, Submission};

const NOTHING_PRIVATE: &str = "User-agent: *\nDisallow: /private\n";

/// Obeys robots.txt, and follows no redirect of a row.
fn obedient() -> Engine {
    engine(Options { robots: true, follow_redirects: false, max_redirects: 0, threads: 1, ..one_attempt() })
}

fn text(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn found(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

type Log = Arc<Mutex<Vec<String>>>;

/// A server that answers the paths it is asked for, and remembers them.
fn site(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Script, Log) {
    let asked = Log::default();
    let log = Arc::clone(&asked);
    let script = Script::start(move |_, peer| {
        while let Some(head) = peer.request() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            log.lock().unwrap().push(path.clone());
            peer.send(answer(&path));
        }
    });
    (script, asked)
}

/// A server that has these rules, and remembers who asked for what.
fn site_of_agents(rules: &str) -> (Script, Log) {
    let (asked, rules) = (Log::default(), text(rules));
    let log = Arc::clone(&asked);
    let script = Script::start(move |_, peer| {
        while let Some(head) = peer.request() {
            let path = head.split(' ').nth(1).unwrap();
            let agent = head.lines().find_map(|line| line.strip_prefix("user-agent: ")).unwrap_or("nobody");
            log.lock().unwrap().push(format!("{path} {agent}"));
            peer.send(if path == "/robots.txt" { rules.clone() } else { text("page") });
        }
    });
    (script, asked)
}

fn sent_by(agent: &'static str) -> Spec {
    Spec { headers: vec![(USER_AGENT, HeaderValue::from_static(agent))], ..Spec::default() }
}

/// Obeys robots.txt, and says who it is.
fn named(agent: &str) -> Engine {
    let headers = vec![(USER_AGENT, HeaderValue::from_bytes(agent.as_bytes()).unwrap())];
    engine(Options { robots: true, headers, threads: 1, ..one_attempt() })
}

fn codes(rows: &Rows) -> Vec<Option<Code>> {
    let mut rows: Vec<_> = rows.0.iter().collect();
    rows.sort_by_key(|row| row.index);
    rows.iter().map(|row| row.code).collect()
}

#[test]
fn test_robots_txt_is_found_behind_five_redirects_when_rows_follow_none() {
    for (hops, obeyed) in [(1, true), (5, true), (6, false)] {
        let (site, asked) = site(move |path| match path.strip_prefix("/hop/") {
            _ if path == "/robots.txt" => found("/hop/1"),
            Some(hop) if hop == hops.to_string() => text(NOTHING_PRIVATE),
            Some(hop) => found(&format!("/hop/{}", hop.parse::<u32>().unwrap() + 1)),
            None => found("/elsewhere"),
        });
        let rows = fetch(&obedient(), &[site.url("/private"), site.url("/public")]);
        rows.assert_complete(2);
        assert_eq!(codes(&rows), [obeyed.then_some(Code::HostRobots), None], "{hops} hops");
        let public = rows.0.iter().find(|row| row.index == 1).unwrap();
        assert_eq!((public.status, public.hops.len()), (Some(302), 0), "a row's redirect is its answer");
        assert!(!asked.lock().unwrap().contains(&"/hop/6".to_owned()));
    }
}

#[test]
fn test_rules_hold_for_the_origin_that_was_asked_when_another_has_the_file() {
    for threads in [1, 3] {
        let (other, asked_there) = site(|path| match path {
            "/rules" => text(NOTHING_PRIVATE),
            "/robots.txt" => text("User-agent: *\nDisallow: /rules\n"),
            _ => text("page"),
        });
        let rules = other.url("/rules").replace("127.0.0.1", "localhost");
        let (site, asked) =
            site(move |path| if path == "/robots.txt" { found(&rules) } else { text("page") });
        let engine = engine(Options { robots: true, follow_redirects: false, threads, ..one_attempt() });
        let urls = [site.url("/private"), site.url("/public"), other.url("/private"), other.url("/rules")];
        let rows = fetch(&engine, &urls);
        rows.assert_complete(4);
        let refused = Some(Code::HostRobots);
        assert_eq!(codes(&rows), [refused, None, None, refused], "{rows:?}");
        assert_eq!(*asked.lock().unwrap(), ["/robots.txt", "/public"]);
        let mut there = asked_there.lock().unwrap().clone();
        there.sort();
        assert_eq!(there, ["/private", "/robots.txt", "/rules"]);
    }
}

#[test]
fn test_everything_is_allowed_when_the_redirects_of_robots_txt_lead_nowhere() {
    for answer in [
        found("/robots.txt"),
        found("ftp://files.example/robots.txt"),
        found("http://[/"),
        "HTTP/1.1 301 Moved\r\nlocation: /a\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ] {
        let shown = answer.clone();
        let (site, asked) =
            site(move |path| if path == "/robots.txt" { answer.clone() } else { text("page") });
        let row = fetch_one(&obedient(), &site.url("/private"));
        assert_eq!((row.status, row.code), (Some(200), None), "{shown}");
        assert!(asked.lock().unwrap().len() <= 7, "{:?}", asked.lock().unwrap());
    }
}

#[test]
fn test_nothing_is_allowed_when_robots_txt_leads_to_where_nobody_answers() {
    let (site, asked) = site(|path| match path {
        "/robots.txt" => found("/broken"),
        "/broken" => "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => text("page"),
    });
    assert_eq!(fetch_one(&obedient(), &site.url("/public")).code, Some(Code::HostRobots));
    assert_eq!(*asked.lock().unwrap(), ["/robots.txt", "/broken"]);
}

#[test]
fn test_each_request_is_judged_by_the_user_agent_that_it_is_sent_with() {
    let (site, asked) = site_of_agents(
        "User-agent: mine\nDisallow: /a\n\nUser-agent: ExampleBot\nDisallow: /b\n\nUser-agent: *\nDisallow: /c\n",
    );
    let engine = named("mine/1.0 (Müller)");
    let cases = [
        (None, "/a"),
        (Some("ExampleBot/2.0"), "/b"),
        (Some("Mozilla/5.0 (compatible; examplebot/2.0; +https://a.example)"), "/b"),
        (Some("Other/1"), "/c"),
        (Some(""), "/c"),
    ];
    let mut requests = Vec::new();
    for (agent, _) in cases {
        for path in ["/a", "/b", "/c"] {
            let spec = agent.map(|agent| Box::new(sent_by(agent)));
            requests.push(Submission::new(requests.len() as u64, &site.url(path), spec, None));
        }
    }
    let job = engine.job(JobOptions::default()).unwrap();
    assert!(job.submit(requests));
    job.finish();
    let codes = codes(&drain(&job));
    for ((agent, forbidden), codes) in cases.iter().zip(codes.chunks(3)) {
        let expected = ["/a", "/b", "/c"].map(|path| (path == *forbidden).then_some(Code::HostRobots));
        assert_eq!(codes, expected, "{agent:?}");
    }
    let fetches: Vec<_> =
        asked.lock().unwrap().iter().filter(|line| line.starts_with("/robots.txt")).cloned().collect();
    assert_eq!(fetches, ["/robots.txt mine/1.0 (Müller)"]);
}

#[test]
fn test_request_without_a_user_agent_belongs_to_everybody() {
    let (site, asked) = site_of_agents("User-agent: hurtle\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n");
    let engine = engine(Options { robots: true, threads: 1, ..one_attempt() });
    let rows = fetch(&engine, &[site.url("/a"), site.url("/b")]);
    assert_eq!(codes(&rows), [None, Some(Code::HostRobots)]);
    assert_eq!(*asked.lock().unwrap(), ["/robots.txt nobody", "/a nobody"]);
}

#[test]
fn test_agent_is_the_same_when_a_redirect_leads_to_another_origin() {
    let (other, asked) = site_of_agents("User-agent: ExampleBot\nDisallow: /private\n");
    let to = other.url("/private");
    let (site, _) = site(move |path| if path == "/robots.txt" { text("") } else { found(&to) });
    let engine = named("mine");
    assert!(send(&engine, &site.url("/"), Spec::default()).ok);
    assert_eq!(send(&engine, &site.url("/"), sent_by("ExampleBot")).code, Some(Code::HostRobots));
    assert_eq!(*asked.lock().unwrap(), ["/robots.txt mine", "/private mine"]);
}

#[test]
fn test_crawl_delay_is_kept_when_the_agent_that_it_is_for_asks() {
    let (site, _) = site_of_agents("User-agent: slow\nCrawl-delay: 3600\n");
    let engine = named("mine");
    let rows = fetch(&engine, &vec![site.url("/a"); 20]);
    assert!(rows.0.iter().all(|row| row.ok), "it is for nobody who has asked");
    assert!(send(&engine, &site.url("/a"), sent_by("slow")).ok);
    let short = JobOptions { max_duration: Some(Duration::from_millis(300)), ..JobOptions::default() };
    let job = engine.job(short).unwrap();
    assert!(job.submit(vec![Submission::new(0, &site.url("/a"), Some(Box::new(sent_by("slow"))), None)]));
    job.finish();
    let row = drain(&job).single();
    assert_eq!((row.code, row.attempts), (Some(Code::TimeoutJob), 0));
}

#[test]
fn test_crawl_delay_is_kept_from_the_first_page_when_its_agent_waits_for_robots_txt() {
    let (site, asked) = site_of_agents("User-agent: slow\nCrawl-delay: 3600\n");
    let engine = named("mine");
    let short = JobOptions { max_duration: Some(Duration::from_millis(500)), ..JobOptions::default() };
    let job = engine.job(short).unwrap();
    let slow = |index| Submission::new(index, &site.url("/a"), Some(Box::new(sent_by("slow"))), None);
    assert!(job.submit((0..5).map(slow).collect()));
    job.finish();
    let rows = drain(&job);
    rows.assert_complete(5);
    assert_eq!(rows.0.iter().filter(|row| row.ok).count(), 1, "{rows:?}");
    assert_eq!(*asked.lock().unwrap(), ["/robots.txt mine", "/a slow"]);
}

#[test]
fn test_rule_that_the_limit_of_a_file_cuts_does_not_count() {
    let (start, cut) = ("User-agent: *\nDisallow: /private\n", "\nDisallow: /");
    let padding = "#".repeat((500 << 10) - start.len() - cut.len());
    let rules = text(&format!("{start}{padding}{cut}cut\n"));
    let (site, _) = site(move |path| if path == "/robots.txt" { rules.clone() } else { text("page") });
    let rows = fetch(&obedient(), &[site.url("/private"), site.url("/public")]);
    assert_eq!(codes(&rows), [Some(Code::HostRobots), None]);
}
