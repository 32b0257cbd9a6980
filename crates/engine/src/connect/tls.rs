//! TLS: one configuration and one session cache for a whole engine.
//!
//! A full handshake costs as much as fifty requests on a kept-alive connection, so sessions are cached for thousands
//! of hosts. The system's roots are read at the first handshake: a run without https never pays for them.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
    SupportedCipherSuite,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::signatures;
use super::verifier::{AcceptAll, Verifier, is_self_signed_error};
use crate::error::{Code, ConfigError, Failure};
use crate::options::{Http2, Verify};

/// Sessions to cache. rustls keeps up to 8 for a host, so this is enough for 2,048 hosts, at some kilobytes each.
const SESSIONS: usize = 16 << 10;

/// The most characters of an explanation: a certificate may list thousands of names.
const MAX_DETAIL: usize = 200;

/// The trusted certificates and the protocols to offer, for every connection of an engine.
pub(crate) struct TlsContext {
    trust: Trust,
    protocols: Vec<Vec<u8>>,
    connector: OnceLock<Result<TlsConnector, Failure>>,
}

enum Trust {
    System,
    Bundle(Trusted),
    All,
}

/// The certificates to trust: as issuers, and as they are.
#[derive(Clone)]
struct Trusted {
    roots: Arc<RootCertStore>,
    certificates: HashSet<CertificateDer<'static>>,
}

impl Trusted {
    /// Those of `certificates` that can be read.
    fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        Self { roots: Arc::new(roots), certificates: certificates.into_iter().collect() }
    }
}

impl TlsContext {
    /// Reads a bundle of certificates if one is named. The system's roots are not read yet.
    ///
    /// # Errors
    /// Names the option `verify`: the file cannot be read, or contains no usable certificate.
    pub(crate) fn new(verify: &Verify, http2: Http2) -> Result<Self, ConfigError> {
        let trust = match verify {
            Verify::System => Trust::System,
            Verify::Nobody => Trust::All,
            Verify::Bundle(path) => Trust::Bundle(read_bundle(path).map_err(|reason| ConfigError {
                option: "verify",
                reason: format!("{}: {reason}", path.display()),
            })?),
        };
        let protocols = match http2 {
            Http2::Auto => vec![H2.to_vec(), HTTP1.to_vec()],
            Http2::Always => vec![H2.to_vec()],
            Http2::Never => vec![HTTP1.to_vec()],
        };
        Ok(Self { trust, protocols, connector: OnceLock::new() })
    }

    /// Makes `stream` a TLS connection to `host`: a name or an address, without brackets. The first call reads
    /// the system's roots, which blocks for some milliseconds. The caller limits the time. `http1_only`: HTTP/2 is not
    /// offered.
    ///
    /// # Errors
    /// `tls.*`; never `connect.reset`: if the connection ends during the handshake, that is `tls.eof`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
        http1_only: bool,
    ) -> Result<TlsStream<S>, Failure> {
        let (connector, name) = (self.connector()?, server_name(host)?);
        let connected = if http1_only {
            connector.with_alpn(vec![HTTP1.to_vec()]).connect(name, stream).await
        } else {
            connector.connect(name, stream).await
        };
        connected.map_err(|error| classify(&error))
    }

    fn connector(&self) -> Result<&TlsConnector, Failure> {
        self.connector.get_or_init(|| self.build()).as_ref().map_err(Clone::clone)
    }

    fn build(&self) -> Result<TlsConnector, Failure> {
        let provider = Arc::new(provider());
        let verifier = self.verifier(&provider)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.protocols);
        config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS)));
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
        let Trusted { roots, certificates } = match &self.trust {
            Trust::All => return Ok(Arc::new(AcceptAll::new(provider))),
            Trust::Bundle(trusted) => trusted.clone(),
            Trust::System => system_roots(),
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Arc::new(Verifier::new(verifier, certificates)))
    }
}

/// The algorithms of AWS-LC, AES-128 first, as browsers ask for it: the handshake hashes by SHA-256, for which processors
/// have instructions, and not by SHA-384.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.signature_verification_algorithms = signatures::remembering(&provider);
    let is_aes128 =
        |suite: &SupportedCipherSuite| suite.suite().as_str().is_some_and(|name| name.contains("AES_128"));
    provider.cipher_suites.sort_by_key(|suite| !is_aes128(suite));
    provider
}

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Whether the peer chose HTTP/2.
pub(crate) fn negotiated_h2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

/// Classifies an error of a TLS stream: in the handshake, or while reading later (with TLS 1.3 a server rejects a
/// missing client certificate only then).
pub(crate) fn classify(error: &io::Error) -> Failure {
    if let Some(cause) = cause(error) {
        return explain(cause);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => {
            Failure::new(Code::TimeoutTls, "the operating system gave up on the connection")
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => {
            Failure::new(Code::TlsEof, "the peer closed the connection during the TLS handshake")
        }
        _ => Failure::new(Code::TlsHandshake, error.to_string()),
    }
}

/// The TLS error inside an I/O error, if that is what it is.
pub(crate) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn explain(error: &Error) -> Failure {
    use AlertDescription as Alert;
    let code = match error {
        Error::InvalidCertificate(error) => certificate_code(error),
        Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => Code::TlsCertificate,
        // Not a TLS record at all: most often an HTTP response from a plain port.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => Code::TlsNotTls,
        // A server sends these about the client's certificate, and this client has none.
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateUnobtainable
            | Alert::UnknownCA,
        ) => Code::TlsClientCert,
        _ => Code::TlsHandshake,
    };
    Failure::new(code, detail(code, error))
}

/// What is wrong, for people, and what to do where there is something to do.
fn detail(code: Code, error: &Error) -> String {
    match code {
        Code::TlsNotTls => {
            "the peer answered with something else than TLS: is it an http:// port?".to_owned()
        }
        Code::TlsSelfSigned => {
            "the certificate is self-signed and not trusted: to trust it, name a file with it in verify"
                .to_owned()
        }
        Code::TlsUnknownCa => {
            "the certificate's issuer is not trusted: to trust it, name a file with its certificate in verify"
                .to_owned()
        }
        _ => shorten(error.to_string()),
    }
}

fn certificate_code(error: &CertificateError) -> Code {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Code::TlsExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Code::TlsName,
        // A bad signature is an issuer of the right name with another key, such as a test authority that was created
        // again.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Code::TlsUnknownCa,
        error if is_self_signed_error(error) => Code::TlsSelfSigned,
        _ => Code::TlsCertificate,
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, Failure> {
    // A trailing dot makes a name absolute for the DNS and is not part of the name in a certificate (RFC 6066 §3).
    let name = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(name)
        .map(|name| name.to_owned())
        .map_err(|_| Failure::new(Code::TlsName, "the host name cannot appear in a certificate"))
}

fn read_bundle(path: &std::path::Path) -> Result<Trusted, String> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| format!("cannot be read as PEM certificates: {error}"))?;
    let trusted = Trusted::new(certificates);
    if trusted.roots.is_empty() {
        return Err("contains no usable certificate in PEM form".to_owned());
    }
    Ok(trusted)
}

/// The system's roots; Mozilla's list where the system has none.
fn system_roots() -> Trusted {
    let mut trusted = Trusted::new(rustls_native_certs::load_native_certs().certs);
    if trusted.roots.is_empty() {
        let mozilla = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        trusted.roots = Arc::new(mozilla);
    }
    trusted
}

fn unusable(error: &impl ToString) -> Failure {
    Failure::new(Code::TlsHandshake, error.to_string())
}

fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_DETAIL) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use rustls::server::WebPkiClientVerifier;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{HandshakeKind, ServerConfig};
    use rustls_pki_types::PrivateKeyDer;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::PathBuf;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;

    const NAME: &str = "server.example";

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn for_name(name: &str) -> CertificateParams {
        CertificateParams::new(vec![name.to_owned()]).unwrap()
    }

    fn signed(params: &CertificateParams, issuer: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        serve(certificate.der().clone(), &key)
    }

    fn self_signed(params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        serve(certificate.der().clone(), &key)
    }

    fn serve(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        builder.with_single_cert(vec![certificate], key).unwrap()
    }

    /// A context that trusts this authority alone.
    fn trusting(issuer: &CertifiedIssuer<'static, KeyPair>, http2: Http2) -> TlsContext {
        let mut context = TlsContext::new(&Verify::Nobody, http2).unwrap();
        context.trust = Trust::Bundle(Trusted::new(vec![issuer.der().clone()]));
        context
    }

    /// Accepts connections forever, and sends one byte on each.
    async fn tls_server(config: ServerConfig) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"!").await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        (address, server)
    }

    /// Accepts one connection and answers the first bytes with these, or closes at once, by RST if asked.
    async fn raw_server(answer: &'static [u8], reset: bool) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await.unwrap();
            let _ = stream.write_all(answer).await;
            if reset {
                stream.set_zero_linger().unwrap();
            }
        });
        address
    }

    async fn connect(context: &TlsContext, address: SocketAddr) -> Result<TlsStream<TcpStream>, Failure> {
        context.handshake(NAME, TcpStream::connect(address).await.unwrap(), false).await
    }

    async fn refusal(context: &TlsContext, config: ServerConfig) -> Code {
        let (address, server) = tls_server(config).await;
        let code = connect(context, address).await.unwrap_err().code;
        server.abort();
        code
    }

    #[tokio::test]
    async fn t1_to_t4_what_is_wrong_with_a_certificate() {
        let (known, unknown) = (authority("known"), authority("unknown"));
        let context = trusting(&known, Http2::Auto);
        let mut expired = for_name(NAME);
        expired.not_before = date_time_ymd(2000, 1, 1);
        expired.not_after = date_time_ymd(2001, 1, 1);
        assert_eq!(refusal(&context, signed(&expired, &known)).await, Code::TlsExpired);
        let mut early = for_name(NAME);
        early.not_before = date_time_ymd(2999, 1, 1);
        assert_eq!(refusal(&context, signed(&early, &known)).await, Code::TlsExpired);
        assert_eq!(refusal(&context, signed(&for_name("other.example"), &known)).await, Code::TlsName);
        assert_eq!(refusal(&context, self_signed(&for_name(NAME))).await, Code::TlsSelfSigned);
        let mut as_openssl_makes_it = for_name(NAME);
        as_openssl_makes_it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert_eq!(refusal(&context, self_signed(&as_openssl_makes_it)).await, Code::TlsSelfSigned);
        assert_eq!(refusal(&context, signed(&for_name(NAME), &unknown)).await, Code::TlsUnknownCa);
        let created_again = authority("known");
        assert_eq!(refusal(&context, signed(&for_name(NAME), &created_again)).await, Code::TlsUnknownCa);
    }

    #[tokio::test]
    async fn a_chain_that_was_verified_proves_nothing_without_its_key() {
        let ca = authority("CA");
        let context = trusting(&ca, Http2::Never);
        let (right, wrong) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = for_name(NAME).signed_by(&right, &ca).unwrap().der().clone();
        for (key, is_right) in [(&right, true), (&right, true), (&wrong, false), (&right, true)] {
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
            let mut config = serve(certificate.clone(), &right);
            config.cert_resolver =
                Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate.clone()], key)));
            config.send_tls13_tickets = 0;
            let (address, server) = tls_server(config).await;
            let connected = connect(&context, address).await;
            assert_eq!(connected.is_ok(), is_right);
            if let Ok(stream) = connected {
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            }
            server.abort();
        }
    }

    #[tokio::test]
    async fn a_chain_that_is_known_is_good_for_its_name_and_roots_only() {
        let (ca, other) = (authority("CA"), authority("another CA"));
        let contexts = [&ca, &other].map(|ca| trusting(ca, Http2::Never));
        let key = KeyPair::generate().unwrap();
        let serve_as = |name| serve(for_name(name).signed_by(&key, &ca).unwrap().der().clone(), &key);
        let right = serve_as(NAME);
        for (context, config, expected) in [
            (&contexts[0], &right, None),
            (&contexts[0], &right, None),
            (&contexts[1], &right, Some(Code::TlsUnknownCa)),
            (&contexts[0], &serve_as("other.example"), Some(Code::TlsName)),
        ] {
            let (address, server) = tls_server(config.clone()).await;
            let refused = connect(context, address).await.err().map(|failure| failure.code);
            assert_eq!(refused, expected);
            server.abort();
        }
    }

    #[tokio::test]
    async fn nobody_is_checked_when_asked() {
        let (address, server) = tls_server(self_signed(&for_name("other.example"))).await;
        let context = TlsContext::new(&Verify::Nobody, Http2::Auto).unwrap();
        assert!(connect(&context, address).await.is_ok());
        server.abort();
    }

    #[tokio::test]
    async fn t5_t6_t7_peers_that_break_the_handshake() {
        let context = TlsContext::new(&Verify::System, Http2::Auto).unwrap();
        for (answer, reset, code) in [
            // The alert "handshake failure".
            (&b"\x15\x03\x03\x00\x02\x02\x28"[..], false, Code::TlsHandshake),
            (b"", false, Code::TlsEof),
            (b"", true, Code::TlsEof),
            (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", false, Code::TlsNotTls),
            (b"SSH-2.0-x\r\n", false, Code::TlsNotTls),
        ] {
            let address = raw_server(answer, reset).await;
            assert_eq!(connect(&context, address).await.unwrap_err().code, code, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn t9_a_server_that_wants_a_client_certificate() {
        let issuer = authority("known");
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = for_name(NAME).signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let (address, server) = tls_server(config).await;
        // TLS 1.3: the handshake ends for the client before the server has checked its certificate.
        let mut stream = connect(&trusting(&issuer, Http2::Auto), address).await.unwrap();
        let error = stream.read(&mut [0; 1]).await.unwrap_err();
        assert!(cause(&error).is_some());
        assert_eq!(classify(&error).code, Code::TlsClientCert);
        server.abort();
    }

    #[tokio::test]
    async fn the_protocol_is_the_one_that_was_asked_for() {
        let issuer = authority("known");
        let mut config = signed(&for_name(NAME), &issuer);
        config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        let (address, server) = tls_server(config).await;
        for (http2, is_h2) in [(Http2::Auto, true), (Http2::Always, true), (Http2::Never, false)] {
            let stream = connect(&trusting(&issuer, http2), address).await.unwrap();
            assert_eq!(negotiated_h2(&stream), is_h2, "{http2:?}");
        }
        server.abort();
    }

    #[tokio::test]
    async fn a_second_connection_resumes_the_session() {
        let issuer = authority("known");
        let (address, server) = tls_server(signed(&for_name(NAME), &issuer)).await;
        let context = trusting(&issuer, Http2::Auto);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = connect(&context, address).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
            // The tickets come with the first bytes.
            assert_eq!(stream.read_u8().await.unwrap(), b'!');
        }
        server.abort();
    }

    /// A file that is removed when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, content: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hurtle-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[tokio::test]
    async fn a_bundle_is_all_that_is_trusted() {
        let issuer = authority("known");
        let file = Scratch::new("bundle.pem", &issuer.pem());
        let context = TlsContext::new(&Verify::Bundle(file.0.clone()), Http2::Auto).unwrap();
        let (address, server) = tls_server(signed(&for_name(NAME), &issuer)).await;
        assert!(connect(&context, address).await.is_ok());
        server.abort();
        assert_eq!(refusal(&context, signed(&for_name(NAME), &authority("other"))).await, Code::TlsUnknownCa);
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_an_error_at_once() {
        let empty = Scratch::new("empty.pem", "");
        let broken =
            Scratch::new("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for path in [empty.0.clone(), broken.0.clone(), PathBuf::from("/nowhere/at/all.pem")] {
            let error = TlsContext::new(&Verify::Bundle(path.clone()), Http2::Auto).err().unwrap();
            assert_eq!(error.option, "verify");
            assert!(error.reason.contains(&*path.to_string_lossy()), "{}", error.reason);
        }
    }

    #[test]
    fn hosts_become_the_names_that_certificates_hold() {
        for (host, name) in
            [("a.example.", "a.example"), ("192.0.2.1", "192.0.2.1"), ("::1", "::1"), ("a_b.c", "a_b.c")]
        {
            assert_eq!(server_name(host).unwrap().to_str(), name);
        }
        assert_eq!(server_name("a..b").unwrap_err().code, Code::TlsName);
    }

    #[test]
    fn explanations_are_short() {
        let names: Vec<_> = (0..1_000).map(|number| format!("DnsName({number})")).collect();
        let expected = server_name(NAME).unwrap();
        let error = CertificateError::NotValidForNameContext { expected, presented: names };
        let failure = explain(&Error::InvalidCertificate(error));
        assert_eq!(failure.code, Code::TlsName);
        assert_eq!(failure.detail.chars().count(), MAX_DETAIL + 1);
    }
}
