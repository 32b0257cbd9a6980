//! Whether and how a redirect is followed. Pure: a status and its Location lines in, a decision out.
//!
//! Source: RFC 9110 §15.4, WHATWG Fetch <https://fetch.spec.whatwg.org/#http-redirect-fetch>; the cases are R1
//! to R11 of the fault table.

use std::borrow::Cow;

use http::{HeaderName, Method, StatusCode, header};
use percent_encoding::{AsciiSet, percent_encode};

use crate::error::{Code, Failure};
use crate::outcome::Outcome;
use crate::request::{Request, Target};

/// Of ASCII nothing is encoded: the URL parser does what is needed.
const NOTHING: &AsciiSet = &AsciiSet::EMPTY;

/// What to do with a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// It is the final response: not a redirect, or one without a Location.
    None,
    /// Send the next request there.
    Follow(Follow),
    /// Its Location cannot be followed.
    Fail(Failure),
}

/// The next request of a chain, where it differs from the one before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Follow {
    /// The next URL.
    pub(crate) target: Target,
    /// User and password from the Location; only for the same origin.
    pub(crate) userinfo: Option<(String, String)>,
    /// Whether the method becomes GET; then the body is dropped, and with it every header that
    /// [`describes_body`].
    pub(crate) method_becomes_get: bool,
    /// To whom the next request goes, as seen from the one before: all headers but those of [`keeps_header`] and those
    /// that the caller allows there are dropped.
    pub(crate) audience: Audience,
}

/// To whom a request goes, at worst, of all that its chain of redirects has led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Audience {
    /// The origin that the caller named: same scheme, host and port.
    #[default]
    Asked,
    /// Another origin.
    Other,
    /// Another origin, and everybody on the way to it: a redirect led from https to http.
    Exposed,
}

/// What the caller allows redirects to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HopRules {
    /// The most hops of one request. None: redirects are not followed.
    pub(crate) max: Option<u32>,
    /// Whether they may lead to https only.
    pub(crate) https_only: bool,
    /// Whether the body may go to another origin.
    pub(crate) keeps_body: bool,
}

/// Decides about the response to `request`, which `hops` redirects led to.
pub(crate) fn next_hop(request: &Request, hops: u32, outcome: &Outcome, rules: &HopRules) -> Redirect {
    let (Some(received), Some(max)) = (&outcome.received, rules.max) else { return Redirect::None };
    if !(300..400).contains(&received.status) || outcome.failure.is_some() {
        return Redirect::None;
    }
    let Ok(status) = StatusCode::from_u16(received.status) else { return Redirect::None };
    let locations: Vec<&[u8]> = received.headers.get_all("location").collect();
    match decide(status, &locations, &request.target, request.method(), hops, max) {
        Redirect::Follow(follow) => match refusal(&follow, status, request.has_body(), rules) {
            Some(failure) => Redirect::Fail(failure),
            None => Redirect::Follow(follow),
        },
        other => other,
    }
}

/// Why a redirect that can be followed is not.
///
/// A body is what the caller says to one origin, as headers are: it goes to another only if the caller allows it, though
/// browsers send it there (Fetch, "HTTP-redirect fetch"). Without its body the request would ask for something else,
/// so nothing is sent.
fn refusal(follow: &Follow, status: StatusCode, has_body: bool, rules: &HopRules) -> Option<Failure> {
    if rules.https_only && !follow.target.is_https() {
        return Some(Failure::new(Code::RedirectDowngrade, "https_only: the redirect leads to http"));
    }
    let is_bound = match follow.audience {
        Audience::Asked => false,
        Audience::Other => !rules.keeps_body,
        Audience::Exposed => true,
    };
    if !is_bound || !has_body || follow.method_becomes_get {
        return None;
    }
    let (status, origin) = (status.as_u16(), follow.target.origin());
    let detail = format!("a {status} to another origin, {origin}: the body was not sent there");
    Some(Failure::new(Code::RedirectBody, detail))
}

/// Decides about the response to `method` at `current`, which `hops` redirects led to, of at most `max`.
///
/// `locations` are the values of all Location lines.
pub(crate) fn decide(
    status: StatusCode,
    locations: &[&[u8]],
    current: &Target,
    method: &Method,
    hops: u32,
    max: u32,
) -> Redirect {
    if !is_redirect(status.as_u16()) {
        return Redirect::None;
    }
    let location = match the_one(locations) {
        Ok(Some(location)) => location,
        Ok(None) => return Redirect::None,
        Err(failure) => return Redirect::Fail(failure),
    };
    if hops >= max {
        return Redirect::Fail(Failure::new(Code::RedirectTooMany, format!("more than {max} redirects")));
    }
    match follow(status, &text(location), current, method) {
        Ok(follow) => Redirect::Follow(follow),
        Err(failure) => Redirect::Fail(failure),
    }
}

/// Whether a response only points to another URL, so that its body does not matter: [`decide`] does not return
/// `None`.
pub(crate) fn leads_on<'a>(status: u16, mut locations: impl Iterator<Item = &'a [u8]>) -> bool {
    is_redirect(status) && locations.any(|location| !location.trim_ascii().is_empty())
}

/// Whether a header of the caller may be sent to an origin that the caller did not name.
///
/// An allow-list, because secrets travel under any name (`X-Api-Key`, `PRIVATE-TOKEN`).
pub(crate) fn keeps_header(name: &HeaderName) -> bool {
    const KEPT: [HeaderName; 8] = [
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::ACCEPT_LANGUAGE,
        header::CACHE_CONTROL,
        header::PRAGMA,
        header::RANGE,
        header::UPGRADE_INSECURE_REQUESTS,
        header::USER_AGENT,
    ];
    KEPT.contains(name) || (describes_body(name) && name != header::CONTENT_LOCATION)
}

/// Whether a header describes the request's body, and is dropped together with it.
pub(crate) fn describes_body(name: &HeaderName) -> bool {
    const DESCRIBE: [HeaderName; 6] = [
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_LENGTH,
        header::CONTENT_LOCATION,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
    ];
    DESCRIBE.contains(name)
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The Location to follow; none if it is missing or empty.
fn the_one<'a>(locations: &[&'a [u8]]) -> Result<Option<&'a [u8]>, Failure> {
    let mut given =
        locations.iter().map(|location| location.trim_ascii()).filter(|location| !location.is_empty());
    let first = given.next();
    if given.any(|other| Some(other) != first) {
        return Err(Failure::new(Code::RedirectAmbiguous, "two different Location headers"));
    }
    Ok(first)
}

/// The text of a reference. Bytes that are no UTF-8 are percent-encoded as they are, as browsers do: read as characters
/// of some charset they would name something else.
fn text(location: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(location) {
        Ok(text) => text.into(),
        Err(_) => percent_encode(location, NOTHING).to_string().into(),
    }
}

fn follow(status: StatusCode, location: &str, current: &Target, method: &Method) -> Result<Follow, Failure> {
    let parsed = current.join(location).map_err(|failure| match failure.code {
        Code::InputScheme => Failure::new(Code::RedirectScheme, failure.detail),
        _ => Failure::new(Code::RedirectInvalid, failure.detail),
    })?;
    let method_becomes_get = match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    };
    let audience = if current.is_https() && !parsed.target.is_https() {
        Audience::Exposed
    } else if parsed.target.origin() == current.origin() {
        Audience::Asked
    } else {
        Audience::Other
    };
    Ok(Follow {
        userinfo: parsed.userinfo.filter(|_| audience == Audience::Asked),
        method_becomes_get,
        audience,
        target: parsed.target,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    const BASE: &str = "https://a.example:8443/dir/page?q";

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap().target
    }

    fn decide_get(base: &str, locations: &[&[u8]]) -> Redirect {
        decide(StatusCode::FOUND, locations, &target(base), &Method::GET, 0, 10)
    }

    fn followed(base: &str, location: impl AsRef<[u8]>) -> Follow {
        match decide_get(base, &[location.as_ref()]) {
            Redirect::Follow(follow) => follow,
            other => panic!("{other:?}"),
        }
    }

    fn code(redirect: Redirect) -> Code {
        match redirect {
            Redirect::Fail(failure) => failure.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_five_statuses_redirect() {
        for status in 100..600 {
            let redirect =
                decide(StatusCode::from_u16(status).unwrap(), &[b"/x"], &target(BASE), &Method::GET, 0, 10);
            let follows = matches!(redirect, Redirect::Follow(_));
            assert_eq!(follows, [301, 302, 303, 307, 308].contains(&status), "{status}");
        }
    }

    #[test]
    fn methods_change_as_fetch_says() {
        for (status, method, becomes_get) in [
            (301, Method::POST, true),
            (302, Method::POST, true),
            (303, Method::POST, true),
            (307, Method::POST, false),
            (308, Method::POST, false),
            (301, Method::PUT, false),
            (302, Method::DELETE, false),
            (303, Method::PUT, true),
            (303, Method::HEAD, false),
            (303, Method::GET, false),
            (301, Method::HEAD, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let Redirect::Follow(follow) = decide(status, &[b"/x"], &target(BASE), &method, 0, 10) else {
                panic!("{status} {method}");
            };
            assert_eq!(follow.method_becomes_get, becomes_get, "{status} {method}");
        }
    }

    #[test]
    fn r1_too_many() {
        let at = |hops, max| decide(StatusCode::FOUND, &[b"/x"], &target(BASE), &Method::GET, hops, max);
        assert!(matches!(at(9, 10), Redirect::Follow(_)));
        assert_eq!(code(at(10, 10)), Code::RedirectTooMany);
        assert_eq!(code(at(0, 0)), Code::RedirectTooMany);
    }

    #[test]
    fn r2_an_origin_is_scheme_host_and_port() {
        for (location, cross_origin) in [
            ("/x", false),
            ("https://a.example:8443/", false),
            ("https://A.EXAMPLE:8443/", false),
            ("https://a.example/", true),
            ("https://a.example.:8443/", true),
            ("https://b.example:8443/", true),
            ("http://a.example:8443/", true),
            ("//b.example:8443/", true),
        ] {
            assert_eq!(followed(BASE, location).audience != Audience::Asked, cross_origin, "{location}");
        }
        for (from, to) in
            [("https://a.example/", "https://a.example:443/x"), ("http://a.example:80/", "//A.example/")]
        {
            assert_eq!(followed(from, to).audience, Audience::Asked, "{from}");
        }
    }

    #[test]
    fn r2_only_listed_headers_cross_origins() {
        for (name, kept) in [
            ("accept", true),
            ("user-agent", true),
            ("content-type", true),
            ("authorization", false),
            ("cookie", false),
            ("proxy-authorization", false),
            ("x-api-key", false),
            ("private-token", false),
            ("referer", false),
            ("origin", false),
            ("host", false),
        ] {
            assert_eq!(keeps_header(&HeaderName::from_static(name)), kept, "{name}");
        }
        assert!(describes_body(&header::CONTENT_TYPE) && !describes_body(&header::ACCEPT));
    }

    #[test]
    fn r3_other_schemes() {
        for location in ["file:///etc/passwd", "gopher://a/", "data:text/plain,x", "ftp://a/", "mailto:a@b"] {
            assert_eq!(code(decide_get(BASE, &[location.as_bytes()])), Code::RedirectScheme, "{location}");
        }
    }

    #[test]
    fn r5_references_are_resolved() {
        for (location, url) in [
            (&b"../up"[..], "https://a.example:8443/up"),
            (b"next", "https://a.example:8443/dir/next"),
            (b"//b.example/x", "https://b.example/x"),
            (b"/a b", "https://a.example:8443/a%20b"),
            (b"  /trimmed ", "https://a.example:8443/trimmed"),
            ("/ü".as_bytes(), "https://a.example:8443/%C3%BC"),
            (b"/caf\xe9?\xfc=\xff", "https://a.example:8443/caf%E9?%FC=%FF"),
            ("/ü\u{80}".as_bytes(), "https://a.example:8443/%C3%BC%C2%80"),
            (b"/x#fragment", "https://a.example:8443/x"),
        ] {
            assert_eq!(followed(BASE, location).target.as_str(), url);
        }
    }

    #[test]
    fn r6_a_downgrade_is_marked() {
        for (from, to, audience) in [
            (BASE, "http://a.example/", Audience::Exposed),
            (BASE, "https://b.example/", Audience::Other),
            ("http://a.example/", "http://b.example/", Audience::Other),
            ("http://a.example/", "https://a.example/", Audience::Other),
        ] {
            assert_eq!(followed(from, to).audience, audience, "{from} {to}");
        }
    }

    #[test]
    fn r2_r6_bodies_stay_with_their_origin_and_https_only_means_it() {
        let open = HopRules { max: Some(10), https_only: false, keeps_body: true };
        let bound = HopRules { keeps_body: false, ..open };
        let https = HopRules { https_only: true, ..open };
        for (status, location, has_body, rules, code) in [
            (307, "/x", true, bound, None),
            (308, "https://b.example/", true, bound, Some(Code::RedirectBody)),
            (307, "https://b.example/", false, bound, None),
            (303, "https://b.example/", true, bound, None),
            (307, "https://b.example/", true, open, None),
            (307, "http://a.example:8443/", true, open, Some(Code::RedirectBody)),
            (302, "http://a.example:8443/", true, open, None),
            (302, "http://a.example:8443/", false, https, Some(Code::RedirectDowngrade)),
            (302, "https://b.example/", false, https, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let decided = decide(status, &[location.as_bytes()], &target(BASE), &Method::POST, 0, 10);
            let Redirect::Follow(follow) = decided else { panic!("{decided:?}") };
            let refused = refusal(&follow, status, has_body, &rules).map(|failure| failure.code);
            assert_eq!(refused, code, "{status} {location} {has_body} {rules:?}");
        }
    }

    #[test]
    fn r7_without_location_it_is_the_answer() {
        for locations in [&[][..], &[&b""[..]], &[b"  "]] {
            assert_eq!(decide_get(BASE, locations), Redirect::None);
        }
    }

    #[test]
    fn r8_two_locations() {
        assert_eq!(code(decide_get(BASE, &[b"/a", b"/b"])), Code::RedirectAmbiguous);
        assert!(matches!(decide_get(BASE, &[b"/a", b"/a", b""]), Redirect::Follow(_)));
    }

    #[test]
    fn r9_unparsable() {
        for location in ["https://[/", "http://a:99999/", "https://"] {
            assert_eq!(code(decide_get(BASE, &[location.as_bytes()])), Code::RedirectInvalid, "{location}");
        }
        let long = format!("/{}", "a".repeat(1 << 17));
        assert_eq!(code(decide_get(BASE, &[long.as_bytes()])), Code::RedirectInvalid);
    }

    #[test]
    fn r11_userinfo_stays_in_its_origin() {
        let follow = followed(BASE, "https://u:p@b.example/");
        assert_eq!((follow.userinfo, follow.target.as_str()), (None, "https://b.example/"));
        let follow = followed(BASE, "https://u:p@a.example:8443/");
        assert_eq!(follow.userinfo, Some(("u".to_owned(), "p".to_owned())));
        assert_eq!(follow.target.as_str(), "https://a.example:8443/");
    }
}
