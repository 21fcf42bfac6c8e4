//! Jumping to an item: the gates in the order of SESS-17, and the check when the endpoint has brought the session up.

use std::collections::BTreeMap;

use super::ending::{failed, session_of};
use super::{Customer, Established, Event, Failure, Representative, Started};
use crate::access::permission::{self, Access, JumpMethod};
use crate::access::role::JumpItemPermission;
use crate::fleet::jump_client::{self, JumpClient};
use crate::ids::{JumpClientId, JumpItemRef, JumpPolicyId, Lsid, UserId};
use crate::items::shell;
use crate::policy::jump_policy;
use crate::site::user::User;
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing};

/// A user asks to jump to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Who jumps.
    pub user: UserId,
    /// To what.
    pub item: JumpItemRef,
    /// The address the user comes from, with port where known; `Unknown` otherwise.
    pub address: String,
    /// The user's program and system, as far as known; `Unknown` otherwise.
    pub user_system: String,
    /// Whether the user agrees that others are told by mail of the session.
    pub notification_consent: bool,
    /// Whether the user jumps outside the schedule, where the policy lets them (POL-16).
    pub schedule_override: bool,
    /// Attributes of the session by code name (SESS-36).
    pub attributes: BTreeMap<String, String>,
    /// Links the session to something on another system; empty is none.
    pub external_key: String,
}

impl Start {
    /// Jump to `item`, with nothing supplied.
    #[must_use]
    pub fn new(user: UserId, item: JumpItemRef, address: String, user_system: String) -> Self {
        Self {
            user,
            item,
            address,
            user_system,
            notification_consent: false,
            schedule_override: false,
            attributes: BTreeMap::new(),
            external_key: String::new(),
        }
    }
}

/// What passed the gates that have no side effects.
struct Passed<'w> {
    user: &'w User,
    access: Access<'w>,
    client: &'w JumpClient,
    /// The membership's policy or, with "Set on Jump Items", the item's (POL-06, POL-07).
    policy: Option<JumpPolicyId>,
}

impl Passed<'_> {
    fn policy_gate(&self, world: &World, now: Timestamp) -> Result<(), Refusal> {
        match self.policy {
            Some(policy) => jump_policy::gate(world, policy, now),
            None => Ok(()),
        }
    }
}

/// The first gates of SESS-17, in its order: permission and method, role, item state.
fn pass(world: &World, user: UserId, item: JumpItemRef) -> Result<Passed<'_>, Refusal> {
    let account = world
        .users
        .get(&user)
        .filter(|user| user.enabled)
        .ok_or(Refusal::UserDisabled)?;
    let settings = permission::effective(world, user).ok_or(Refusal::UserDisabled)?;
    settings.need_method(JumpMethod::of(item))?;
    let access = permission::need(world, user, item, JumpItemPermission::Start)?;
    let client = match item {
        JumpItemRef::JumpClient(client) => jump_client::startable(world, client)?,
        JumpItemRef::ShellJump(item) => return Err(shell::not_startable(world, item)),
    };
    Ok(Passed {
        user: account,
        access,
        client,
        policy: access.jump_policy_id.or(client.properties.jump_policy_id),
    })
}

/// Begins a session: every gate in the order of SESS-17.
///
/// # Errors
/// The first gate that is closed.
pub fn begin(world: &World, start: &Start, context: &Context) -> Decision {
    let passed = pass(world, start.user, start.item)?;
    if world.session_on(start.item).is_some() {
        return Err(Refusal::JoinDenied);
    }
    passed.policy_gate(world, context.now)?;
    if world.starting_users_but(start.user) >= world.settings.starting_users_max as usize {
        return Err(Refusal::TooManyStarting);
    }
    let Passed {
        user,
        access,
        client,
        policy,
    } = passed;
    let [representative_number, customer_number] = world.free_gsnumbers();
    let group = client.properties.group();
    happened(crate::Event::AccessSession(
        Lsid(context.fresh.value(0)),
        Event::Started(Started {
            lseq: world.next_id("lseq"),
            item: start.item,
            group,
            group_name: world.group_name(group),
            jump_policy_id: policy,
            grant: access.grant,
            representative: Representative {
                user_id: start.user,
                gsnumber: representative_number,
                username: user.username.clone(),
                public_display_name: user.public_display_name.clone(),
                private_display_name: user.private_display_name.clone(),
                public_ip: start.address.clone(),
                os: start.user_system.clone(),
            },
            customer: Customer {
                gsnumber: customer_number,
                name: client.properties.name.clone(),
                username: client.facts.console_user.clone(),
                public_ip: client.public_ip.clone(),
                private_ip: client.facts.private_ip.clone(),
                hostname: client.facts.hostname.clone(),
                os: client.facts.operating_system.clone(),
            },
            attributes: start.attributes.clone(),
            external_key: start.external_key.clone(),
            closes_at: policy
                .and_then(|policy| jump_policy::ends_sessions_at(world, policy, context.now)),
        }),
    ))
}

pub(super) fn decide_establish(
    world: &World,
    lsid: Lsid,
    client: JumpClientId,
    context: &Context,
) -> Decision {
    let session = session_of(world, lsid, client)?;
    if session.established {
        return nothing();
    }
    if let Err(withdrawn) = pass(world, session.owner, session.item)
        .and_then(|passed| passed.policy_gate(world, context.now))
    {
        return failed(lsid, Failure::Withdrawn, &withdrawn.to_string());
    }
    happened(crate::Event::AccessSession(
        lsid,
        Event::Established(Established {}),
    ))
}
