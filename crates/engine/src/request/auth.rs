//! Renders credentials as the value of an Authorization header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// HTTP Basic. None if the user's name contains a colon. Source: RFC 7617.
pub fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    if user.contains(':') {
        return None;
    }
    let mut value =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_base64_of_user_and_password() {
        // Source: RFC 7617, section 2.
        let value = basic("Aladdin", "open sesame");
        assert_eq!(value, Some(HeaderValue::from_static("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
        assert!(value.is_some_and(|value| value.is_sensitive()));
        assert_eq!(basic("a:b", "c"), None);
    }
}
