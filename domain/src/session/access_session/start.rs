//! Jumping to an item: the gates in the order of SESS-17, and the check when the endpoint has brought the session up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attributes;
use super::ending::{failed, session_of};
use super::members::{By, Coming, come_in};
use super::{
    AccessSession, Approved, Customer, Established, Event, Failure, Representative, Started,
};
use crate::access::permission::Access;
use crate::fleet::capacity;
use crate::fleet::jump_client::{self, JumpClient};
use crate::ids::{
    AccessRequestId, JumpClientId, JumpItemRef, JumpPolicyId, Lsid, TicketRequestId, UserId,
};
use crate::items::shell;
use crate::policy::access_request;
use crate::policy::gates::{self, Opening, Supplied};
use crate::policy::inputs::Inputs;
use crate::site::user::User;
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing};

/// Items that may be started at once (SESS-12, LIM-12).
pub const ITEMS_PER_START_MAX: usize = 10;

/// The code name that stands for the external key among attributes of other systems (TICK-46).
pub const EXTERNAL_KEY: &str = "external_key";

/// A user asks to jump to an item.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
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

    /// What the user supplied, with a ticket or without one.
    #[must_use]
    pub const fn supplied(&self, ticket: bool) -> Supplied {
        Supplied {
            ticket,
            notification_consent: self.notification_consent,
            credentials: false,
            schedule_override: self.schedule_override,
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

/// The first gates of SESS-17, in its order: permission and method, role, item state.
fn pass(world: &World, user: UserId, item: JumpItemRef) -> Result<Passed<'_>, Refusal> {
    let access = gates::may_start(world, user, item)?;
    let account = world.users.get(&user).ok_or(Refusal::UserDisabled)?;
    let client = match item {
        JumpItemRef::JumpClient(client) => jump_client::startable(world, client)?,
        JumpItemRef::ShellJump(item) => return Err(shell::not_startable(world, item)),
    };
    Ok(Passed {
        user: account,
        access,
        client,
        policy: gates::effective_policy(world, &access, item),
    })
}

/// What a user may do on an item while a session runs there (CLNT-52 to CLNT-54): the site's setting, unless a Jump Policy
/// has its own. Where two policies speak, the one the session runs under and the one of who comes, both must let them.
fn may_join(world: &World, policies: [Option<JumpPolicyId>; 2]) -> bool {
    policies.iter().all(|policy| {
        let own = policy
            .and_then(|policy| world.jump_policies.get(&policy))
            .map_or("global", |policy| policy.simultaneous_jumps.as_str());
        match own {
            "global" => world.settings.simultaneous_jumps == "join",
            own => own == "join",
        }
    })
}

/// What a start would need: every gate in the order of SESS-17, without starting anything.
///
/// # Errors
/// The first gate that is closed whatever the user supplies.
pub fn readiness(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    supplied: &Supplied,
    now: Timestamp,
) -> Result<Opening, Refusal> {
    let passed = pass(world, user, item)?;
    running(world, user, item, &passed)?;
    gates::open(world, user, item, passed.policy, supplied, now)
}

/// The session that a Jump of the user to the item joins; none where it starts one, or is refused.
#[must_use]
pub fn would_join(world: &World, user: UserId, item: JumpItemRef) -> Option<Lsid> {
    let passed = pass(world, user, item).ok()?;
    let (lsid, _) = running(world, user, item, &passed).ok()??;
    Some(lsid)
}

/// The session that a Jump to the item joins, if there is one: on the item or, where the policy says so, on a copy of it.
fn running<'w>(
    world: &'w World,
    user: UserId,
    item: JumpItemRef,
    passed: &Passed<'_>,
) -> Result<Option<(Lsid, &'w AccessSession)>, Refusal> {
    match session_on(world, item) {
        Some((_, session)) if !may_join(world, [session.jump_policy_id, passed.policy]) => {
            Err(Refusal::JoinDenied)
        }
        Some(running) => Ok(Some(running)),
        None => Ok(on_a_copy(world, user, item, passed)),
    }
}

fn session_on(world: &World, item: JumpItemRef) -> Option<(Lsid, &AccessSession)> {
    let lsid = world.session_on(item)?;
    Some((lsid, world.sessions.get(&lsid)?))
}

/// The session on another item of the same endpoint, where the Jump Policy lets users join there too
/// (`simultaneous_jump_behavior_applies_to_copies`) and the user could jump to that item as well: a copy opens no door to
/// what goes on at an item that is out of the user's reach.
fn on_a_copy<'w>(
    world: &'w World,
    user: UserId,
    item: JumpItemRef,
    passed: &Passed<'_>,
) -> Option<(Lsid, &'w AccessSession)> {
    let policy = world.jump_policies.get(&passed.policy?)?;
    if !policy.simultaneous_jump_behavior_applies_to_copies {
        return None;
    }
    let copies = world.items_of_endpoint(passed.client.endpoint);
    copies
        .into_iter()
        .map(JumpItemRef::JumpClient)
        .filter(|copy| *copy != item && gates::may_start(world, user, *copy).is_ok())
        .filter_map(|copy| session_on(world, copy))
        .find(|(_, session)| may_join(world, [session.jump_policy_id, passed.policy]))
}

/// Begins a session, or joins the one that runs on the item: every gate in the order of SESS-17.
///
/// `ticket` is the request that the ticket system allowed, `from_ticket` the attributes it gave, by code name; they win over
/// the user's own, and [`EXTERNAL_KEY`] among them is the external key (TICK-46).
///
/// # Errors
/// The first gate that is closed; [`Refusal::StartNeeds`] with all that the user can still supply.
pub fn begin(
    world: &World,
    start: &Start,
    ticket: Option<TicketRequestId>,
    from_ticket: &BTreeMap<String, String>,
    context: &Context,
) -> Decision {
    let passed = pass(world, start.user, start.item)?;
    let running = running(world, start.user, start.item, &passed)?;
    let supplied = start.supplied(ticket.is_some());
    let opening = gates::open(
        world,
        start.user,
        start.item,
        passed.policy,
        &supplied,
        context.now,
    )?
    .complete()?;
    match running {
        Some((lsid, session)) => {
            let coming = Coming {
                user: start.user,
                address: &start.address,
                user_system: &start.user_system,
                by: By::Jump {
                    grant: passed.access.grant,
                    policy: passed.policy,
                    access_request: opening.access_request,
                },
            };
            let came = come_in(world, lsid, session, &coming)?;
            Ok(using(came, opening.access_request, lsid, start.user))
        }
        None => {
            let key = Some(&start.external_key).filter(|key| !key.is_empty());
            attributes::may_edit_external_key(world, key, context)?;
            let mut given = from_ticket.clone();
            // Only the ticket system may name the external key among attributes: users need a permission for it.
            let external_key = given
                .remove(EXTERNAL_KEY)
                .unwrap_or_else(|| start.external_key.clone());
            let mut attached = attributes::by_code_name(world, &start.attributes);
            attached.extend(attributes::by_code_name(world, &given));
            attributes::may_be_attached(world, &attached)?;
            attributes::check(&attached, &external_key)?;
            let with = With {
                opening,
                inputs: Inputs::of(world, start, supplied, ticket),
                ticket,
                attributes: attached,
                external_key,
            };
            begin_anew(world, start, &passed, with, context)
        }
    }
}

/// What a new session is given beside the user and the item.
struct With {
    opening: Opening,
    inputs: Option<Inputs>,
    ticket: Option<TicketRequestId>,
    attributes: BTreeMap<String, String>,
    external_key: String,
}

fn begin_anew(
    world: &World,
    start: &Start,
    passed: &Passed<'_>,
    with: With,
    context: &Context,
) -> Decision {
    if world.starting_users_but(start.user) >= world.settings.starting_users_max as usize {
        return Err(Refusal::TooManyStarting);
    }
    capacity::license_for(world, start.item)?;
    let Passed {
        user,
        access,
        client,
        policy,
    } = *passed;
    let opening = with.opening;
    let [representative_number, customer_number] = world.free_gsnumbers();
    let group = client.properties.group();
    let lsid = Lsid(context.fresh.value(0));
    let uses = opening.access_request;
    let started = crate::Event::AccessSession(
        lsid,
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
            attributes: with.attributes,
            external_key: with.external_key,
            session_policy_id: client.properties.session_policy_id,
            access_request_id: opening.access_request,
            approved: opening
                .access_request
                .and_then(|request| world.access_requests.get(&request))
                .map(|request| Approved {
                    start_at: request.start_at,
                    ends_at: request.ends_at,
                    jump_policy_name: request.jump_policy_name.clone(),
                    item_name: request.item_name.clone(),
                }),
            approver_comments: opening.approver_comments,
            ticket: with.ticket,
            notifications: opening.notifications,
            schedule_overridden: opening.schedule_overridden,
            recordings_disabled: opening.recordings_disabled,
            closes_at: opening.closes_at.filter(|_| opening.force_end),
            inputs: with.inputs,
        }),
    );
    Ok(using(vec![started], uses, lsid, start.user))
}

/// These events and, where an approved request let the user in, its use (APPR-01); nothing where the user was in already.
pub(super) fn using(
    mut events: Vec<crate::Event>,
    request: Option<AccessRequestId>,
    lsid: Lsid,
    user: UserId,
) -> Vec<crate::Event> {
    let request = request.filter(|_| !events.is_empty());
    events.extend(request.map(|request| access_request::used(request, lsid, user)));
    events
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
    if let Err(withdrawn) = stands(world, session, context.now) {
        return failed(lsid, Failure::Withdrawn, &withdrawn.to_string());
    }
    happened(crate::Event::AccessSession(
        lsid,
        Event::Established(Established {}),
    ))
}

/// Whether what let the session begin still holds (SESS-17). What the user had supplied by then counts as supplied.
pub(super) fn stands(
    world: &World,
    session: &AccessSession,
    now: Timestamp,
) -> Result<(), Refusal> {
    let passed = pass(world, session.owner, session.item)?;
    let supplied = Supplied {
        ticket: session.ticket.is_some(),
        notification_consent: true,
        credentials: true,
        schedule_override: session.schedule_overridden,
    };
    gates::open(
        world,
        session.owner,
        session.item,
        passed.policy,
        &supplied,
        now,
    )?
    .complete()
    .map(drop)
}
