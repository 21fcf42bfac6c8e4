//! Who may answer a request: whom the policy names, by address, user or team (POL-38, POL-39), and who of them speaks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::AccessRequest;
use crate::access::permission;
use crate::ids::{AccessRequestId, JumpPolicyId, TeamId, UserId};
use crate::policy::jump_policy::JumpPolicy;
use crate::site::mail_address::{has_form_of_address, is_address};
use crate::site::user::User;
use crate::{Actor, Context, Refusal, World};

/// Most approvers of one request: each may be a mail. A policy that names more by its teams asks the first of them.
pub const APPROVERS_MAX: usize = 500;

/// Someone who may answer a request.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
pub struct Approver {
    /// The place among those of the request, from 0.
    pub index: u32,
    /// Where the mail goes; empty for a user without an address, who answers on the console (POL-31).
    pub address: String,
    /// The user, where the policy names one.
    pub user_id: Option<UserId>,
    /// What a user is called; empty for an address.
    pub name: String,
}

impl Approver {
    /// How other approvers are told who answered: by address (APPR-15), or by name where there is none.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.address.is_empty() {
            &self.name
        } else {
            &self.address
        }
    }
}

/// The approvers that a policy named when a request was made, shared by the requests that were made while it named the same.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ApproverList {
    /// The policy.
    pub policy: JumpPolicyId,
    /// Whom it named, each with its place.
    pub approvers: Vec<Approver>,
}

/// Whom a request under `policy` asks that is made now, the requester included.
pub(super) fn of_policy(world: &World, policy: &JumpPolicy) -> Vec<Approver> {
    let mut approvers = named_by(world, policy);
    approvers.truncate(APPROVERS_MAX);
    for (index, approver) in (0..).zip(&mut approvers) {
        approver.index = index;
    }
    approvers
}

/// The places of a list that a request of `requester` does not ask: their own, unless the policy lets requesters approve
/// themselves (APPR-32).
pub(super) fn not_asked(
    world: &World,
    policy: &JumpPolicy,
    list: &[Approver],
    requester: UserId,
) -> Vec<u32> {
    if may_approve_themselves(policy) {
        return Vec::new();
    }
    list.iter()
        .filter(|approver| is_requester(world, approver, requester))
        .map(|approver| approver.index)
        .collect()
}

/// Whether anybody could answer a request that `requester` makes now.
#[must_use]
pub fn is_anybody_left(world: &World, policy: &JumpPolicy, requester: UserId) -> bool {
    let list = of_policy(world, policy);
    not_asked(world, policy, &list, requester).len() < list.len()
}

/// Whether the request asks `user`.
#[must_use]
pub fn is_asked(world: &World, request: &AccessRequest, user: UserId) -> bool {
    world
        .approvers_of(request)
        .any(|approver| approver.user_id == Some(user))
}

/// Whoever the policy names and who is there: users first, by id, then addresses in their order; each address once.
fn named_by(world: &World, policy: &JumpPolicy) -> Vec<Approver> {
    let by_name = policy
        .approvers_by_name()
        .filter(|name| !has_form_of_address(name))
        .filter_map(|name| world.user_named(name));
    let by_id = policy
        .approval_user_ids
        .iter()
        .filter_map(|id| id.parse().ok().map(UserId));
    let by_team = teams_of(policy)
        .flat_map(|team| permission::members_of_team(world, team))
        .map(|(user, _)| user);
    let users: BTreeSet<UserId> = by_name.chain(by_id).chain(by_team).collect();

    let mut mailed: BTreeSet<String> = BTreeSet::new();
    let mut address_once = |address: &str| {
        let is_new = is_address(address) && mailed.insert(address.to_lowercase());
        is_new.then(|| address.to_owned())
    };
    let mut approvers: Vec<Approver> = Vec::new();
    let there = users
        .into_iter()
        .filter_map(|id| Some((id, world.users.get(&id).filter(|user| user.enabled)?)));
    for (id, user) in there {
        approvers.push(Approver {
            index: 0,
            // Who shares an address with another approver answers on the console: one mail to each address (APPR-06).
            address: address_once(&user.email_address).unwrap_or_default(),
            user_id: Some(id),
            name: user.public_display_name.clone(),
        });
    }
    for address in policy.approvers_by_name() {
        if let Some(address) = address_once(address) {
            approvers.push(Approver {
                address,
                ..Approver::default()
            });
        }
    }
    approvers
}

fn teams_of(policy: &JumpPolicy) -> impl Iterator<Item = TeamId> {
    let ids = policy.approval_team_ids.iter();
    ids.filter_map(|id| id.parse().ok().map(TeamId))
}

/// Whether the policy names the user, who is enabled: by id, by name or by a team. Asked for every row of a list, so it looks
/// at nobody else.
fn names_user(world: &World, policy: &JumpPolicy, user: UserId) -> bool {
    let is_the_user = |id: &String| id.parse() == Ok(user.0);
    world.users.get(&user).is_some_and(|user| user.enabled)
        && (policy.approval_user_ids.iter().any(is_the_user)
            || policy
                .approvers_by_name()
                .filter(|name| !has_form_of_address(name))
                .any(|name| world.user_named(name) == Some(user))
            || teams_of(policy).any(|team| permission::role_in_team(world, user, team).is_some()))
}

/// Whether the policy names the address, itself or by a user whose it is.
fn names_address(world: &World, policy: &JumpPolicy, address: &str) -> bool {
    policy
        .approvers_by_name()
        .any(|named| named.eq_ignore_ascii_case(address))
        || named_by(world, policy)
            .iter()
            .any(|named| named.address.eq_ignore_ascii_case(address))
}

fn may_approve_themselves(policy: &JumpPolicy) -> bool {
    policy.approval_approver_scope == "anyone"
}

/// The same user, or an address that is the requester's.
fn is_requester(world: &World, approver: &Approver, requester: UserId) -> bool {
    let address_of = |user: &User| user.email_address.to_lowercase();
    approver.user_id == Some(requester)
        || (!approver.address.is_empty()
            && world.users.get(&requester).map(address_of) == Some(approver.address.to_lowercase()))
}

/// Who speaks, if it is someone who may answer `request`: one of its approvers, whom the policy still names, and not its
/// requester (APPR-32, APPR-37).
///
/// # Errors
/// [`Refusal::SelfApproval`] for the requester, [`Refusal::NotAnApprover`] for whoever else may not answer, and not found for
/// users who may not even know of the request.
pub(super) fn speaking<'w>(
    world: &'w World,
    id: AccessRequestId,
    request: &'w AccessRequest,
    speaking_for: Option<UserId>,
    context: &Context,
) -> Result<&'w Approver, Refusal> {
    let user = match context.actor() {
        Actor::Approver { request: of, index } if *of == id => {
            let approver = world
                .approvers_of(request)
                .find(|approver| approver.index == *index)
                .ok_or(Refusal::NotAnApprover)?;
            return still(world, request, approver);
        }
        Actor::User(user) => *user,
        Actor::ApiAccount(_) => speaking_for.ok_or(Refusal::NotAnApprover)?,
        _ => return Err(Refusal::NotAnApprover),
    };
    match world
        .approvers_of(request)
        .find(|approver| approver.user_id == Some(user))
    {
        Some(approver) => still(world, request, approver),
        None if request.requester == user => Err(Refusal::SelfApproval),
        None if super::standing::is_known_to(world, request, user) => Err(Refusal::NotAnApprover),
        None => Err(Refusal::not_found("Access request")),
    }
}

/// The approver, if the policy as it is now still names them.
fn still<'w>(
    world: &World,
    request: &AccessRequest,
    approver: &'w Approver,
) -> Result<&'w Approver, Refusal> {
    let policy = world
        .jump_policies
        .get(&request.jump_policy_id)
        .ok_or(Refusal::NotAnApprover)?;
    if is_requester(world, approver, request.requester) && !may_approve_themselves(policy) {
        return Err(Refusal::SelfApproval);
    }
    let is_named = match approver.user_id {
        Some(user) => names_user(world, policy, user),
        None => names_address(world, policy, &approver.address),
    };
    is_named.then_some(approver).ok_or(Refusal::NotAnApprover)
}

/// Whether the approver at `index` of a request may still answer and look at it.
#[must_use]
pub fn is_still_one(world: &World, request: &AccessRequest, index: u32) -> bool {
    world
        .approvers_of(request)
        .find(|approver| approver.index == index)
        .is_some_and(|approver| still(world, request, approver).is_ok())
}
