//! What crawlers may ask for.

use http::StatusCode;

use super::flow::status_code;
use super::{Ask, Outcome, Refusal, text};
use crate::config::Robots;

/// `/robots.txt`
pub(super) fn robots(ask: &Ask<'_>) -> Outcome {
    match ask.site.robots(&ask.host.name) {
        None => Err(Refusal::NotFound),
        Some(Robots::Text(rules)) => Ok(text(StatusCode::OK, rules.clone())),
        Some(Robots::Status(status)) => {
            let status = status_code("status", &status.to_string())?;
            Ok(text(status, "no rules here\n"))
        }
    }
}
