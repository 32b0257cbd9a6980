//! Chains of certificates that were verified once in full. The same chain, for the same name, is good until a certificate
//! of it expires: a verification by the same roots would come to the same end. The server still proves in each handshake
//! that it has the key.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest::{Context, SHA256};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Chains that are remembered, at some 60 bytes each. When there are more, all are forgotten.
const MOST: usize = 16 << 10;

/// The name and the chain that a server showed for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shown([u8; 32]);

impl Shown {
    pub(super) fn new(
        name: &ServerName<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Self {
        let mut digest = Context::new(&SHA256);
        let name = name.to_str();
        let certificates = [end_entity].into_iter().chain(intermediates).map(AsRef::as_ref);
        for part in [name.as_bytes()].into_iter().chain(certificates) {
            // With its length: so no two different lists are the same bytes.
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut shown = [0; 32];
        shown.copy_from_slice(digest.finish().as_ref());
        Self(shown)
    }
}

/// The seconds since 1970 for which a verification stands, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    from: u64,
    until: u64,
}

/// What an engine has verified.
#[derive(Default)]
pub(super) struct Verified {
    chains: Mutex<HashMap<Shown, Period>>,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({})", self.chains().len())
    }
}

impl Verified {
    /// Whether this was verified, and that stands now.
    pub(super) fn has(&self, shown: Shown, now: UnixTime) -> bool {
        self.chains().get(&shown).is_some_and(|period| (period.from..=period.until).contains(&now.as_secs()))
    }

    /// This was verified now. A chain with a certificate that cannot be read is not remembered.
    pub(super) fn add(
        &self,
        shown: Shown,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) {
        let ends = [end_entity].into_iter().chain(intermediates).map(|certificate| ends(certificate));
        let Some(until) = ends.min().flatten() else { return };
        let mut chains = self.chains();
        if chains.len() >= MOST {
            chains.clear();
        }
        chains.insert(shown, Period { from: now.as_secs(), until });
    }

    fn chains(&self) -> MutexGuard<'_, HashMap<Shown, Period>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last second in which a certificate is valid.
fn ends(certificate: &[u8]) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn until(year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds as u64))
    }

    #[test]
    fn a_verification_stands_until_the_first_certificate_expires() {
        let (leaf, issuer) = (until(2040), until(2030));
        let ends = date_time_ymd(2030, 1, 1).unix_timestamp();
        let name = ServerName::try_from("a.example").unwrap();
        let (verified, shown) =
            (Verified::default(), Shown::new(&name, &leaf, std::slice::from_ref(&issuer)));
        assert!(!verified.has(shown, at(1000)));
        verified.add(shown, &leaf, std::slice::from_ref(&issuer), at(1000));
        let stands = [999, 1000, ends, ends + 1].map(|now| verified.has(shown, at(now)));
        assert_eq!(stands, [false, true, true, false]);
    }

    #[test]
    fn another_name_or_chain_is_not_what_was_verified() {
        let (leaf, issuer) = (until(2040), until(2040));
        let names = ["a.example", "b.example"].map(|name| ServerName::try_from(name).unwrap());
        let [a, b] = &names;
        let shown = [
            Shown::new(a, &leaf, &[]),
            Shown::new(b, &leaf, &[]),
            Shown::new(a, &leaf, std::slice::from_ref(&issuer)),
            Shown::new(a, &issuer, std::slice::from_ref(&leaf)),
        ];
        let verified = Verified::default();
        verified.add(shown[0], &leaf, &[], at(1));
        assert_eq!(shown.map(|shown| verified.has(shown, at(2))), [true, false, false, false]);
    }

    #[test]
    fn what_cannot_be_read_is_not_remembered_and_memory_is_bounded() {
        let name = ServerName::try_from("a.example").unwrap();
        let (leaf, broken) = (until(2040), CertificateDer::from(vec![1, 2, 3]));
        let verified = Verified::default();
        let shown = Shown::new(&name, &leaf, std::slice::from_ref(&broken));
        verified.add(shown, &leaf, &[broken], at(1));
        assert!(!verified.has(shown, at(1)));
        for number in 0..=MOST {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            verified.add(Shown(key), &leaf, &[], at(1));
        }
        assert_eq!(verified.chains().len(), 1);
    }
}
