//! robots.txt: by which way it is reached, for whom it speaks, and what becomes of requests that wait for it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::net::TcpListener;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Rows, Script, drain, engine, fetch, fetch_one, one_attempt, send, start, submissions, wait_until,
};
use http::HeaderValue;
use http::header::USER_AGENT;
use hurtle_engine::{Code, Engine, Job, JobOptions, Next, Options, Spec, Submission};
use hurtle_testserver::Outage;

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

/// Answers robots.txt with `first` once, and with `then` from then on.
fn site_that_changes(first: impl Into<String>, then: impl Into<String>) -> (Script, Log) {
    let (first, then, asked_before) = (first.into(), then.into(), AtomicBool::new(false));
    site(move |path| match path {
        "/robots.txt" if !asked_before.swap(true, SeqCst) => first.clone(),
        "/robots.txt" => then.clone(),
        _ => text("page"),
    })
}

fn refusal(after: u32) -> String {
    format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {after}\r\ncontent-length: 0\r\n\r\n")
}

/// Obeys robots.txt, and is as patient as callers are who say nothing, unless told otherwise.
fn patient(change: impl FnOnce(&mut Options)) -> Engine {
    let mut options = Options { robots: true, threads: 1, ..Options::default() };
    change(&mut options);
    engine(options)
}

#[test]
fn test_robots_txt_is_waited_for_when_it_is_refused_with_a_wait() {
    for first in [refusal(1), refusal(1).replace("429 Too Many Requests", "503 Busy")] {
        let (site, asked) = site_that_changes(first, text(NOTHING_PRIVATE));
        let rows = fetch(&patient(|_| ()), &[site.url("/private"), site.url("/public")]);
        assert_eq!(codes(&rows), [Some(Code::HostRobots), None]);
        assert_eq!(*asked.lock().unwrap(), ["/robots.txt", "/robots.txt", "/public"]);
    }
}

#[test]
fn test_rows_end_when_robots_txt_is_refused_for_longer_than_patience() {
    for after in [1, 999_999_999] {
        let (site, asked) =
            site(move |path| if path == "/robots.txt" { refusal(after) } else { text("page") });
        let engine = patient(|options| {
            options.retries.patience = Some(Duration::from_millis(1500));
            options.retries.max_retry_after = Duration::from_millis(700);
        });
        let rows = fetch(&engine, &vec![site.url("/public"); 50]);
        rows.assert_complete(50);
        assert!(rows.0.iter().all(|row| row.code == Some(Code::HostRobots)), "{rows:?}");
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|path| path == "/robots.txt") && asked.len() <= 5, "{asked:?}");
    }
}

#[test]
fn test_rows_do_not_wait_for_their_host_when_robots_txt_ends_refused() {
    let (site, asked) = site(|path| if path == "/robots.txt" { refusal(60) } else { text("page") });
    let engine = patient(|options| options.retries.patience = Some(Duration::from_secs(1)));
    let job = JobOptions { max_duration: Some(Duration::from_secs(10)), ..JobOptions::default() };
    let job = engine.job(job).unwrap();
    assert!(job.submit(submissions(&vec![site.url("/public"); 20], None)));
    job.finish();
    let rows = drain(&job);
    rows.assert_complete(20);
    assert!(rows.0.iter().all(|row| row.code == Some(Code::HostRobots)), "{rows:?}");
    assert_eq!(*asked.lock().unwrap(), ["/robots.txt"]);
}

#[test]
fn test_rows_end_when_robots_txt_leads_to_a_host_that_is_given_up() {
    for threads in [1, 3] {
        let other = Script::answer(refusal(1));
        let rules = other.url("/robots.txt").replace("127.0.0.1", "localhost");
        let (site, _) = site(move |path| if path == "/robots.txt" { found(&rules) } else { text("page") });
        let engine = patient(|options| {
            options.retries.patience = Some(Duration::from_millis(1500));
            options.threads = threads;
        });
        let mut urls = vec![other.url("/page").replace("127.0.0.1", "localhost"); 20];
        urls.extend(vec![site.url("/public"); 20]);
        let rows = fetch(&engine, &urls);
        rows.assert_complete(40);
        assert!(codes(&rows)[20..].iter().all(|code| *code == Some(Code::HostRobots)), "{rows:?}");
        assert!(rows.0.iter().all(|row| !row.ok));
    }
}

/// An address where nobody listens.
fn closed(host: &str) -> String {
    let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap();
    format!("http://{address}")
}

#[test]
fn test_rows_end_when_all_ports_of_their_host_are_closed() {
    let ports: Vec<String> = (0..8).map(|_| closed("127.0.0.3")).collect();
    let urls: Vec<String> = (0..80).map(|n| format!("{}/{n}", ports[n % 8])).collect();
    let engine = patient(|options| options.retries.backoff = Duration::from_millis(5));
    for _ in 0..2 {
        let rows = fetch(&engine, &urls);
        rows.assert_complete(80);
        let ends = [Some(Code::HostRobots), Some(Code::HostCircuitOpen)];
        assert!(codes(&rows).iter().all(|code| ends.contains(code)), "{rows:?}");
    }
}

#[test]
fn test_rows_end_when_robots_txt_leads_to_a_host_that_is_down() {
    let other = common::server();
    let rules = other.url("/rules").replace("127.0.0.1", "localhost");
    // At first it takes until enough has failed there.
    let later = found(&rules).replace("302 Found\r\n", "302 Found\r\nretry-after: 1\r\n");
    let (site, asked) = site_that_changes(later, found(&rules));
    let engine = patient(|options| {
        options.retries.rounds = 1;
        options.retries.backoff = Duration::from_millis(5);
        options.retries.max_backoff = Duration::from_millis(500);
    });
    let mut urls = vec![other.url("/bytes/1").replace("127.0.0.1", "localhost"); 200];
    assert!(fetch_one(&engine, &urls[0]).ok);
    other.set_outage(Some(Outage::Refuse)).unwrap();
    urls.extend(vec![site.url("/public"); 3]);
    let rows = fetch(&engine, &urls);
    rows.assert_complete(203);
    let codes = codes(&rows);
    assert!(codes[..200].iter().all(|code| *code != Some(Code::HostRobots)), "{rows:?}");
    assert!(codes[200..].iter().all(|code| *code == Some(Code::HostRobots)), "{rows:?}");
    assert!(asked.lock().unwrap().iter().all(|path| path == "/robots.txt"));
}

#[test]
fn test_another_job_asks_for_robots_txt_when_the_one_that_did_is_over() {
    type End = fn(&Job);
    let ends: [(&str, End); 3] = [("stopped", Job::stop), ("cancelled", Job::cancel), ("expired", |_| ())];
    for (how, end) in ends {
        let (site, asked) = site_that_changes(refusal(1), text(NOTHING_PRIVATE));
        let engine = patient(|_| ());
        let max_duration = (how == "expired").then_some(Duration::from_millis(400));
        let first = engine.job(JobOptions { max_duration, ..JobOptions::default() }).unwrap();
        assert!(first.submit(submissions(&[site.url("/private"), site.url("/public")], None)));
        first.finish();
        wait_until("the first job asked for robots.txt", || !asked.lock().unwrap().is_empty());
        let second = start(&engine, &[site.url("/private"), site.url("/public")]);
        end(&first);
        assert_eq!(codes(&drain(&second)), [Some(Code::HostRobots), None], "{how}");
        assert_eq!(*asked.lock().unwrap(), ["/robots.txt", "/robots.txt", "/public"], "{how}");
    }
}

#[test]
fn test_robots_txt_is_fetched_when_the_consumer_of_the_job_that_asked_is_behind() {
    let (site, _) = site_that_changes(refusal(1), text(NOTHING_PRIVATE));
    let (other, asked_there) = site_of_agents("");
    // A single row that nobody takes is more than may wait.
    let engine = patient(|options| options.max_buffer = 1);
    let behind = engine.job(JobOptions::default()).unwrap();
    let urls = [site.url("/public"), other.url("/").replace("127.0.0.1", "localhost")];
    assert!(behind.submit(submissions(&urls, None)));
    wait_until("a row waits for its consumer", || asked_there.lock().unwrap().len() == 2);
    let served = start(&engine, &[site.url("/private"), site.url("/public")]);
    let mut codes = Vec::new();
    while let Next::Batch(batch) = served.next_batch(Duration::from_secs(10)) {
        codes.extend(batch.iter().map(|row| (row.row.index, row.row.code)));
    }
    codes.sort_by_key(|(index, _)| *index);
    assert_eq!(codes, [(0, Some(Code::HostRobots)), (1, None)]);
    behind.finish();
    drain(&behind).assert_complete(2);
}

#[test]
fn test_another_job_asks_for_robots_txt_when_the_one_that_did_is_cancelled_meanwhile() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let site = Script::start(move |_, peer| {
        while let Some(head) = peer.request() {
            if !head.starts_with("GET /robots.txt") {
                peer.send(text("page"));
            } else if counted.fetch_add(1, SeqCst) == 0 {
                return peer.wait_for_end();
            } else {
                peer.send(text(NOTHING_PRIVATE));
            }
        }
    });
    let engine = patient(|_| ());
    let first = start(&engine, &[site.url("/public")]);
    wait_until("the first job asked for robots.txt", || fetches.load(SeqCst) == 1);
    let second = start(&engine, &[site.url("/private"), site.url("/public")]);
    first.cancel();
    assert_eq!(codes(&drain(&second)), [Some(Code::HostRobots), None]);
    assert_eq!(fetches.load(SeqCst), 2);
}
