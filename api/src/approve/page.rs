//! The approver's page: HTML without script. Every value that anybody wrote is escaped where it is put in.

use std::fmt;
use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use domain::ids::AccessRequestId;
use domain::policy::access_request::{AccessRequest, State, duration_text};
use domain::site::mail_template::is_direction_mark;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");

/// Nothing is loaded, nothing runs, nothing frames it; the one style sheet is the one written here.
static CONTENT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    // Letters, digits and punctuation are always a legal value; without, nothing is styled.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// A request as one of its approvers sees it.
pub(super) struct View<'r> {
    pub(super) id: AccessRequestId,
    pub(super) request: &'r AccessRequest,
    /// What went wrong with what the approver just sent.
    pub(super) trouble: Option<&'r str>,
    /// What the approver wrote, to go on from.
    pub(super) comment: &'r str,
    pub(super) now: Timestamp,
}

/// Text that somebody wrote, safe between tags and in quoted attributes.
struct Safe<'t>(&'t str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => fmt::Write::write_char(f, character)?,
                // What turns the direction of text could make a line say something else than it does.
                _ if is_direction_mark(character) => fmt::Write::write_char(f, '\u{fffd}')?,
                _ if character.is_control() => fmt::Write::write_char(f, '\u{fffd}')?,
                _ => fmt::Write::write_char(f, character)?,
            }
        }
        Ok(())
    }
}

/// What the state is called.
const fn state_label(state: &State) -> &'static str {
    match state {
        State::Pending => "Pending",
        State::Approved(_) => "Approved",
        State::InUse(_) => "Approved, in use",
        State::Denied(_) => "Denied",
        State::Cancelled(_) => "Cancelled",
    }
}

impl View<'_> {
    /// The page.
    pub(super) fn render(&self, status: StatusCode) -> Response {
        let body = format!(
            "{}{}{}{}",
            self.notice(),
            self.facts(),
            self.answer(),
            self.form()
        );
        answer(status, &format!("Access request {}", self.id), &body)
    }

    fn notice(&self) -> String {
        let trouble = self.trouble.map_or(String::new(), |trouble| {
            format!(
                "<p class=\"trouble\" role=\"alert\">{}</p>\n",
                Safe(trouble)
            )
        });
        format!(
            "{trouble}<p class=\"state\">Status: <strong>{}</strong></p>\n",
            state_label(&self.request.state)
        )
    }

    fn facts(&self) -> String {
        let request = self.request;
        let time = format!(
            "{} for {}",
            moment(request.start_at),
            duration_text(request.duration_seconds())
        );
        let rows = [
            ("Requesting user", request.requester_name.as_str()),
            ("Requested system", &request.item_name),
            ("Jump Group", &request.group_name),
            ("Jump Policy", &request.jump_policy_name),
            ("Access approval applies to", request.scope.label()),
            ("Requested time", &time),
            ("Requested reason", &request.reason),
        ];
        let rows: String = rows
            .into_iter()
            .map(|(label, value)| {
                format!("<dt>{label}</dt>\n<dd dir=\"auto\">{}</dd>\n", Safe(value))
            })
            .collect();
        format!("<dl>\n{rows}</dl>\n")
    }

    /// Who answered, for the other approvers (APPR-15).
    fn answer(&self) -> String {
        let Some(answer) = self.request.state.answer() else {
            return String::new();
        };
        let comment = if answer.comment.is_empty() {
            String::new()
        } else {
            format!(
                "<dt>Comments</dt>\n<dd dir=\"auto\">{}</dd>\n",
                Safe(&answer.comment)
            )
        };
        format!(
            "<h2>Answer</h2>\n<dl>\n<dt>Answered by</dt>\n<dd>{}</dd>\n<dt>At</dt>\n<dd>{}</dd>\n{comment}</dl>\n",
            Safe(answer.by.label()),
            moment(answer.at)
        )
    }

    fn form(&self) -> String {
        let (approve, deny) = match self.request.state {
            _ if self.now >= self.request.ends_at => (false, false),
            State::Pending => (true, true),
            State::Approved(_) => (false, true),
            State::InUse(_) | State::Denied(_) | State::Cancelled(_) => (false, false),
        };
        if !approve && !deny {
            return "<p>This request can no longer be answered.</p>\n".to_owned();
        }
        let button = |shown: bool, word: &str, label: &str| {
            if shown {
                format!(
                    "<button name=\"answer\" value=\"{word}\" class=\"{word}\">{label}</button>\n"
                )
            } else {
                String::new()
            }
        };
        format!(
            "<form method=\"post\" accept-charset=\"utf-8\" autocomplete=\"off\">\n\
             <label for=\"comments\">Comments for the requesting user</label>\n\
             <textarea id=\"comments\" name=\"comments\" rows=\"4\" maxlength=\"2048\" dir=\"auto\">{}</textarea>\n\
             {}{}</form>\n",
            Safe(self.comment),
            button(approve, "approve", "Approve"),
            button(deny, "deny", "Deny")
        )
    }
}

/// A page that says one thing.
pub(super) fn notice(status: StatusCode, title: &str, text: &str) -> Response {
    answer(status, title, &format!("<p>{}</p>\n", Safe(text)))
}

fn moment(at: Timestamp) -> String {
    at.to_utc().format("%A, %Y-%m-%d %H:%M UTC").to_string()
}

fn answer(status: StatusCode, title: &str, body: &str) -> Response {
    let title = Safe(title);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    );
    let mut response = (status, page).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex, nofollow"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hostile text in reasons, comments and names: none of it becomes markup, and none of it turns the line around.
    #[test]
    fn what_somebody_wrote_stays_text() {
        for (text, shown) in [
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("\" onfocus='x'", "&quot; onfocus=&#39;x&#39;"),
            ("a & b\nc\td", "a &amp; b\nc\td"),
            ("\u{202e}lave\u{2066}", "\u{fffd}lave\u{fffd}"),
            ("\0\u{1b}[31m", "\u{fffd}\u{fffd}[31m"),
            ("Grüße 日本", "Grüße 日本"),
        ] {
            assert_eq!(Safe(text).to_string(), shown);
        }
    }

    #[test]
    fn the_style_sheet_is_the_one_the_policy_names() {
        let response = notice(StatusCode::OK, "Title", "Text");
        let policy = response.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        let style = STANDARD.encode(Sha256::digest(STYLE));
        assert!(policy.contains(&format!("'sha256-{style}'")), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!STYLE.contains('<'), "the sheet can't end its element");
    }
}
