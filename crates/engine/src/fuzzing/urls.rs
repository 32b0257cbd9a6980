//! URLs and redirects: what is sent is normal, complete and shows no credentials.

use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use url::Url;

use super::Choices;
use crate::exchange::Audience;
use crate::exchange::fuzzing::{Redirect, decide};
use crate::request::{MAILBOXES, Submission, Target, host_name};

/// A URL as a list has it.
///
/// - What is sent is the URL of the `url` crate, without credentials and fragment, and reading it again changes nothing.
/// - Host, port and path are what the parts of a request need.
/// - Credentials in it are in no text that a row shows.
pub fn urls(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(parsed) = Target::parse(&text) {
        is_normal(&parsed.target);
        let mut url = Url::parse(&text).expect("what is read is a URL");
        url.set_fragment(None);
        assert!(url.set_username("").is_ok() && url.set_password(None).is_ok());
        assert_eq!(parsed.target.as_str(), url.as_str());
    }
    if let Ok(host) = host_name(&text) {
        assert_eq!(host_name(&host).as_ref(), Ok(&host), "the name of a host changes when it is read again");
    }
    hides_credentials(&text);
}

/// Whether credentials that are put into the text where a URL has them appear nowhere.
fn hides_credentials(text: &str) {
    const SECRET: &str = "c4n4ry";
    let marks = text.match_indices(':').map(|(at, _)| at + 1).next();
    let Some((scheme, rest)) = marks.and_then(|at| text.split_at_checked(at)) else { return };
    let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
    let (slashes, rest) = rest.split_at(slashes);
    let name = scheme.trim_end_matches(':').to_ascii_lowercase();
    let is_scheme = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || text.contains(SECRET) || (slashes.is_empty() && MAILBOXES.contains(&name.as_str())) {
        return;
    }
    let mut forms = vec![format!("me:{SECRET}@"), format!("{SECRET}@"), format!("me:x@{SECRET}@")];
    if !slashes.is_empty() {
        // Behind what looks like the end of the authority, but for a port that is none.
        forms.extend(["/", "?", "#", "\\"].map(|end| format!("me:x{end}{SECRET}@")));
    }
    for userinfo in forms {
        let url = format!("{scheme}{slashes}{userinfo}{rest}");
        match Submission::new(0, &url, None, None) {
            Submission::Send(request) => {
                let shown = [request.asked(), request.url()];
                assert!(!shown.iter().any(|shown| shown.contains(SECRET)), "{shown:?} of {url:?}");
            }
            Submission::Refuse { url: shown, failure, .. } => {
                assert!(!shown.contains(SECRET), "{shown:?} of {url:?}");
                assert!(!failure.detail.contains(SECRET), "{} of {url:?}", failure.detail);
            }
        }
    }
}

fn is_normal(target: &Target) {
    let text = target.as_str();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert!(!text.contains('#') && !target.authority().contains('@'), "{text}");
    assert_eq!(format!("{}{}", target.origin(), target.path_and_query()), text);
    assert!(target.path_and_query().starts_with('/'), "{text}");
    assert!(target.path_and_query().parse::<PathAndQuery>().is_ok(), "{text}");
    assert!(text.parse::<Uri>().is_ok(), "{text}");
    assert!(target.port() != 0 && !target.host().is_empty(), "{text}");
    assert_eq!(target.is_https(), text.starts_with("https://"), "{text}");
    let again = Target::parse(text).expect("what was read once can be read again");
    assert!(again.target == *target && again.userinfo.is_none(), "{text} became {again:?}");
}

/// Bytes for the URL, the status and the method, then the values of Location, a line each.
///
/// - The next URL is a normal one, of http or https.
/// - Another scheme, host or port is another origin, as the `url` crate sees it, and gets no credentials.
/// - A chain never exceeds its length.
pub fn redirect(data: &[u8]) {
    const BASES: [&str; 5] = [
        "https://a.example/dir/page?q",
        "http://a.example:8080/",
        "https://[::1]:8443/x",
        "http://127.0.0.1/a/b/c",
        "https://xn--bcher-kva.example/%20",
    ];
    let mut choices = Choices::new(data);
    let (base, status) = (*choices.one(&BASES), *choices.one(&[301_u16, 302, 303, 307, 308, 300, 304]));
    let method = choices.one(&[Method::GET, Method::POST, Method::HEAD, Method::DELETE]);
    let lines: Vec<&[u8]> = choices.rest().split(|&byte| byte == b'\n').collect();
    let current = Target::parse(base).expect("the table has URLs").target;
    let status = StatusCode::from_u16(status).expect("the table has statuses");
    let Redirect::Follow(follow) = decide(status, &lines, &current, method, 0, 1) else { return };
    is_normal(&follow.target);
    let (from, to) = (Url::parse(base).expect("one"), Url::parse(follow.target.as_str()).expect("one"));
    let expected = match (from.origin() == to.origin(), from.scheme(), to.scheme()) {
        (true, ..) => Audience::Asked,
        (_, "https", "http") => Audience::Exposed,
        _ => Audience::Other,
    };
    assert_eq!(follow.audience, expected, "{from} to {to}");
    assert!(expected == Audience::Asked || follow.userinfo.is_none(), "{to} gets credentials");
    assert!(!follow.method_becomes_get || *method != Method::GET);
    assert!(matches!(decide(status, &lines, &current, method, 1, 1), Redirect::Fail(_)));
}
