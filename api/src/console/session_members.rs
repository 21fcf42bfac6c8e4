//! Who is in a session: joining, inviting, leaving, owning, and being there (SESS-21, SESS-22, SESS-26, SESS-34).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::ids::{Lsid, UserId};
use domain::session::access_session;
use domain::{Command, Refusal};
use serde_json::Value;

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::change::Change;
use crate::console::BASE;
use crate::console::fields::Fields;
use crate::console::items::user_of;
use crate::console::named::Named;
use crate::console::session_start::user_system;
use crate::console::sessions::{hide_what_is_not_theirs, session_of, shown};
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let one = format!("{BASE}/sessions/{{lsid}}");
    let session = |summary| About::new(summary).gives(Gives::One("Session"));
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{one}/join"),
            Access::User,
            session("Join a running session under the rules of a Jump to its item")
                .takes("SessionJoin"),
            join,
        )
        .route(
            Method::POST,
            &format!("{one}/invitations"),
            Access::User,
            session("Invite a user; only the owner may").takes("SessionUser"),
            invite,
        )
        .route(
            Method::DELETE,
            &format!("{one}/invitations/{{user}}"),
            Access::User,
            About::new("Withdraw an invitation, or decline one's own"),
            close_invitation,
        )
        .route(
            Method::POST,
            &format!("{one}/accept"),
            Access::User,
            session("Come in by an invitation"),
            accept,
        )
        .route(
            Method::POST,
            &format!("{one}/leave"),
            Access::User,
            About::new("Leave a session; the last one who leaves ends it"),
            leave,
        )
        .route(
            Method::POST,
            &format!("{one}/owner"),
            Access::User,
            session("Make another member the owner").takes("SessionUser"),
            transfer,
        )
        .route(
            Method::POST,
            &format!("{one}/activity"),
            Access::User,
            About::new("Say that one is still there"),
            note_activity,
        )
}

/// Does what was asked and shows the session as it is then.
async fn ask(
    site: &Site,
    caller: &Caller,
    change: &Change,
    lsid: Lsid,
    command: access_session::Command,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(caller)?;
    site.execute(caller, change, Command::AccessSession(command), None)
        .await
        .map_err(hide_what_is_not_theirs)?;
    let published = site.engine.published();
    let session = session_of(&published.world, user, lsid).ok_or(Refusal::SessionNotActive)?;
    Ok(Answer::known(&published, shown(site, user, lsid, session)))
}

async fn join(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let mut fields = Fields::of(&change.body);
    let notification_consent = fields.flag("notification_consent");
    fields.finish(Some(()))?;
    let command = access_session::Command::Join(access_session::Join {
        lsid,
        user: user_of(&caller)?,
        address: caller.peer.address_text(),
        user_system: user_system(&parts.headers),
        notification_consent,
    });
    ask(&site, &caller, &change, lsid, command).await
}

/// The one member of a body that names a user.
fn user_id(change: &Change) -> Result<UserId, Refusal> {
    let mut fields = Fields::of(&change.body);
    let user = fields.number("user_id").map(UserId);
    fields.finish(user)
}

async fn invite(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let user = user_id(&change)?;
    let command = access_session::Command::Invite { lsid, user };
    ask(&site, &caller, &change, lsid, command).await
}

async fn close_invitation(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    Named(user): Named<UserId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = access_session::Command::CloseInvitation { lsid, user };
    do_it(&site, &caller, &change, command).await
}

async fn accept(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = access_session::Command::AcceptInvitation {
        lsid,
        address: caller.peer.address_text(),
        user_system: user_system(&parts.headers),
    };
    ask(&site, &caller, &change, lsid, command).await
}

async fn leave(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    do_it(
        &site,
        &caller,
        &change,
        access_session::Command::Leave { lsid },
    )
    .await
}

async fn transfer(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let to = user_id(&change)?;
    let command = access_session::Command::TransferOwnership { lsid, to };
    ask(&site, &caller, &change, lsid, command).await
}

async fn note_activity(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = access_session::Command::NoteActivity { lsid };
    do_it(&site, &caller, &change, command).await
}

/// Does what was asked; there is nothing to show.
pub(super) async fn do_it(
    site: &Site,
    caller: &Caller,
    change: &Change,
    command: access_session::Command,
) -> Result<Answer<()>, JsonError> {
    let done = site
        .execute(caller, change, Command::AccessSession(command), None)
        .await
        .map_err(hide_what_is_not_theirs)?;
    Ok(Answer::nothing(&done))
}
