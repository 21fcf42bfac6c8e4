//! `items/{item}/access`: why somebody may or may not do something with an item.
//!
//! Users ask about themselves and what they see; administrators about any user and item, at any moment.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::access::explain::{Action, Explanation, explain};
use domain::access::permission;
use domain::ids::{JumpItemRef, UserId};
use domain::record::{Field, Kind};
use domain::{FieldErrors, Refusal, Timestamp};

use super::items::user_of;
use super::named::Named;
use crate::access::{Access, record_refusal};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::console::BASE;
use crate::error::{JsonError, Problem};
use crate::form;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// What can be asked, as a query.
const PARAMETERS: &[Field] = &[
    Field::new(
        "action",
        Kind::Text { min: 1, max: 32 },
        "What somebody would do: start (the default), or a permission of a role, such as edit_tag.",
    ),
    Field::new(
        "user_id",
        Kind::Id,
        "Who; the caller where absent. Only administrators ask about others.",
    ),
    Field::new(
        "at",
        Kind::Moment,
        "When; now where absent. Only administrators ask about other moments.",
    ),
];

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site).route(
        Method::GET,
        &format!("{BASE}/items/{{item}}/access"),
        Access::User,
        About::new("Why somebody may or may not do something with an item, by which grant, and what would help")
            .gives(Gives::One("JumpItemAccess"))
            .filters(PARAMETERS.iter().collect()),
        get,
    )
}

/// What was asked.
#[derive(Debug)]
struct Asked {
    action: Action,
    user: Option<UserId>,
    at: Option<Timestamp>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, FieldErrors> {
        let mut asked = Self {
            action: Action::Start,
            user: None,
            at: None,
        };
        let mut errors = FieldErrors::default();
        for (name, value) in form::query(Some(query), |_| false)? {
            match name.as_str() {
                "action" => match Action::from_word(&value) {
                    Some(action) => asked.action = action,
                    None => errors.push(
                        "action",
                        format!(
                            "The action parameter must be one of: {}.",
                            Action::WORDS.map(|(word, _)| word).join(", ")
                        ),
                    ),
                },
                "user_id" => match value.parse() {
                    Ok(user) => asked.user = Some(UserId(user)),
                    Err(_) => errors.push("user_id", "The user_id parameter must be an integer."),
                },
                "at" => match Timestamp::parse_rfc3339_utc(&value) {
                    Some(at) => asked.at = Some(at),
                    None => errors.push(
                        "at",
                        "The at parameter must be a date and time in UTC as of RFC 3339.",
                    ),
                },
                name => errors.push(name, format!("The {name} parameter is not known.")),
            }
        }
        if errors.0.is_empty() {
            Ok(asked)
        } else {
            Err(errors)
        }
    }
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(item): Named<JumpItemRef>,
    parts: Parts,
) -> Result<Answer<Explanation>, JsonError> {
    let world = known.world();
    let asks = user_of(&caller)?;
    let asked = Asked::read(parts.uri.query().unwrap_or_default()).map_err(Problem::invalid)?;
    let user = asked.user.unwrap_or(asks);
    if !world.is_administrator(asks) {
        if user != asks || asked.at.is_some() {
            let problem = Problem::from(Refusal::AdministratorNeeded);
            return Err(record_refusal(&site, &caller, problem, "item.explain")
                .await
                .into());
        }
        if permission::access_to_item(world, user, item).is_none() {
            return Err(Refusal::item_gone(item).into());
        }
    }
    let at = asked.at.unwrap_or_else(|| site.engine.clock().now());
    let explanation = explain(world, user, item, asked.action, at)?;
    Ok(Answer::known(&known.0, explanation))
}
