//! Which methods may be repeated: the one list, for retries, for the ledger and for Python.

use http::Method;

/// Methods whose request may be sent twice with the effect of once. Source: RFC 9110, section 9.2.2; RFC 10008 (QUERY).
pub const IDEMPOTENT_METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "QUERY"];

/// Whether a request of this method may be repeated though nothing is known of the first.
pub fn is_idempotent(method: &Method) -> bool {
    IDEMPOTENT_METHODS.contains(&method.as_str())
}

/// The methods of [`IDEMPOTENT_METHODS`].
pub(super) fn idempotent_methods() -> Vec<Method> {
    IDEMPOTENT_METHODS.iter().filter_map(|name| Method::from_bytes(name.as_bytes()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_method_and_post_is_none_of_them() {
        assert_eq!(idempotent_methods().len(), IDEMPOTENT_METHODS.len());
        assert!(idempotent_methods().iter().all(is_idempotent));
        assert!(![Method::POST, Method::PATCH, Method::CONNECT].iter().any(is_idempotent));
    }
}
