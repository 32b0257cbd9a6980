//! Signatures that were verified once. That a key made a signature over these bytes is a fact that stays true: where the
//! same intermediate certificate comes again, for this host or another, its signature is looked up and not calculated
//! again. All else about a chain is checked each time: names, periods, constraints, purposes.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// Each of the two generations holds so many, at some 60 bytes each.
const MOST: usize = 4 << 10;

/// What was verified: algorithm, key, message and signature.
type Fact = [u8; 32];

/// The process's memory, for all engines.
static VERIFIED: LazyLock<Mutex<Generations>> = LazyLock::new(Mutex::default);

/// The facts that were needed last. What is asked for again lives on; the rest goes when enough others have come.
#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Fact>,
    old: HashSet<Fact>,
}

impl Generations {
    fn has(&mut self, fact: &Fact) -> bool {
        if self.young.contains(fact) {
            return true;
        }
        let is_old = self.old.contains(fact);
        if is_old {
            self.add(*fact);
        }
        is_old
    }

    fn add(&mut self, fact: Fact) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fact);
    }
}

/// An algorithm that remembers what it has verified.
#[derive(Debug)]
struct Remembering(&'static dyn SignatureVerificationAlgorithm);

impl Remembering {
    fn fact(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Fact {
        let (of_key, of_signature) = (self.0.public_key_alg_id(), self.0.signature_alg_id());
        let mut digest = Context::new(&SHA256);
        for part in [of_key.as_ref(), of_signature.as_ref(), public_key, message, signature] {
            // With its length: so no two different lists are the same bytes.
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut fact = [0; 32];
        fact.copy_from_slice(digest.finish().as_ref());
        fact
    }
}

impl SignatureVerificationAlgorithm for Remembering {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let fact = self.fact(public_key, message, signature);
        if VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).has(&fact) {
            return Ok(());
        }
        self.0.verify_signature(public_key, message, signature)?;
        VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).add(fact);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// The algorithms of `provider`; those for certificates remember what they have verified. The signatures of handshakes are
/// all different: nothing is kept of them.
pub(super) fn remembering(provider: &CryptoProvider) -> WebPkiSupportedAlgorithms {
    // Made once: rustls wants them for as long as the process lives.
    static OF_CERTIFICATES: OnceLock<Algorithms> = OnceLock::new();
    let algorithms = provider.signature_verification_algorithms;
    let all = OF_CERTIFICATES.get_or_init(|| {
        let each = algorithms.all.iter().map(|&algorithm| leaked(Remembering(algorithm)));
        each.collect::<Vec<_>>().leak()
    });
    WebPkiSupportedAlgorithms { all, ..algorithms }
}

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

fn leaked(algorithm: Remembering) -> &'static dyn SignatureVerificationAlgorithm {
    Box::leak(Box::new(algorithm))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustls_pki_types::alg_id::{ECDSA_P256, ECDSA_SHA256, ECDSA_SHA384};

    use super::*;

    /// Accepts the signature `right` and counts how often it is asked.
    #[derive(Debug)]
    struct Counting(AtomicU32, AlgorithmIdentifier);

    impl SignatureVerificationAlgorithm for Counting {
        fn verify_signature(
            &self,
            _key: &[u8],
            _message: &[u8],
            signature: &[u8],
        ) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if signature == b"right" { Ok(()) } else { Err(InvalidSignature) }
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            ECDSA_P256
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            self.1
        }
    }

    fn counting(id: AlgorithmIdentifier) -> (&'static Counting, Remembering) {
        let counting: &Counting = Box::leak(Box::new(Counting(AtomicU32::new(0), id)));
        (counting, Remembering(counting))
    }

    #[test]
    fn a_right_signature_is_calculated_once_and_a_wrong_one_each_time() {
        let (counting, remembering) = counting(ECDSA_SHA256);
        let asked = |key: &[u8], message: &[u8], signature: &[u8]| {
            let is_right = remembering.verify_signature(key, message, signature).is_ok();
            (is_right, counting.0.swap(0, Ordering::Relaxed))
        };
        assert_eq!(asked(b"key", b"once", b"right"), (true, 1));
        assert_eq!(asked(b"key", b"once", b"right"), (true, 0));
        for _ in 0..2 {
            assert_eq!(asked(b"key", b"once", b"wrong"), (false, 1));
        }
        assert_eq!(asked(b"other", b"once", b"right"), (true, 1));
        assert_eq!(asked(b"key", b"other", b"right"), (true, 1));
        assert_eq!(asked(b"keyo", b"nce", b"right"), (true, 1));
    }

    #[test]
    fn what_one_algorithm_verified_proves_nothing_for_another() {
        let ((_, first), (counting, second)) = (counting(ECDSA_SHA256), counting(ECDSA_SHA384));
        first.verify_signature(b"key", b"two", b"right").unwrap();
        second.verify_signature(b"key", b"two", b"right").unwrap();
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_again_stays() {
        let mut known = Generations::default();
        let fact = |number: usize| {
            let mut fact = [0; 32];
            fact[..8].copy_from_slice(&number.to_le_bytes());
            fact
        };
        known.add(fact(0));
        for number in 1..10 * MOST {
            known.add(fact(number));
            assert!(known.has(&fact(0)), "{number}");
            assert!(known.young.len() <= MOST && known.old.len() <= MOST);
        }
        assert!(!known.has(&fact(1)));
    }
}
