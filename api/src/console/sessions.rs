//! The sessions that run: which there are, one of them, and its end (SESS-19 to SESS-24). How they begin is in
//! [`super::session_start`].

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::ids::{Lsid, UserId};
use domain::policy::jump_policy;
use domain::record::Object;
use domain::session::access_session::{self, AccessSession};
use domain::site::mail_delivery;
use domain::{Command, Refusal, Timestamp, World};
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::Listing;
use crate::console::BASE;
use crate::console::failed_start::FailedStart;
use crate::console::items::{group, user_of};
use crate::console::named::Named;
use crate::console::undelivered_mails;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/sessions");
    let one = format!("{path}/{{lsid}}");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            Access::User,
            About::new("The caller's sessions; all of them for administrators")
                .gives(Gives::Page("Session")),
            list,
        )
        .route(
            Method::GET,
            &one,
            Access::User,
            About::new(
                "One session; also one whose start failed, with the reason, for who started it",
            )
            .gives(Gives::One("Session")),
            get,
        )
        .route(
            Method::POST,
            &format!("{one}/end"),
            Access::User,
            About::new("End a session").gives(Gives::One("SessionEnd")),
            end,
        )
}

async fn list(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let listing = Listing::read(&parts, &[], &site, &known)?;
    let everything = world.is_administrator(user);
    let sessions = world
        .sessions
        .iter()
        .filter(|(_, session)| everything || has_part(session, user));
    let now = site.engine.clock().now();
    Ok(listing.answer(&known, sessions, |(lsid, session)| {
        object(shown_in(world, user, *lsid, session, now))
    }))
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(lsid): Named<Lsid>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let is_administrator = world.is_administrator(user);
    let about = mail_delivery::About::Session(lsid);
    let mails = || undelivered_mails::shown(world, about, is_administrator);
    if let Some(session) = session_of(world, user, lsid) {
        let now = site.engine.clock().now();
        let shown = shown_in(world, user, lsid, session, now);
        return Ok(Answer::known(&known.0, shown));
    }
    // It is over, and who jumped still has to learn why it never came up (ERR-11), and that its mail was not delivered (POL-31).
    let failed = match FailedStart::find(&site.engine, lsid).await? {
        Some(failed) => failed.shown_to(&site.engine, world, user).await?,
        None => None,
    };
    let concerned = undelivered_mails::concern(world, about, user);
    let mut shown = match failed {
        Some(failed) => failed,
        None if concerned => ended(lsid),
        None => return Err(Refusal::SessionNotActive.into()),
    };
    if concerned {
        shown["undelivered_mails"] = mails();
    }
    Ok(Answer::known(&known.0, shown))
}

/// Who may know of a session: its members, and whom it waits for.
fn has_part(session: &AccessSession, user: UserId) -> bool {
    session.member(user).is_some() || session.is_invited(user)
}

/// The session, if the user may know of it.
pub(super) fn session_of(world: &World, user: UserId, lsid: Lsid) -> Option<&AccessSession> {
    world
        .sessions
        .get(&lsid)
        .filter(|session| has_part(session, user) || world.is_administrator(user))
}

async fn end(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = Command::AccessSession(access_session::Command::End { lsid });
    let done = site
        .execute(&caller, &change, command, None)
        .await
        .map_err(hide_what_is_not_theirs)?;
    Ok(Answer::done(&done, ended(lsid)))
}

/// Whoever may not know of a session is told the same as of one that does not exist; the log has the truth (threat G).
pub(super) fn hide_what_is_not_theirs(error: JsonError) -> JsonError {
    if error.0.code != Refusal::NotYourSession.code() {
        return error;
    }
    Problem {
        event: error.0.event,
        ..Refusal::SessionNotActive.into()
    }
    .into()
}

pub(super) fn shown(site: &Site, user: UserId, lsid: Lsid, session: &AccessSession) -> Value {
    let now = site.engine.clock().now();
    shown_in(&site.engine.published().world, user, lsid, session, now)
}

/// The session as `user` sees it: who was invited and has not come in sees no more than who invites to what.
fn shown_in(
    world: &World,
    user: UserId,
    lsid: Lsid,
    session: &AccessSession,
    now: Timestamp,
) -> Value {
    let name = world.item_name(session.item).unwrap_or_default();
    let mut shown = json!({
        "lsid": lsid,
        "state": if session.established { "active" } else { "starting" },
        "item": {"id": session.item.to_string(), "name": name},
        "group": group(session.group, &world.group_name(session.group)),
        "owner": {"id": session.owner, "name": session.owner_name},
        "started_at": session.started_at.to_rfc3339(),
        "invited": session.is_invited(user),
    });
    if session.member(user).is_none() && !world.is_administrator(user) {
        return shown;
    }
    let members: Vec<Value> = session
        .members
        .iter()
        .map(|member| {
            json!({
                "id": member.user,
                "name": member.name,
                "gsnumber": member.gsnumber,
                "owner": member.user == session.owner,
                "invited": member.invited_by.is_some(),
                "joined_at": member.joined_at.to_rfc3339(),
            })
        })
        .collect();
    let invitations: Vec<Value> = session
        .invitations
        .iter()
        .map(|invitation| {
            let name = world
                .users
                .get(&invitation.user)
                .map_or("", |user| user.public_display_name.as_str());
            json!({"id": invitation.user, "name": name})
        })
        .collect();
    let ends_at = session
        .jump_policy_id
        .and_then(|policy| jump_policy::ends_sessions_at(world, policy, now))
        .filter(|_| !session.schedule_overridden);
    let about = mail_delivery::About::Session(lsid);
    let more = json!({
        "undelivered_mails": undelivered_mails::shown(world, about, world.is_administrator(user)),
        "jump_policy_id": session.jump_policy_id,
        "members": members,
        "invitations": invitations,
        "attributes": session.attributes,
        "external_key": session.external_key,
        "ends_at": ends_at.map(|at| at.to_rfc3339()),
        "recordings_disabled": session.recordings_disabled,
    });
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    shown
}

pub(super) fn ended(lsid: Lsid) -> Value {
    json!({"lsid": lsid, "state": "ended"})
}

pub(super) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
