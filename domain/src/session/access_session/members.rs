//! Who is in a session: invitations, leaving, another owner, inactivity (SESS-21, SESS-26, SESS-34, SESS-35).

use std::collections::BTreeMap;

use super::ending::has_full_command_access;
use super::rights::{host_of, may_be_guest, may_own, may_share_with};
use super::start::{self, Start};
use super::{
    AccessSession, Departed, Departure, EndReason, Ended, Event, Failed, Failure, InvitationClosed,
    Invited, Joined, Member, MemberActive, OwnerChanged, Representative,
};
use crate::access::permission::{self, Grant};
use crate::ids::{AccessRequestId, JumpPolicyId, Lsid, UserId};
use crate::policy::gates;
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
    /// What lets the user in.
    pub(super) by: By,
}

/// What lets a user into a session.
pub(super) enum By {
    /// A Jump to the item.
    Jump {
        grant: Grant,
        policy: Option<JumpPolicyId>,
        access_request: Option<AccessRequestId>,
    },
    /// An invitation.
    Invitation {
        access_request: Option<AccessRequestId>,
    },
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
    let (invited, grant, jump_policy_id, access_request_id) = match coming.by {
        By::Jump {
            grant,
            policy,
            access_request,
        } => (false, Some(grant), policy, access_request),
        By::Invitation { access_request } => (true, None, None, access_request),
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
            invited,
            grant,
            jump_policy_id,
            access_request_id,
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

/// Whether the session's owner may invite this user, who has no part in it yet (SESS-34).
#[must_use]
pub fn may_be_invited(world: &World, session: &AccessSession, user: UserId) -> bool {
    session.member(user).is_none()
        && !session.is_invited(user)
        && check_invited(world, session, user).is_ok()
}

/// What is asked of a user and the owner who invites.
fn check_invited(world: &World, session: &AccessSession, user: UserId) -> Result<(), Refusal> {
    gates::may_use_method(world, user, session.item)?;
    may_share_with(world, session.owner, user)
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
    gates::may_use_method(world, user, session.item)?;
    if session.member(user).is_some() || session.is_invited(user) {
        return nothing();
    }
    check_invited(world, session, user)?;
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
    let invitation = session.invitation(user).ok_or(Refusal::SessionNotActive)?;
    let host = host_of(session, invitation);
    may_be_guest(world, session, Some(host), user)?;
    let access_request = approval_of_invited(world, session, user, context)?;
    let coming = Coming {
        user,
        address,
        user_system,
        by: By::Invitation { access_request },
    };
    let came = come_in(world, lsid, session, &coming)?;
    Ok(start::using(came, access_request, lsid, user))
}

/// The approved request under which an invited user comes in, where the policy that the session runs under, or the one that binds
/// the user on its item, asks for approval.
fn approval_of_invited(
    world: &World,
    session: &AccessSession,
    user: UserId,
    context: &Context,
) -> Result<Option<AccessRequestId>, Refusal> {
    let own = permission::access_to_item(world, user, session.item)
        .and_then(|access| gates::effective_policy(world, &access, session.item));
    let mut used = None;
    for policy in [own, session.jump_policy_id] {
        let opening = gates::open_to_invited(world, user, session.item, policy, context.now)?;
        used = opening.access_request.or(used);
    }
    Ok(used)
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
        Event::InvitationClosed(InvitationClosed {
            user_id: user,
            detail: String::new(),
        }),
    ))
}

pub(super) fn decide_leave(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let session = world.sessions.get(&lsid).ok_or(Refusal::SessionNotActive)?;
    let member = calling_member(session, context)?;
    let going = Going {
        user: member.user,
        reason: Departure::Left,
        detail: String::new(),
    };
    Ok(go_out(world, lsid, session, &[going]).events)
}

/// A member who goes out.
pub(super) struct Going {
    pub(super) user: UserId,
    pub(super) reason: Departure,
    /// The gate that is closed now, where a right was taken away.
    pub(super) detail: String,
}

/// What becomes of a session when members go out.
pub(super) struct GoneOut {
    pub(super) events: Vec<crate::Event>,
    /// Who owns it then; none where it ends.
    pub(super) owner: Option<UserId>,
}

/// These members go out. Where the owner goes, the member who is in longest and may own takes over; where there is none, the
/// session ends.
pub(super) fn go_out(
    world: &World,
    lsid: Lsid,
    session: &AccessSession,
    going: &[Going],
) -> GoneOut {
    let departs = |member: &Member| going.iter().find(|gone| gone.user == member.user);
    let mut events: Vec<crate::Event> = session
        .members
        .iter()
        .filter_map(|member| {
            let gone = departs(member)?;
            let departed = Departed {
                user_id: member.user,
                gsnumber: member.gsnumber,
                reason: gone.reason,
                detail: gone.detail.clone(),
            };
            Some(crate::Event::AccessSession(lsid, Event::Departed(departed)))
        })
        .collect();
    let Some(owner) = going.iter().find(|gone| gone.user == session.owner) else {
        return GoneOut {
            events,
            owner: Some(session.owner),
        };
    };
    let mut staying = session
        .members
        .iter()
        .filter(|member| departs(member).is_none())
        .peekable();
    let is_empty = staying.peek().is_none();
    match staying.find(|member| may_own(world, session, member.user).is_ok()) {
        Some(heir) => {
            events.push(owned_by(world, lsid, heir));
            GoneOut {
                events,
                owner: Some(heir.user),
            }
        }
        None => GoneOut {
            events: vec![over_without(lsid, session, owner, is_empty)],
            owner: None,
        },
    }
}

/// The end of a session that nobody owns when `owner` is out; `is_empty` where nobody is left in it at all.
fn over_without(
    lsid: Lsid,
    session: &AccessSession,
    owner: &Going,
    is_empty: bool,
) -> crate::Event {
    let detail = owner.detail.clone();
    let event = match (session.established, owner.reason) {
        (true, reason) => Event::Ended(Ended {
            reason: match reason {
                Departure::AccessWithdrawn => EndReason::AccessWithdrawn,
                Departure::Left if is_empty => EndReason::Owner,
                Departure::Inactive if is_empty => EndReason::Inactive,
                Departure::Left | Departure::Inactive => EndReason::NoOwner,
            },
            detail,
        }),
        (false, reason) => Event::Failed(Failed {
            failure: match reason {
                Departure::AccessWithdrawn => Failure::Withdrawn,
                Departure::Left | Departure::Inactive => Failure::Cancelled,
            },
            detail,
        }),
    };
    crate::Event::AccessSession(lsid, event)
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
    may_own(world, session, to).map_err(|_closed| Refusal::MayNotOwn)?;
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
    let inactive: Vec<Going> = session
        .members
        .iter()
        .filter(|member| {
            idle_after(world, member.user)
                .is_some_and(|wait| context.now >= member.active_at.plus(wait))
        })
        .map(|member| Going {
            user: member.user,
            reason: Departure::Inactive,
            detail: String::new(),
        })
        .collect();
    Ok(go_out(world, lsid, session, &inactive).events)
}
