//! Bodies that are cut: the rest is asked for, and is believed only where it is the rest.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Peer, Row, Script, drain, engine, fetch_one, quick_retries, submissions, wait_until};
use hurtle_engine::{Code, JobOptions, Options, Spool};

/// A body of which no two pieces are equal.
fn content(length: usize) -> Vec<u8> {
    (0u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

/// Where the wanted range begins, and whether there is one.
fn start_of(request: &str) -> Option<usize> {
    let line = request.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    assert!(request.contains("if-range: \"v1\"\r\n"), "{request}");
    Some(line.strip_suffix('-').unwrap().parse().unwrap())
}

/// Answers as a server of files does, with at most `most` bytes of a body on each connection.
fn answer(peer: &mut Peer, request: &str, file: &[u8], most: usize, more: &str) -> usize {
    let (start, whole) = (start_of(request), file.len());
    let rest = &file[start.unwrap_or(0)..];
    let (status, range) = match start {
        Some(start) => {
            ("206 Partial Content", format!("Content-Range: bytes {start}-{}/{whole}\r\n", whole - 1))
        }
        None => ("200 OK", String::new()),
    };
    let length = rest.len();
    let head = format!("HTTP/1.1 {status}\r\nETag: \"v1\"\r\n{more}{range}Content-Length: {length}\r\n\r\n");
    let sent = length.min(most);
    peer.send([head.as_bytes(), &rest[..sent]].concat());
    sent
}

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hurtle-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// Fetches to the disk. The row has the body as a file had it.
fn to_disk(options: Options, url: &str, name: &str) -> Row {
    let folder = Folder::new(name);
    let engine = engine(options);
    let spool = Some(Spool { folder: folder.0.clone(), above: 256 << 10, hashes: true });
    let job = engine.job(JobOptions { spool, ..JobOptions::default() }).unwrap();
    assert!(job.submit(submissions(&[url], None)));
    job.finish();
    let row = drain(&job).single();
    assert_eq!(folder.files(), 0, "a file goes with its row");
    row
}

#[test]
fn test_h34_a_body_that_is_cut_five_times_comes_whole_with_hardly_a_byte_twice() {
    let file = Arc::new(content(3_000_000));
    for on_disk in [false, true] {
        let sent = Arc::new(AtomicUsize::new(0));
        let (sending, served) = (Arc::clone(&sent), Arc::clone(&file));
        let script = Script::start(move |number, peer| {
            let Some(request) = peer.request() else { return };
            let most = if number < 5 { served.len() / 10 * 4 / (number + 1) } else { usize::MAX };
            sending.fetch_add(answer(peer, &request, &served, most, ""), Ordering::SeqCst);
        });
        let row = if on_disk {
            to_disk(quick_retries(6), &script.url("/"), "cut-five-times")
        } else {
            fetch_one(&engine(quick_retries(6)), &script.url("/"))
        };
        assert_eq!(
            (row.status, row.ok, row.attempts),
            (Some(200), true, 6),
            "{} {:?}",
            row.detail,
            row.earlier
        );
        assert!(row.body == *file, "{}", row.body.len());
        assert_eq!(row.wire_bytes, file.len() as u64);
        assert_eq!(row.header("content-range"), None, "the row is that of the whole");
        assert!(sent.load(Ordering::SeqCst) * 100 <= file.len() * 105);
    }
}

#[test]
fn test_h34_a_server_that_sends_no_ranges_is_asked_for_the_whole() {
    let file = content(500_000);
    for (name, head) in [
        ("weak", "ETag: W/\"v1\"\r\n"),
        ("none", ""),
        ("refusing", "ETag: \"v1\"\r\nAccept-Ranges: none\r\n"),
        ("young", "Last-Modified: Tue, 01 Dec 2026 10:00:00 GMT\r\nDate: Tue, 01 Dec 2026 10:00:01 GMT\r\n"),
    ] {
        let served = file.clone();
        let script = Script::start(move |number, peer| {
            let Some(request) = peer.request() else { return };
            assert!(!request.contains("range"), "{request}");
            let head = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n", served.len());
            let most = if number == 0 { 300_000 } else { served.len() };
            peer.send([head.as_bytes(), &served[..most]].concat());
        });
        let row = fetch_one(&engine(quick_retries(1)), &script.url("/"));
        assert!(row.ok && row.body == file, "{name}");
        assert!(to_disk(quick_retries(1), &script.url("/"), name).ok, "{name}");
    }
}

#[test]
fn test_h34_a_date_is_a_validator_when_it_is_old_enough_and_there_is_no_tag() {
    let file = Arc::new(content(200_000));
    let served = Arc::clone(&file);
    let changed = "Tue, 01 Dec 2026 10:00:00 GMT";
    let script = Script::start(move |number, peer| {
        let Some(request) = peer.request() else { return };
        let whole = served.len();
        let dates = format!("Last-Modified: {changed}\r\nDate: Tue, 01 Dec 2026 10:01:00 GMT\r\n");
        if number == 0 {
            let head = format!("HTTP/1.1 200 OK\r\n{dates}Content-Length: {whole}\r\n\r\n");
            return peer.send([head.as_bytes(), &served[..100_000]].concat());
        }
        assert!(request.contains(&format!("if-range: {changed}\r\n")), "{request}");
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\n{dates}Content-Range: bytes 100000-199999/{whole}\r\nContent-Length: 100000\r\n\r\n"
        );
        peer.send([head.as_bytes(), &served[100_000..]].concat());
    });
    let row = fetch_one(&engine(quick_retries(1)), &script.url("/"));
    assert!(row.ok && row.body == *file, "{} {}", row.detail, row.body.len());
}

#[test]
fn test_h35_a_server_that_ignores_the_range_or_has_another_file_by_now_starts_again() {
    let (old, new) = (content(400_000), content(600_001)[1..].to_vec());
    for (tag, file) in [("v1", old.clone()), ("v2", new)] {
        let (before, served) = (old.clone(), file.clone());
        let script = Script::start(move |number, peer| {
            if peer.request().is_none() {
                return;
            }
            let (tag, body, most) = match number {
                0 => ("v1", &before, 300_000),
                _ => (tag, &served, usize::MAX),
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nETag: \"{tag}\"\r\nContent-Length: {}\r\n\r\n", body.len());
            peer.send([head.as_bytes(), &body[..most.min(body.len())]].concat());
        });
        let row = fetch_one(&engine(quick_retries(1)), &script.url("/"));
        assert!(row.ok && row.body == file, "{tag}: {}", row.detail);
        assert_eq!(row.header("etag").unwrap(), format!("\"{tag}\""));
    }
}

#[test]
fn test_h35_a_part_that_is_not_the_rest_is_never_believed() {
    let file = Arc::new(content(400_000));
    for (name, length, lie) in [
        ("an earlier start", 100_001, "Content-Range: bytes 299999-399999/400000\r\nETag: \"v1\"\r\n"),
        ("a later start", 99_999, "Content-Range: bytes 300001-399999/400000\r\nETag: \"v1\"\r\n"),
        ("another length", 99_999, "Content-Range: bytes 300000-399999/400000\r\nETag: \"v1\"\r\n"),
        ("another whole", 100_000, "Content-Range: bytes 300000-399999/500000\r\nETag: \"v1\"\r\n"),
        ("another tag", 100_000, "Content-Range: bytes 300000-399999/400000\r\nETag: \"v2\"\r\n"),
        ("no tag", 100_000, "Content-Range: bytes 300000-399999/400000\r\n"),
        ("no range", 100_000, "ETag: \"v1\"\r\n"),
        (
            "two ranges",
            100_000,
            "Content-Range: bytes 300000-399999/400000\r\nContent-Range: bytes 1-2/3\r\nETag: \"v1\"\r\n",
        ),
        (
            "a coding",
            100_000,
            "Content-Range: bytes 300000-399999/400000\r\nETag: \"v1\"\r\nContent-Encoding: x\r\n",
        ),
        ("an unknown whole", 100_000, "Content-Range: bytes 300000-399999/*\r\nETag: \"v1\"\r\n"),
    ] {
        let served = Arc::clone(&file);
        let script = Script::start(move |_, peer| {
            while let Some(request) = peer.request() {
                let whole = served.len();
                if start_of(&request).is_some() {
                    let head =
                        format!("HTTP/1.1 206 Partial Content\r\n{lie}Content-Length: {length}\r\n\r\n");
                    peer.send([head.as_bytes(), &b"x".repeat(length)].concat());
                    continue;
                }
                let head = format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {whole}\r\n\r\n");
                return peer.send([head.as_bytes(), &served[..300_000]].concat());
            }
        });
        let row = fetch_one(&engine(quick_retries(2)), &script.url("/"));
        assert_eq!((row.ok, row.code), (false, Some(Code::TruncatedDisconnect)), "{name}: {}", row.detail);
        assert_eq!(script.requests(), 4, "{name}: a range is asked for once");
    }
}

#[test]
fn test_h35_a_part_that_is_longer_than_it_says_is_never_believed() {
    let file = Arc::new(content(400_000));
    for (last, chunked, on_disk) in
        [(399_999, true, false), (399_999, false, false), (349_999, true, false), (399_999, true, true)]
    {
        let served = Arc::clone(&file);
        let script = Script::start(move |number, peer| {
            let Some(request) = peer.request() else { return };
            let whole = served.len();
            if start_of(&request).is_none() {
                let head = format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {whole}\r\n\r\n");
                return peer
                    .send([head.as_bytes(), &served[..if number == 0 { 300_000 } else { whole }]].concat());
            }
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 300000-{last}/{whole}\r\n"
            );
            let body = [&served[300_000..], b"and more of it"].concat();
            peer.send(if chunked {
                let size = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
                [head.as_bytes(), size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
            } else {
                [head.as_bytes(), b"Connection: close\r\n\r\n", &body].concat()
            });
        });
        let (url, options) = (script.url("/"), quick_retries(1));
        let row = if on_disk { to_disk(options, &url, "longer") } else { fetch_one(&engine(options), &url) };
        assert!(row.ok && row.body == *file, "{last} {chunked}: {} {}", row.detail, row.body.len());
        assert_eq!(script.requests(), 3, "then it is asked for as a whole");
    }
}

#[test]
fn test_h35_not_modified_is_no_rest() {
    let file = Arc::new(content(400_000));
    let served = Arc::clone(&file);
    let script = Script::start(move |number, peer| {
        while let Some(request) = peer.request() {
            if start_of(&request).is_some() {
                peer.send("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {}\r\n\r\n", served.len());
            let most = if number == 0 { 300_000 } else { served.len() };
            return peer.send([head.as_bytes(), &served[..most]].concat());
        }
    });
    let row = fetch_one(&engine(quick_retries(1)), &script.url("/"));
    assert!(row.ok && row.body == *file, "{:?} {}", row.status, row.detail);
}

#[test]
fn test_h35_a_shorter_part_is_not_the_whole() {
    let file = Arc::new(content(400_000));
    let served = Arc::clone(&file);
    let script = Script::start(move |_, peer| {
        while let Some(request) = peer.request() {
            let whole = served.len();
            let Some(start) = start_of(&request) else {
                let head = format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {whole}\r\n\r\n");
                return peer.send([head.as_bytes(), &served[..100_000]].concat());
            };
            let end = (start + 150_000).min(whole);
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes {start}-{}/{whole}\r\nContent-Length: {}\r\n\r\n",
                end - 1,
                end - start
            );
            peer.send([head.as_bytes(), &served[start..end]].concat());
        }
    });
    let row = fetch_one(&engine(quick_retries(1)), &script.url("/"));
    assert_eq!((row.ok, row.code), (false, Some(Code::TruncatedDisconnect)), "{}", row.detail);
    let row = fetch_one(&engine(quick_retries(2)), &script.url("/"));
    assert!(row.ok && row.body == *file, "{}", row.detail);
}

#[test]
fn test_e12_a_coded_body_that_is_cut_is_decoded_from_where_it_was() {
    use std::io::Write as _;
    let plain: Vec<u8> =
        (0u32..400_000).flat_map(|number| format!("{} ", number.wrapping_mul(99)).into_bytes()).collect();
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(&plain).unwrap();
    let file = Arc::new(coder.finish().unwrap());
    for on_disk in [false, true] {
        let served = Arc::clone(&file);
        let script = Script::start(move |number, peer| {
            let Some(request) = peer.request() else { return };
            let most = if number < 2 { served.len() * 2 / 5 } else { usize::MAX };
            answer(peer, &request, &served, most, "Content-Encoding: gzip\r\n");
        });
        let options = quick_retries(2);
        let row = if on_disk {
            to_disk(options, &script.url("/"), "coded")
        } else {
            fetch_one(&engine(options), &script.url("/"))
        };
        assert!(row.ok && row.body == plain, "{on_disk}: {} {}", row.detail, row.body.len());
        assert_eq!(row.wire_bytes, file.len() as u64);
    }
}

#[test]
fn test_h34_a_body_that_stalls_is_resumed() {
    let file = Arc::new(content(600_000));
    let served = Arc::clone(&file);
    let script = Script::start(move |number, peer| {
        let Some(request) = peer.request() else { return };
        answer(peer, &request, &served, if number == 0 { 400_000 } else { usize::MAX }, "");
        if number == 0 {
            peer.wait_for_end();
        }
    });
    let mut options = quick_retries(1);
    options.timeout.read = Some(Duration::from_millis(200));
    let row = to_disk(options, &script.url("/"), "stalls");
    assert!(row.ok && row.body == *file, "{} {:?}", row.detail, row.earlier);
    assert_eq!(row.earlier[0].code, Some(Code::TimeoutBody));
}

#[test]
fn test_h33_a_body_behind_a_redirect_is_resumed() {
    let file = Arc::new(content(300_000));
    let served = Arc::clone(&file);
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = Arc::clone(&sent);
    let script = Script::start(move |_, peer| {
        while let Some(request) = peer.request() {
            if request.starts_with("GET /from ") {
                assert!(!request.contains("range:"), "only what was cut has a rest");
                peer.send("HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let most = if sending.load(Ordering::SeqCst) < 200_000 { 120_000 } else { usize::MAX };
            let sent = answer(peer, &request, &served, most, "");
            sending.fetch_add(sent, Ordering::SeqCst);
            return;
        }
    });
    let options = Options { max_buffer: 400_000, ..quick_retries(2) };
    let row = fetch_one(&engine(options), &script.url("/from"));
    assert!(row.ok && row.body == *file, "{} {:?}", row.detail, row.earlier);
    assert_eq!((row.hops.len(), row.attempts, sent.load(Ordering::SeqCst)), (1, 3, 300_000));
}

#[test]
fn test_the_bytes_of_a_large_body_count_while_they_come() {
    let file = Arc::new(content(2_000_000));
    let served = Arc::clone(&file);
    let script = Script::start(move |_, peer| {
        let Some(request) = peer.request() else { return };
        answer(peer, &request, &served, 1_500_000, "");
        peer.wait_for_end();
    });
    for on_disk in [false, true] {
        let folder = Folder::new(&format!("counts-{on_disk}"));
        let engine = engine(quick_retries(0));
        let spool = on_disk.then(|| Spool { folder: folder.0.clone(), above: 256 << 10, hashes: false });
        let job = engine.job(JobOptions { spool, ..JobOptions::default() }).unwrap();
        assert!(job.submit(submissions(&[script.url("/")], None)));
        wait_until("most of it counts", || job.progress().coming_bytes > 1_400_000);
        job.cancel();
        wait_until("it counts no more", || job.progress().coming_bytes == 0 && folder.files() == 0);
    }
}
