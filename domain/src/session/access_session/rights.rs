//! What the members and invitations of a session rest on, asked when they come and again when rights are taken away.
//!
//! Who jumped in needs what a Jump needs of its user: account, endpoints, method, and a role that may start sessions. So does the
//! owner, however they came. Who was invited needs account, endpoints and method, and that the member who invited them may share
//! the session with them, for as long as that member is in it; who could jump in stays without that. An invitation that waits is
//! answered for by who made it or, once they are out, by the owner.

use super::members::{Going, go_out};
use super::{AccessSession, Departure, Event, Invitation, InvitationClosed, Member};
use crate::access::permission;
use crate::ids::{Lsid, TeamId, UserId};
use crate::policy::gates;
use crate::site::team::TeamRole;
use crate::{Refusal, World};

/// Whether `user` may own the session: may start sessions on its item.
///
/// # Errors
/// The first gate that is closed.
pub(super) fn may_own(world: &World, session: &AccessSession, user: UserId) -> Result<(), Refusal> {
    if session.established {
        gates::may_go_on(world, user, session.item, session.group)
    } else {
        gates::may_start(world, user, session.item).map(drop)
    }
}

/// Whether `user` may be in the session by an invitation of `host`; none where who invited them is not in it any more.
///
/// # Errors
/// The gate that is closed, or [`Refusal::InvitationNotValid`].
pub(super) fn may_be_guest(
    world: &World,
    session: &AccessSession,
    host: Option<UserId>,
    user: UserId,
) -> Result<(), Refusal> {
    gates::may_use_method(world, user, session.item)?;
    match host {
        Some(host) => {
            may_share_with(world, host, user).map_err(|_not_shared| Refusal::InvitationNotValid)
        }
        None => Ok(()),
    }
}

/// Whether the owner may share with this user: one of a team that the owner is in, or of none, unless the owner may share with
/// other teams (GPOL-17).
///
/// # Errors
/// [`Refusal::SharingNotAllowed`].
pub(super) fn may_share_with(world: &World, owner: UserId, user: UserId) -> Result<(), Refusal> {
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

/// Who answers for an invitation that waits.
pub(super) fn host_of(session: &AccessSession, invitation: &Invitation) -> UserId {
    match session.member(invitation.by) {
        Some(host) => host.user,
        None => session.owner,
    }
}

fn may_stay(world: &World, session: &AccessSession, member: &Member) -> Result<(), Refusal> {
    let own_right = may_own(world, session, member.user);
    match member.invited_by {
        Some(host) if own_right.is_err() && member.user != session.owner => {
            let host = session.member(host).map(|host| host.user);
            may_be_guest(world, session, host, member.user)
        }
        _ => own_right,
    }
}

/// What follows for the session from rights that were taken away; nothing where all it rests on stands.
#[must_use]
pub fn review(world: &World, lsid: Lsid, session: &AccessSession) -> Vec<crate::Event> {
    let going: Vec<Going> = session
        .members
        .iter()
        .filter_map(|member| {
            let closed = may_stay(world, session, member).err()?;
            Some(Going {
                user: member.user,
                reason: Departure::AccessWithdrawn,
                detail: closed.to_string(),
            })
        })
        .collect();
    let after = go_out(world, lsid, session, &going);
    let Some(owner) = after.owner else {
        return after.events;
    };
    let closed = session.invitations.iter().filter_map(|invitation| {
        // An invitation is worth no more than the right of who made it.
        let holds = if going.iter().any(|gone| gone.user == invitation.by) {
            Err(Refusal::InvitationNotValid)
        } else {
            let host = session
                .member(invitation.by)
                .map_or(owner, |host| host.user);
            may_be_guest(world, session, Some(host), invitation.user)
        };
        let closed = InvitationClosed {
            user_id: invitation.user,
            detail: holds.err()?.to_string(),
        };
        Some(crate::Event::AccessSession(
            lsid,
            Event::InvitationClosed(closed),
        ))
    });
    after.events.into_iter().chain(closed).collect()
}
