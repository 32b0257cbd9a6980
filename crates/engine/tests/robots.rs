//! robots.txt: by which way it is reached, for whom it speaks, and what becomes of requests that wait for it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Rows, Script, engine, fetch, fetch_one, one_attempt};
use hurtle_engine::{Code, Engine, Options};

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

/// A server that answers the paths it is asked for, and remembers them.
fn site(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Script, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
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
