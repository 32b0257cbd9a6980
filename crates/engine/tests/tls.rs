//! TLS: trust, failures, and sessions that are resumed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Script, Secure, engine, fetch, fetch_one, one_attempt, wait_until};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Engine, Http2, Options, StartError, Verify};
use hurtle_testserver::{Config, Server, TlsFault};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;

/// A file that is removed when dropped.
struct Bundle(PathBuf);

impl Bundle {
    fn new(pem: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("hurtle-ca-{}-{number}.pem", std::process::id()));
        std::fs::write(&path, pem).unwrap();
        Self(path)
    }

    fn options(&self) -> Options {
        Options { verify: Verify::Bundle(self.0.clone()), threads: 1, ..one_attempt() }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

fn faulty(tls_fault: Option<TlsFault>) -> (Server, Bundle, String) {
    let server = Server::start(Config { tls_fault, ..Config::default() }).unwrap();
    let (bundle, url) = (Bundle::new(server.ca_pem()), server.tls_url("/bytes/100").unwrap());
    (server, bundle, url)
}

#[test]
fn test_a_bundle_is_trusted_and_nothing_else() {
    let (server, bundle, url) = faulty(None);
    for http2 in [Http2::Auto, Http2::Never] {
        let row = fetch_one(&engine(Options { http2, ..bundle.options() }), &url);
        assert_eq!((row.code, row.status, row.body.len()), (None, Some(200), 100), "{}", row.detail);
        assert!(row.timings.tls.is_some());
    }
    let (_, other, _) = faulty(None);
    assert_eq!(fetch_one(&engine(other.options()), &url).code, Some(Code::TlsUnknownCa));
    assert_eq!(fetch_one(&engine(one_attempt()), &url).code, Some(Code::TlsUnknownCa), "the system's roots");
    let nobody = Options { verify: Verify::Nobody, ..one_attempt() };
    assert_eq!(fetch_one(&engine(nobody), &url).code, None);
    assert_eq!(server.stats().failed_tls, 2);
}

/// The fault ends the handshake with this code: nothing is sent, and it is overlooked only if nobody is to be checked.
fn refuses(fault: TlsFault, code: Code) {
    let (server, bundle, url) = faulty(Some(fault));
    let row = fetch_one(&engine(bundle.options()), &url);
    assert_eq!((row.code, row.status, row.attempts), (Some(code), None, 1), "{fault:?}: {}", row.detail);
    assert_eq!(server.stats().requests, 0, "{fault:?}: a request went to whom nobody trusts");
    let nobody = Options { verify: Verify::Nobody, ..one_attempt() };
    let overlooked = if fault == TlsFault::Eof { Some(code) } else { None };
    assert_eq!(fetch_one(&engine(nobody), &url).code, overlooked, "{fault:?}");
}

#[test]
fn test_t1_an_expired_certificate() {
    refuses(TlsFault::Expired, Code::TlsExpired);
}

#[test]
fn test_t2_a_certificate_for_another_name() {
    refuses(TlsFault::WrongName, Code::TlsName);
}

#[test]
fn test_t3_a_self_signed_certificate() {
    refuses(TlsFault::SelfSigned, Code::TlsSelfSigned);
}

#[test]
fn test_t4_a_certificate_of_an_unknown_authority() {
    refuses(TlsFault::UnknownCa, Code::TlsUnknownCa);
}

#[test]
fn test_t5_no_common_version_or_cipher() {
    // The alerts "handshake failure" and "protocol version". Source: RFC 8446, section 6.2.
    for alert in [40, 70] {
        let script = Script::start(move |_, peer| {
            peer.send([21, 3, 3, 0, 2, 2, alert]);
            peer.wait_for_end();
        });
        let options = Options { verify: Verify::Nobody, ..one_attempt() };
        let row = fetch_one(&engine(options), &script.tls_url("/"));
        assert_eq!((row.code, row.status), (Some(Code::TlsHandshake), None), "{}", row.detail);
    }
}

#[test]
fn test_t6_a_handshake_that_ends_early() {
    refuses(TlsFault::Eof, Code::TlsEof);
}

#[test]
fn test_t7_a_plain_port_is_no_tls() {
    let (server, bundle, _) = faulty(None);
    let url = server.url("/").replace("http:", "https:");
    assert_eq!(fetch_one(&engine(bundle.options()), &url).code, Some(Code::TlsNotTls));
}

/// A certificate for this host, and the settings of a server that has it.
fn served(params: &CertificateParams, issuer: Option<&CertifiedIssuer<'static, KeyPair>>) -> Served {
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    Served { pem: certificate.pem(), config: Arc::new(config) }
}

struct Served {
    pem: String,
    config: Arc<ServerConfig>,
}

impl Served {
    /// What a client that trusts these certificates gets.
    fn code(&self, trusted: &str) -> Option<Code> {
        let config = Arc::clone(&self.config);
        let script = Script::start(move |_, peer| peer.answer_in_tls(&config, PAGE));
        let (bundle, url) = (Bundle::new(trusted), script.tls_url("/"));
        let row = fetch_one(&engine(bundle.options()), &url);
        assert_eq!((row.ok, script.requests()), (row.code.is_none(), usize::from(row.ok)), "{}", row.detail);
        row.code
    }
}

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";

/// Who it is for: the address at which the tests listen.
fn for_host(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn test_t9_a_server_that_demands_a_client_certificate() {
    let issuer = authority();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = KeyPair::generate().unwrap();
    let certificate = for_host("127.0.0.1").signed_by(&key, &issuer).unwrap();
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_client_cert_verifier(clients.build().unwrap());
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let script = Script::start(move |_, peer| {
        peer.answer_in_tls(&config, PAGE);
        peer.wait_for_end();
    });
    let bundle = Bundle::new(&issuer.pem());
    let row = fetch_one(&engine(bundle.options()), &script.tls_url("/"));
    assert_eq!((row.code, row.status), (Some(Code::TlsClientCert), None), "{}", row.detail);
}

#[test]
fn test_t11_the_servers_own_certificate_is_trusted_whoever_issued_it() {
    let plain = for_host("127.0.0.1");
    let mut as_openssl_makes_it = plain.clone();
    as_openssl_makes_it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let unknown = authority();
    for (params, issuer) in [(&plain, None), (&as_openssl_makes_it, None), (&plain, Some(&unknown))] {
        let server = served(params, issuer);
        assert_eq!(server.code(&server.pem), None);
        let among_others = format!("{}{}{}", authority().pem(), server.pem, authority().pem());
        assert_eq!(server.code(&among_others), None);
        // One with the same name and another key is another one.
        assert_ne!(server.code(&served(params, issuer).pem), None);
    }
}

#[test]
fn test_t11_name_dates_and_purpose_of_a_trusted_certificate_are_checked() {
    let mut expired = for_host("127.0.0.1");
    expired.not_before = date_time_ymd(2000, 1, 1);
    expired.not_after = date_time_ymd(2001, 1, 1);
    let mut early = for_host("127.0.0.1");
    early.not_before = date_time_ymd(2999, 1, 1);
    early.not_after = date_time_ymd(3000, 1, 1);
    let mut for_clients = for_host("127.0.0.1");
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (mut params, code) in [
        (for_host("127.0.0.2"), Code::TlsName),
        (for_host("localhost"), Code::TlsName),
        (expired, Code::TlsExpired),
        (early, Code::TlsExpired),
        (for_clients, Code::TlsCertificate),
    ] {
        for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            params.is_ca = is_ca;
            let server = served(&params, None);
            assert_eq!(server.code(&server.pem), Some(code));
        }
    }
}

#[test]
fn test_plain_http_to_a_tls_port_is_a_failure() {
    let (_server, bundle, url) = faulty(None);
    let row = fetch_one(&engine(bundle.options()), &url.replace("https:", "http:"));
    assert!(row.code.is_some() && row.status.is_none(), "{row:?}");
}

#[test]
fn test_sessions_are_resumed() {
    let (server, bundle, url) = faulty(None);
    let engine = engine(Options { http2: Http2::Never, concurrency: Fixed(1), ..bundle.options() });
    for round in 0..5 {
        // A request that ends its connection: the next has to shake hands again.
        assert_eq!(fetch_one(&engine, &url).code, None);
        fetch_one(&engine, &server.tls_url("/truncate/1").unwrap());
        wait_until("the connection is closed", || server.stats().open_connections == 0);
        assert_eq!(server.stats().tls_handshakes, round + 1);
    }
    assert_eq!(server.stats().resumed_tls, 4, "{:?}", server.stats());
}

#[test]
fn test_a_kept_connection_shakes_hands_once() {
    let (server, bundle, url) = faulty(None);
    let options = Options { http2: Http2::Never, concurrency_per_host: Fixed(5), ..bundle.options() };
    let rows = fetch(&engine(options), &vec![url; 500]);
    rows.assert_complete(500);
    assert!(rows.0.iter().all(|row| row.ok));
    assert!(server.stats().tls_handshakes <= 5, "{:?}", server.stats());
    assert!(rows.0.iter().filter(|row| row.timings.tls.is_some()).count() <= 5);
}

#[test]
fn test_a_bundle_that_cannot_be_used_stops_the_start() {
    let empty = Bundle::new("no certificate");
    for path in [empty.0.clone(), PathBuf::from("/nonexistent/ca.pem")] {
        let started = Engine::start(Options { verify: Verify::Bundle(path), ..Options::default() });
        assert!(matches!(started, Err(StartError::Config(error)) if error.option == "verify"));
    }
}

#[test]
fn test_t10_the_end_of_tls_without_notice_ends_only_what_has_its_own_end() {
    for (answer, says_so, code) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false, None),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, None),
        ("HTTP/1.1 200 OK\r\n\r\nhello", true, None),
        ("HTTP/1.1 200 OK\r\n\r\nhello", false, Some(Code::TruncatedTlsClose)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello", false, Some(Code::TruncatedTlsClose)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", false, Some(Code::TruncatedTlsClose)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", true, Some(Code::TruncatedDisconnect)),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            true,
            Some(Code::TruncatedDisconnect),
        ),
    ] {
        let server = Secure::answer_and_close(answer, says_so);
        let options = Options { verify: Verify::Nobody, threads: 1, ..one_attempt() };
        let row = fetch_one(&engine(options), &server.url("/"));
        assert_eq!((row.code, row.ok), (code, code.is_none()), "{answer:?} {says_so}: {}", row.detail);
        assert_eq!(row.text() == "hello", code.is_none());
    }
}
