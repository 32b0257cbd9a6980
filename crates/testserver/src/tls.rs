//! Throw-away certificates, created for each server, and the TLS port's settings.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::{StartError, TlsFault};

/// How many names get a certificate of their own.
const MAX_NAMES: usize = 10_000;

/// The TLS port's identity.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The CA to trust, in PEM.
    pub(crate) ca_pem: String,
    /// Certificates, versions, ALPN and resumption, shared by all threads.
    pub(crate) config: Arc<ServerConfig>,
}

impl Identity {
    /// Creates a CA and the certificates it signs, valid or with the given fault.
    pub(crate) fn new(host: IpAddr, fault: Option<TlsFault>) -> Result<Self, StartError> {
        let ca = authority("hurtle test CA")?;
        let ca_pem = ca.pem();
        let leaves = Leaves::new(ca, host, fault).map_err(broken)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(broken)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(leaves));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets for clients that take them; the cache is for TLS 1.2 session ids.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(broken)?;
        config.session_storage = ServerSessionMemoryCache::new(4096);
        Ok(Self { ca_pem, config: Arc::new(config) })
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Authority = CertifiedIssuer<'static, KeyPair>;

/// Chooses the certificate for a client.
///
/// The first one covers `localhost` and the addresses, and clients that name no host. Names below `localhost` and
/// `test` get their own on first use: verifiers do not accept a wildcard below a single label. Source: RFC 6761
/// reserves both; CA/Browser Forum Baseline Requirements 3.2.2.6 on wildcards.
#[derive(Debug)]
struct Leaves {
    ca: Authority,
    key: KeyPair,
    signer: Arc<dyn SigningKey>,
    first: Arc<CertifiedKey>,
    /// Only a server without a fault creates more than the first.
    extends: bool,
    named: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Leaves {
    fn new(ca: Authority, host: IpAddr, fault: Option<TlsFault>) -> Result<Self, BoxError> {
        let key = KeyPair::generate()?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = aws_lc_rs::sign::any_supported_type(&der)?;
        let params = first_params(host, fault)?;
        let leaf = match fault {
            Some(TlsFault::SelfSigned) => params.self_signed(&key)?,
            Some(TlsFault::UnknownCa) => params.signed_by(&key, &*authority("hurtle unknown CA")?)?,
            _ => params.signed_by(&key, &ca)?,
        };
        let first = Arc::new(CertifiedKey::new(vec![leaf.der().clone()], Arc::clone(&signer)));
        Ok(Self { ca, key, signer, first, extends: fault.is_none(), named: Mutex::default() })
    }

    fn named(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = named.get(name) {
            return Some(Arc::clone(leaf));
        }
        if named.len() >= MAX_NAMES {
            return None;
        }
        let leaf = leaf_params(vec![name.to_owned()]).ok()?.signed_by(&self.key, &self.ca).ok()?;
        let leaf = Arc::new(CertifiedKey::new(vec![leaf.der().clone()], Arc::clone(&self.signer)));
        named.insert(name.to_owned(), Arc::clone(&leaf));
        Some(leaf)
    }
}

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default();
        let reserved = matches!(name.rsplit_once('.'), Some((_, "localhost" | "test")));
        let own = if self.extends && reserved { self.named(name) } else { None };
        Some(own.unwrap_or_else(|| Arc::clone(&self.first)))
    }
}

fn authority(name: &str) -> Result<Authority, StartError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(broken)?;
    CertifiedIssuer::self_signed(params, key).map_err(broken)
}

fn first_params(host: IpAddr, fault: Option<TlsFault>) -> Result<CertificateParams, rcgen::Error> {
    if fault == Some(TlsFault::WrongName) {
        return leaf_params(vec!["wrong.invalid".to_owned()]);
    }
    let mut params = leaf_params(vec!["localhost".to_owned()])?;
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if !addresses.contains(&host) {
        addresses.push(host);
    }
    params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
    if fault == Some(TlsFault::Expired) {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    params.use_authority_key_identifier_extension = fault != Some(TlsFault::SelfSigned);
    Ok(params)
}

fn leaf_params(names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "hurtle test server");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn broken(error: impl Into<BoxError>) -> StartError {
    StartError::Certificate(error.into())
}
