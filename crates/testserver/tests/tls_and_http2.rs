//! The TLS port, its faults, and HTTP/2 with and without TLS.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use common::{PATIENCE, content, wait_for};
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hurtle_testserver::{Config, Server, TlsFault};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn client_config(server: &Server, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// GETs `/bytes/10` over HTTP/1.1 and TLS, until the session ends properly.
fn get_over_tls(server: &Server, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    read_over_tls(server, config, name, "/bytes/10", &mut reply).map(|()| reply)
}

fn read_over_tls(
    server: &Server,
    config: &Arc<ClientConfig>,
    name: &str,
    target: &str,
    reply: &mut Vec<u8>,
) -> std::io::Result<()> {
    let stream = TcpStream::connect_timeout(&server.tls_addr().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(reply).map(|_| ())
}

#[test]
fn test_tls_serves_its_names_in_both_versions() {
    let server = Server::start(Config::default()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(client_config(&server, &[version]));
        for name in ["localhost", "some.localhost", "host-1.test", "127.0.0.1", "::1"] {
            let reply = get_over_tls(&server, &config, name).unwrap();
            assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}");
            assert!(reply.ends_with(&content(10, 0)), "{name}");
        }
    }
    let stats = server.stats();
    assert_eq!((stats.tls_handshakes, stats.failed_tls), (10, 0));
}

#[test]
fn test_tls_sessions_are_resumed_in_both_versions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = Server::start(Config::default()).unwrap();
        let config = Arc::new(client_config(&server, &[version]));
        for _ in 0..3 {
            get_over_tls(&server, &config, "localhost").unwrap();
        }
        let stats = server.stats();
        assert_eq!((stats.tls_handshakes, stats.resumed_tls), (3, 2), "{version:?}");
    }
}

#[test]
fn test_bad_certificates_are_bad() {
    for (fault, self_signed) in [
        (TlsFault::Expired, false),
        (TlsFault::WrongName, false),
        (TlsFault::SelfSigned, true),
        (TlsFault::UnknownCa, false),
    ] {
        let server = Server::start(Config { tls_fault: Some(fault), ..Config::default() }).unwrap();
        let config = Arc::new(client_config(&server, rustls::ALL_VERSIONS));
        let error = get_over_tls(&server, &config, "localhost").unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap();
        let rustls::Error::InvalidCertificate(error) = error else { unreachable!("{fault:?}: {error:?}") };
        match fault {
            TlsFault::Expired => {
                assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
            }
            TlsFault::WrongName => {
                assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
            }
            _ => assert_eq!(*error, CertificateError::UnknownIssuer, "{fault:?}"),
        }
        wait_for(&server, |stats| stats.failed_tls == 1);
        assert_eq!(issuer_is_subject(&server), self_signed, "{fault:?}");
    }
}

/// Whether the TLS port's certificate names itself as its issuer. Both names hold the CA's or the leaf's CN once.
fn issuer_is_subject(server: &Server) -> bool {
    let leaf = peer_certificate(server);
    let name = b"hurtle test server";
    leaf.windows(name.len()).filter(|window| window == name).count() == 2
}

fn peer_certificate(server: &Server) -> Vec<u8> {
    #[derive(Debug)]
    struct Trusting(rustls::crypto::CryptoProvider);
    impl rustls::client::danger::ServerCertVerifier for Trusting {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let schemes = &self.0.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, signature, schemes)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let schemes = &self.0.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, signature, schemes)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let mut config = client_config(server, rustls::ALL_VERSIONS);
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Trusting(rustls::crypto::aws_lc_rs::default_provider())));
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect_timeout(&server.tls_addr().unwrap(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    session.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn test_handshake_breaks_off_or_stalls_when_asked() {
    let start = |fault| Server::start(Config { tls_fault: Some(fault), ..Config::default() }).unwrap();
    let server = start(TlsFault::Eof);
    let config = Arc::new(client_config(&server, rustls::ALL_VERSIONS));
    let error = get_over_tls(&server, &config, "localhost").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error:?}");

    let server = start(TlsFault::Stall);
    let mut stream = TcpStream::connect_timeout(&server.tls_addr().unwrap(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    stream.write_all(b"\x16\x03\x01").unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error:?}");
    drop(stream);
    wait_for(&server, |stats| stats.open_connections == 0);
}

#[test]
fn test_faults_end_the_connection_without_close_notify() {
    let server = Server::start(Config::default()).unwrap();
    let config = Arc::new(client_config(&server, rustls::ALL_VERSIONS));
    for (target, sent, end) in [
        ("/reset", None, ErrorKind::ConnectionReset),
        ("/reset?after=1000", Some(1000), ErrorKind::ConnectionReset),
        ("/truncate/1000", Some(1000), ErrorKind::UnexpectedEof),
        ("/close", None, ErrorKind::UnexpectedEof),
    ] {
        let mut reply = Vec::new();
        let error = read_over_tls(&server, &config, "localhost", target, &mut reply).unwrap_err();
        assert_eq!(error.kind(), end, "{target}: {error:?}");
        let body = sent.map_or(Vec::new(), |sent| content(sent + 100, 0)[..sent].to_vec());
        assert!(reply.ends_with(&body) && reply.is_empty() == sent.is_none(), "{target}");
    }
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2<S>(stream: S) -> Sender
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let executor = TokioExecutor::new();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut Sender, url: &str) -> Result<(http::response::Parts, Bytes), hyper::Error> {
    let request = Request::get(url).body(Full::default()).unwrap();
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok((head, body.collect().await?.to_bytes()))
}

fn bounded<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 2, future).await }).unwrap()
}

#[test]
fn test_h2c_is_served_on_the_plain_port() {
    let server = Server::start(Config::default()).unwrap();
    bounded(async {
        let mut sender = http2(tokio::net::TcpStream::connect(server.addr()).await.unwrap()).await;
        for n in [1, 100, 3_000_000] {
            let (head, body) = get(&mut sender, &server.url(&format!("/bytes/{n}"))).await.unwrap();
            assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_2));
            assert_eq!(head.headers["content-length"], n.to_string());
            assert!(body == content(n, 0));
        }
        let (_, body) = get(&mut sender, "http://sub.invalid:81/echo").await.unwrap();
        let echo: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&echo["http_version"], &echo["authority"]), (&"HTTP/2".into(), &"sub.invalid:81".into()));
    });
    assert_eq!(server.stats().http2_requests, 4);
    assert_eq!(server.host_stats()[1].host, "sub.invalid");
}

#[test]
fn test_http2_is_agreed_on_by_alpn() {
    let server = Server::start(Config::default()).unwrap();
    let mut config = client_config(&server, rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    bounded(async {
        let stream = tokio::net::TcpStream::connect(server.tls_addr().unwrap()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut sender = http2(stream).await;
        let (head, body) = get(&mut sender, &server.tls_url("/bytes/100").unwrap()).await.unwrap();
        assert_eq!(head.version, Version::HTTP_2);
        assert_eq!(body, content(100, 0));
    });
}

#[test]
fn test_faults_reset_only_the_stream_when_http2() {
    let server = Server::start(Config::default()).unwrap();
    bounded(async {
        let mut sender = http2(tokio::net::TcpStream::connect(server.addr()).await.unwrap()).await;
        for path in ["/reset", "/reset?after=10", "/truncate/10", "/close"] {
            let error = get(&mut sender, &server.url(path)).await.unwrap_err();
            assert!(!error.is_closed() && !error.is_canceled(), "{path}: {error:?}");
            let (head, _) = get(&mut sender, &server.url("/bytes/1")).await.unwrap();
            assert_eq!(head.status, StatusCode::OK, "{path}");
        }
    });
    let stats = wait_for(&server, |stats| stats.in_flight == 0);
    assert_eq!((stats.connections, stats.requests), (1, 8));
}
