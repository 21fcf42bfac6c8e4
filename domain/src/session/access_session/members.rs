//! Who is in a session: invitations, leaving, another owner, inactivity (SESS-21, SESS-26, SESS-34, SESS-35).

use std::collections::BTreeMap;

use super::ending::{ended, failed, has_full_command_access};
use super::start::{self, Start};
use super::{
    AccessSession, Departed, Departure, EndReason, Event, Failure, InvitationClosed, Invited,
    Joined, Member, MemberActive, OwnerChanged, Representative,
};
use crate::access::permission::{self, Grant};
use crate::ids::{AccessRequestId, JumpPolicyId, Lsid, TeamId, UserId};
use crate::site::team::TeamRole;
use crate::{Actor, Context, Decision, Refusal, World, happened, nothing, time};

/// Connections of users to one session, those that went and may come back among them.
pub const CONNECTIONS_MAX: usize = 200;
/// Invitations of one session that wait.
pub const INVITATIONS_MAX: usize = 50;

/// How often it is written down that a member is there, in microseconds.
const ACTIVITY_EVERY: i64 = time::MINUTE;

/// A user is to come into a running session, named by its id (SESS-35).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Which session.
    pub lsid: Lsid,
    /// Who.
    pub user: UserId,
    /// The address the user comes from, with port where known; `Unknown` otherwise.
    pub address: String,
    /// The user's program and system, as far as known; `Unknown` otherwise.
    pub user_system: String,
    /// Whether the user agrees that others are told by mail of the session.
    pub notification_consent: bool,
}

pub(super) fn decide_join(world: &World, join: &Join, context: &Context) -> Decision {
    match context.actor() {
        Actor::User(user) if *user == join.user => {}
        Actor::ApiAccount(account) if has_full_command_access(world, *account) => {}
        Actor::ApiAccount(_) => {
            return Err(Refusal::ApiPermissionNeeded {
                permission: "Command API: Full Access",
            });
        }
        _ => return Err(Refusal::NotYourSession),
    }
    let session = active(world, join.lsid)?;
    let start = Start {
        notification_consent: join.notification_consent,
        ..Start::new(
            join.user,
            session.item,
            join.address.clone(),
            join.user_system.clone(),
        )
    };
    start::begin(world, &start, None, &BTreeMap::new(), context)
}

/// What happens when `user` comes in.
pub(super) struct Coming<'a> {
    pub(super) user: UserId,
    pub(super) address: &'a str,
    pub(super) user_system: &'a str,
    /// Through which grant and policy; none by invitation.
    pub(super) by_jump: Option<ByJump>,
}

/// What let a user in who jumped to the item.
pub(super) struct ByJump {
    pub(super) grant: Grant,
    pub(super) policy: Option<JumpPolicyId>,
    pub(super) access_request: Option<AccessRequestId>,
}

/// The user comes in; one who is in already is.
///
/// # Errors
/// [`Refusal::SessionFull`].
pub(super) fn come_in(
    world: &World,
    lsid: Lsid,
    session: &AccessSession,
    coming: &Coming<'_>,
) -> Decision {
    if session.member(coming.user).is_some() {
        return nothing();
    }
    let user = world.users.get(&coming.user).ok_or(Refusal::UserDisabled)?;
    // REP-41: who left and did not sign in anew comes back by the same connection.
    let same_sign_in = session.departed.iter().find(|former| {
        former.user == coming.user
            && user
                .last_authentication
                .is_none_or(|at| at <= former.joined_at)
    });
    let gsnumber = match same_sign_in {
        Some(former) => former.gsnumber,
        None if session.gsnumbers().count() > CONNECTIONS_MAX => return Err(Refusal::SessionFull),
        None => world.free_gsnumbers()[0],
    };
    happened(crate::Event::AccessSession(
        lsid,
        Event::Joined(Joined {
            representative: Representative {
                user_id: coming.user,
                gsnumber,
                username: user.username.clone(),
                public_display_name: user.public_display_name.clone(),
                private_display_name: user.private_display_name.clone(),
                public_ip: coming.address.to_owned(),
                os: coming.user_system.to_owned(),
            },
            invited: coming.by_jump.is_none(),
            grant: coming.by_jump.as_ref().map(|jump| jump.grant),
            jump_policy_id: coming.by_jump.as_ref().and_then(|jump| jump.policy),
            access_request_id: coming.by_jump.as_ref().and_then(|jump| jump.access_request),
        }),
    ))
}

/// A session that runs.
///
/// # Errors
/// [`Refusal::SessionNotActive`].
fn active(world: &World, lsid: Lsid) -> Result<&AccessSession, Refusal> {
    world
        .sessions
        .get(&lsid)
        .filter(|session| session.established)
        .ok_or(Refusal::SessionNotActive)
}

/// The caller, who must be a member.
///
/// # Errors
/// [`Refusal::SessionNotActive`]: whoever is no member learns nothing of the session.
fn calling_member<'s>(
    session: &'s AccessSession,
    context: &Context,
) -> Result<&'s Member, Refusal> {
    match context.actor() {
        Actor::User(user) => session.member(*user).ok_or(Refusal::SessionNotActive),
        _ => Err(Refusal::NotYourSession),
    }
}

/// Only the owner or, where `administrators` says so, an administrator.
fn owner_only(
    world: &World,
    session: &AccessSession,
    administrators: bool,
    context: &Context,
) -> Result<(), Refusal> {
    match context.actor() {
        Actor::User(user) if *user == session.owner => Ok(()),
        Actor::User(user) if administrators && world.is_administrator(*user) => Ok(()),
        Actor::User(user) if session.member(*user).is_none() => Err(Refusal::SessionNotActive),
        _ => Err(Refusal::NotTheOwner),
    }
}

/// A user who may be in sessions at all.
fn may_take_part(world: &World, user: UserId) -> Result<(), Refusal> {
    world
        .users
        .get(&user)
        .filter(|user| user.enabled)
        .ok_or(Refusal::UserDisabled)?;
    let may =
        permission::effective(world, user).is_some_and(|settings| settings.may_access_endpoints());
    may.then_some(()).ok_or(Refusal::EndpointAccessNotAllowed)
}

/// Whether the owner may share with this user: one of a team that the owner is in, or of none, unless the owner may share with
/// other teams (GPOL-17).
fn may_share_with(world: &World, owner: UserId, user: UserId) -> Result<(), Refusal> {
    let theirs = permission::teams_of(world, user);
    let own = permission::teams_of(world, owner);
    let in_one = |(team, _): &(TeamId, TeamRole)| own.iter().any(|(other, _)| other == team);
    let anywhere = permission::effective(world, owner)
        .is_some_and(|settings| settings.may_share_with_other_teams());
    if anywhere || theirs.is_empty() || theirs.iter().any(in_one) {
        Ok(())
    } else {
        Err(Refusal::SharingNotAllowed)
    }
}

pub(super) fn decide_invite(
    world: &World,
    lsid: Lsid,
    user: UserId,
    context: &Context,
) -> Decision {
    let session = active(world, lsid)?;
    owner_only(world, session, false, context)?;
    if !world.users.contains(&user) {
        return Err(Refusal::not_found("User"));
    }
    may_take_part(world, user)?;
    if session.member(user).is_some() || session.is_invited(user) {
        return nothing();
    }
    may_share_with(world, session.owner, user)?;
    if session.invitations.len() >= INVITATIONS_MAX {
        return Err(Refusal::SessionFull);
    }
    happened(crate::Event::AccessSession(
        lsid,
        Event::Invited(Invited {
            user_id: user,
            by: session.owner,
        }),
    ))
}

pub(super) fn decide_accept_invitation(
    world: &World,
    lsid: Lsid,
    address: &str,
    user_system: &str,
    context: &Context,
) -> Decision {
    let session = active(world, lsid)?;
    let Actor::User(user) = *context.actor() else {
        return Err(Refusal::NotYourSession);
    };
    if session.member(user).is_some() {
        return nothing();
    }
    if !session.is_invited(user) {
        return Err(Refusal::SessionNotActive);
    }
    may_take_part(world, user)?;
    let coming = Coming {
        user,
        address,
        user_system,
        by_jump: None,
    };
    come_in(world, lsid, session, &coming)
}

pub(super) fn decide_close_invitation(
    world: &World,
    lsid: Lsid,
    user: UserId,
    context: &Context,
) -> Decision {
    let session = active(world, lsid)?;
    if !(context.actor().is(user) && session.is_invited(user)) {
        owner_only(world, session, true, context)?;
    }
    if !session.is_invited(user) {
        return nothing();
    }
    happened(crate::Event::AccessSession(
        lsid,
        Event::InvitationClosed(InvitationClosed { user_id: user }),
    ))
}

pub(super) fn decide_leave(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let session = world.sessions.get(&lsid).ok_or(Refusal::SessionNotActive)?;
    let member = calling_member(session, context)?;
    go_out(world, lsid, session, &[member.user], Departure::Left)
}

/// These users go out. Where the owner goes, the member who is in longest takes over; where all go, the session ends.
fn go_out(
    world: &World,
    lsid: Lsid,
    session: &AccessSession,
    gone: &[UserId],
    why: Departure,
) -> Decision {
    let Some(next) = session
        .members
        .iter()
        .find(|member| !gone.contains(&member.user))
    else {
        let reason = match why {
            Departure::Left => EndReason::Owner,
            Departure::Inactive => EndReason::Inactive,
        };
        return if session.established {
            ended(lsid, reason, "")
        } else {
            failed(lsid, Failure::Cancelled, "")
        };
    };
    let handed_on = gone
        .contains(&session.owner)
        .then(|| owned_by(world, lsid, next));
    let departures = session
        .members
        .iter()
        .filter(|member| gone.contains(&member.user))
        .map(|member| {
            crate::Event::AccessSession(
                lsid,
                Event::Departed(Departed {
                    user_id: member.user,
                    gsnumber: member.gsnumber,
                    reason: why,
                }),
            )
        });
    Ok(departures.chain(handed_on).collect())
}

fn owned_by(world: &World, lsid: Lsid, member: &Member) -> crate::Event {
    let user = world.users.get(&member.user);
    crate::Event::AccessSession(
        lsid,
        Event::OwnerChanged(OwnerChanged {
            user_id: member.user,
            gsnumber: member.gsnumber,
            public_display_name: member.name.clone(),
            private_display_name: user.map_or_else(
                || member.name.clone(),
                |user| user.private_display_name.clone(),
            ),
        }),
    )
}

pub(super) fn decide_transfer_ownership(
    world: &World,
    lsid: Lsid,
    to: UserId,
    context: &Context,
) -> Decision {
    let session = active(world, lsid)?;
    owner_only(world, session, true, context)?;
    if to == session.owner {
        return nothing();
    }
    let member = session.member(to).ok_or(Refusal::NotAMember)?;
    happened(owned_by(world, lsid, member))
}

/// After how long without a sign of life `user` is removed from sessions, in microseconds; none is never (SESS-26).
#[must_use]
pub fn idle_after(world: &World, user: UserId) -> Option<i64> {
    let own = permission::effective(world, user)?.idle_timeout_seconds();
    let seconds = match u32::try_from(own) {
        Ok(seconds) => seconds,
        // -1: as the site says.
        Err(_) => world.settings.session_idle_seconds,
    };
    (seconds > 0).then(|| i64::from(seconds) * time::SECOND)
}

pub(super) fn decide_note_activity(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let session = world.sessions.get(&lsid).ok_or(Refusal::SessionNotActive)?;
    let member = calling_member(session, context)?;
    match idle_after(world, member.user) {
        Some(_) if context.now >= member.active_at.plus(ACTIVITY_EVERY) => {
            happened(crate::Event::AccessSession(
                lsid,
                Event::MemberActive(MemberActive {
                    gsnumber: member.gsnumber,
                }),
            ))
        }
        _ => nothing(),
    }
}

pub(super) fn decide_remove_inactive(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let Some(session) = world.sessions.get(&lsid) else {
        return nothing();
    };
    let inactive: Vec<UserId> = session
        .members
        .iter()
        .filter(|member| {
            idle_after(world, member.user)
                .is_some_and(|wait| context.now >= member.active_at.plus(wait))
        })
        .map(|member| member.user)
        .collect();
    if inactive.is_empty() {
        return nothing();
    }
    go_out(world, lsid, session, &inactive, Departure::Inactive)
}
