//! Jump Policies: a plain record (POL-01) with a schedule of its own event beside it.
//!
//! Every published member is stored and returned. What a policy asks of a start, [`gates`](crate::policy::gates) say.

use serde::{Deserialize, Serialize};

use crate::ids::{JumpPolicyId, TeamId, UserId};
use crate::policy::schedule::Schedule;
use crate::record::{self, Field, Kind, Record};
use crate::site::mail_address::{self, has_form_of_address, is_address};
use crate::world::names;
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// What a Jump Policy asks of a session. Member names are those of the published schema (config-api.md 2.7).
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
#[serde(default)]
#[allow(
    missing_docs,
    reason = "the members are the published schema's, described in FIELDS"
)]
pub struct JumpPolicy {
    pub display_name: String,
    pub code_name: String,
    pub description: String,
    pub schedule_enabled: bool,
    pub simultaneous_jumps: String,
    pub simultaneous_jump_behavior_applies_to_copies: bool,
    pub simultaneous_jumps_rdp: String,
    pub external_tools_rdp_allowed: bool,
    pub external_tools_shell_allowed: bool,
    pub schedule_strict: bool,
    pub ticket_id_required: bool,
    pub two_factor_challenge_required: bool,
    pub session_start_notification: bool,
    pub session_end_notification: bool,
    pub notification_email_addresses: Vec<String>,
    pub notification_display_name: String,
    pub notification_email_language: String,
    pub approval_required: bool,
    pub approval_max_duration: u32,
    pub approval_scope: String,
    pub approval_email_addresses: Vec<String>,
    pub approval_user_ids: Vec<String>,
    pub approval_team_ids: Vec<String>,
    pub approval_display_name: String,
    pub approval_email_language: String,
    pub approval_approver_scope: String,
    pub recordings_disabled: bool,
}

impl Default for JumpPolicy {
    fn default() -> Self {
        Self {
            display_name: String::new(),
            code_name: String::new(),
            description: String::new(),
            schedule_enabled: true,
            simultaneous_jumps: "global".to_owned(),
            simultaneous_jump_behavior_applies_to_copies: false,
            simultaneous_jumps_rdp: "global".to_owned(),
            external_tools_rdp_allowed: true,
            external_tools_shell_allowed: true,
            schedule_strict: false,
            ticket_id_required: false,
            two_factor_challenge_required: false,
            session_start_notification: false,
            session_end_notification: false,
            notification_email_addresses: Vec::new(),
            notification_display_name: String::new(),
            notification_email_language: "en-us".to_owned(),
            approval_required: false,
            approval_max_duration: 480,
            approval_scope: "requestor".to_owned(),
            approval_email_addresses: Vec::new(),
            approval_user_ids: Vec::new(),
            approval_team_ids: Vec::new(),
            approval_display_name: String::new(),
            approval_email_language: "en-us".to_owned(),
            approval_approver_scope: "not_requestor".to_owned(),
            recordings_disabled: false,
        }
    }
}

/// Most recipients, and most approvers of each kind. Source: the published schema.
const ADDRESSES_MAX: usize = 100;

const ADDRESSES: Kind = Kind::Texts {
    members_max: ADDRESSES_MAX,
    text_max: 255,
};

impl Record for JumpPolicy {
    type Id = JumpPolicyId;
    const CATEGORY: &'static str = "jump_policy";
    const TITLE: &'static str = "Jump Policy";
    const STORED_NAMES: [&'static str; 3] = [
        "JumpPolicyCreated",
        "JumpPolicyChanged",
        "JumpPolicyDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "display_name",
            Kind::Name { min: 1, max: 255 },
            "What the policy is called; unique.",
        )
        .required(),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name for scripts; unique, generated where absent.",
        )
        .filter(),
        Field::new(
            "description",
            Kind::Text { min: 0, max: 1000 },
            "What the policy is for.",
        ),
        Field::new(
            "schedule_enabled",
            Kind::Boolean,
            "Sessions are permitted only inside the schedule.",
        ),
        Field::new(
            "simultaneous_jumps",
            Kind::Word(&["global", "join", "disallow"]),
            "What a second user may do while a session runs.",
        ),
        Field::new(
            "simultaneous_jump_behavior_applies_to_copies",
            Kind::Boolean,
            "Copies of one client count as one; only with simultaneous_jumps join.",
        ),
        Field::new(
            "simultaneous_jumps_rdp",
            Kind::Word(&["global", "new_session", "disallow"]),
            "The same for Remote RDP items.",
        ),
        Field::new(
            "external_tools_rdp_allowed",
            Kind::Boolean,
            "Follow the site's setting for external RDP tools.",
        ),
        Field::new(
            "external_tools_shell_allowed",
            Kind::Boolean,
            "Follow the site's setting for external shell tools.",
        ),
        Field::new(
            "schedule_strict",
            Kind::Boolean,
            "End sessions when the schedule no longer permits access.",
        ),
        Field::new(
            "ticket_id_required",
            Kind::Boolean,
            "Ask for a ticket ID before a session starts.",
        ),
        Field::new(
            "two_factor_challenge_required",
            Kind::Boolean,
            "Ask for a second factor before a session starts.",
        ),
        Field::new(
            "session_start_notification",
            Kind::Boolean,
            "Mail the recipients when a session starts.",
        ),
        Field::new(
            "session_end_notification",
            Kind::Boolean,
            "Mail the recipients when a session ends.",
        ),
        Field::new(
            "notification_email_addresses",
            ADDRESSES,
            "Who is notified.",
        ),
        Field::new(
            "notification_display_name",
            Kind::Name { min: 0, max: 255 },
            "What the recipients are called in the prompt.",
        ),
        Field::new(
            "notification_email_language",
            Kind::Language,
            "The language of notifications.",
        ),
        Field::new(
            "approval_required",
            Kind::Boolean,
            "Ask for approval before a session starts.",
        ),
        Field::new(
            "approval_max_duration",
            Kind::Integer {
                min: 1,
                max: 524_160,
            },
            "Longest access that can be approved, in minutes.",
        ),
        Field::new(
            "approval_scope",
            Kind::Word(&["requestor", "anyone"]),
            "Whom an approval is good for.",
        ),
        Field::new(
            "approval_email_addresses",
            ADDRESSES,
            "Who may approve, by mail address or by user name; what has an @ is an address.",
        ),
        Field::new(
            "approval_user_ids",
            ADDRESSES,
            "Who may approve, by user id.",
        ),
        Field::new(
            "approval_team_ids",
            ADDRESSES,
            "Who may approve, by team id.",
        ),
        Field::new(
            "approval_display_name",
            Kind::Name { min: 0, max: 255 },
            "What the approvers are called.",
        ),
        Field::new(
            "approval_email_language",
            Kind::Language,
            "The language of requests.",
        ),
        Field::new(
            "approval_approver_scope",
            Kind::Word(&["not_requestor", "anyone"]),
            "Whether requesters may approve themselves.",
        ),
        Field::new(
            "recordings_disabled",
            Kind::Boolean,
            "Record nothing of sessions under this policy.",
        ),
    ];

    fn find(world: &World, id: JumpPolicyId) -> Option<&Self> {
        world.jump_policies.get(&id)
    }

    fn put(world: &mut World, id: JumpPolicyId, record: Self, _at: Timestamp) {
        world.put_policy(id, record);
    }

    fn remove(world: &mut World, id: JumpPolicyId) {
        world.forget_policy(id);
    }

    fn complete(&mut self, world: &World, id: Option<JumpPolicyId>, _context: &Context) {
        self.notification_email_addresses = each_once(&self.notification_email_addresses);
        self.approval_email_addresses = self.approvers_by_name().map(str::to_owned).collect();
        if self.code_name.is_empty() {
            self.code_name =
                record::generate_code_name(&self.display_name, "jump_policy", |name| {
                    world
                        .names
                        .is_taken(names::Kind::PolicyCode, name, id.map(|id| id.0))
                });
        }
    }

    fn check(&self, world: &World, id: Option<JumpPolicyId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let number = id.map(|id| id.0);
        if world
            .names
            .is_taken(names::Kind::Policy, &self.display_name, number)
        {
            errors.push("display_name", "The display_name has already been taken.");
        }
        if world
            .names
            .is_taken(names::Kind::PolicyCode, &self.code_name, number)
        {
            errors.push("code_name", "The code_name has already been taken.");
        }
        if self.schedule_enabled
            && self.approval_required
            && !world.settings.schedule_with_approval_allowed
        {
            errors.push(
                "approval_required",
                "The schedule and approval cannot both be enabled on one Jump Policy.",
            );
        }
        if self.schedule_strict && !self.schedule_enabled {
            errors.push(
                "schedule_strict",
                "The schedule_strict field needs schedule_enabled.",
            );
        }
        if self.simultaneous_jump_behavior_applies_to_copies && self.simultaneous_jumps != "join" {
            errors.push(
                "simultaneous_jump_behavior_applies_to_copies",
                "The simultaneous_jump_behavior_applies_to_copies field needs simultaneous_jumps to be join.",
            );
        }
        if self.schedule_strict && id.is_some_and(|id| overrides_schedule(world, id)) {
            errors.push(
                "schedule_strict",
                "The schedule_strict field cannot be combined with a schedule that users may override.",
            );
        }
        self.check_notification(world, id, &mut errors);
        self.check_approval(&mut errors);
        self.check_approvers(world, id, &mut errors);
        errors.into_result(())
    }

    fn may_be_deleted(world: &World, id: JumpPolicyId, now: Timestamp) -> Result<(), Refusal> {
        world.not_used(Self::TITLE, world.users_of_policy(id, now))
    }
}

impl JumpPolicy {
    /// The approvers of `approval_email_addresses`, one by one: addresses, and names of users (POL-39). What has the form of an
    /// address is one, whatever users are called, and several may stand in one text.
    pub fn approvers_by_name(&self) -> impl Iterator<Item = &str> {
        self.approval_email_addresses.iter().flat_map(|text| {
            let is_address = has_form_of_address(text);
            let addresses = is_address.then(|| mail_address::split(text));
            let name = (!is_address).then_some(text.as_str());
            addresses.into_iter().flatten().chain(name)
        })
    }

    /// POL-27, POL-28, POL-29, POL-38, POL-41
    fn check_notification(
        &self,
        world: &World,
        id: Option<JumpPolicyId>,
        errors: &mut FieldErrors,
    ) {
        let is_on = self.session_start_notification || self.session_end_notification;
        let addresses = &self.notification_email_addresses;
        if is_on && addresses.is_empty() {
            errors.push("notification_email_addresses", "The notification_email_addresses field is required when a notification is enabled.");
        }
        if addresses.len() > ADDRESSES_MAX {
            errors.push(
                "notification_email_addresses",
                format!("The notification_email_addresses field must not have more than {ADDRESSES_MAX} members."),
            );
        }
        // One that was named before addresses were looked at as closely stands in no other change's way.
        let before = id.and_then(|id| world.jump_policies.get(&id));
        let before = before.map(|before| each_once(&before.notification_email_addresses));
        let was_named = |address| {
            before
                .as_ref()
                .is_some_and(|before| before.contains(address))
        };
        if !addresses
            .iter()
            .all(|address| was_named(address) || is_address(address))
        {
            errors.push(
                "notification_email_addresses",
                "The notification_email_addresses must be valid e-mail addresses.",
            );
        }
        if is_on && self.notification_display_name.trim().is_empty() {
            errors.push(
                "notification_display_name",
                "The notification_display_name field is required when a notification is enabled.",
            );
        }
    }

    /// POL-29, POL-40, POL-41
    fn check_approval(&self, errors: &mut FieldErrors) {
        let is_by_nobody = self.approval_email_addresses.is_empty()
            && self.approval_user_ids.is_empty()
            && self.approval_team_ids.is_empty();
        if self.approval_email_addresses.len() > ADDRESSES_MAX {
            errors.push(
                "approval_email_addresses",
                format!("The approval_email_addresses field must not have more than {ADDRESSES_MAX} members."),
            );
        }
        if self.approval_required && is_by_nobody {
            errors.push(
                "approval_email_addresses",
                "An approver is required when approval is enabled.",
            );
        }
        if self.approval_required && self.approval_display_name.trim().is_empty() {
            errors.push(
                "approval_display_name",
                "The approval_display_name field is required when approval is enabled.",
            );
        }
    }

    /// Approvers are addresses, user names, users and teams that are there (POL-39). One who was named before and has gone since
    /// does not stand in the way of another change.
    fn check_approvers(&self, world: &World, id: Option<JumpPolicyId>, errors: &mut FieldErrors) {
        let before = id.and_then(|id| world.jump_policies.get(&id));
        let lists: [(&str, &[String], ApproverKnown); 3] = [
            (
                "approval_email_addresses",
                &self.approval_email_addresses,
                |world, name| {
                    if has_form_of_address(name) {
                        is_address(name)
                    } else {
                        world.user_named(name).is_some()
                    }
                },
            ),
            ("approval_user_ids", &self.approval_user_ids, |world, id| {
                id.parse().is_ok_and(|id| world.users.contains(&UserId(id)))
            }),
            ("approval_team_ids", &self.approval_team_ids, |world, id| {
                id.parse().is_ok_and(|id| world.teams.contains(&TeamId(id)))
            }),
        ];
        for (field, named, is_known) in lists {
            let named_before = before.map(|before| before.approvers_in(field));
            let was_named = |name: &String| {
                named_before
                    .as_ref()
                    .is_some_and(|before| before.contains(&name.as_str()))
            };
            for name in named.iter().filter(|name| !was_named(name)) {
                if !is_known(world, name) {
                    errors.push(field, format!("The selected {field} is invalid: {name}"));
                }
            }
        }
    }

    fn approvers_in(&self, field: &str) -> Vec<&str> {
        let ids = match field {
            "approval_email_addresses" => return self.approvers_by_name().collect(),
            "approval_user_ids" => &self.approval_user_ids,
            _ => &self.approval_team_ids,
        };
        ids.iter().map(String::as_str).collect()
    }
}

/// Whether an approver of this name is there.
type ApproverKnown = fn(&World, &str) -> bool;

/// Recipients may be written one a member, or several in one (POL-27); each counts once.
fn each_once(addresses: &[String]) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for address in addresses.iter().flat_map(|text| mail_address::split(text)) {
        if !known
            .iter()
            .any(|known| known.eq_ignore_ascii_case(address))
        {
            known.push(address.to_owned());
        }
    }
    known
}

/// Whether the policy's schedule is enabled and permits no session at any time, which nobody is likely to have meant: it has no
/// entries. The Configuration API can't write any, and enables it by default.
#[must_use]
pub fn is_never_open(world: &World, id: JumpPolicyId) -> bool {
    let enabled = world
        .jump_policies
        .get(&id)
        .is_some_and(|policy| policy.schedule_enabled);
    enabled
        && world
            .schedules
            .get(&id)
            .is_none_or(|schedule| schedule.entries.is_empty())
}

fn overrides_schedule(world: &World, id: JumpPolicyId) -> bool {
    world
        .schedules
        .get(&id)
        .is_some_and(|schedule| schedule.override_allowed)
}

/// What may be asked of a Jump Policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete the policy itself.
    Record(record::Command<JumpPolicy>),
    /// Set the whole schedule.
    SetSchedule(JumpPolicyId, Schedule),
}

/// The schedule was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSet {
    /// The schedule since.
    pub schedule: Schedule,
}

/// What happens to a Jump Policy. Expected rate: a few a week.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// The policy itself.
    Record(record::Event<JumpPolicy>),
    /// The schedule was set.
    ScheduleSet(ScheduleSet),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "JumpPolicyCreated",
        "JumpPolicyChanged",
        "JumpPolicyDeleted",
        "JumpPolicyScheduleSet",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::ScheduleSet(_) => "JumpPolicyScheduleSet",
        }
    }

    /// Reads an event back; `None` if the name is not one of a Jump Policy's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "JumpPolicyScheduleSet" => {
                serde_json::from_slice(text).map(|event| Some(Self::ScheduleSet(event)))
            }
            _ => Ok(record::Event::from_stored(name, text)?.map(Self::Record)),
        }
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(command) => Ok(record::decide(world, command, context)?
            .map(|(policy, event)| crate::Event::JumpPolicy(policy, Event::Record(event)))
            .into_iter()
            .collect()),
        Command::SetSchedule(policy, schedule) => decide_set_schedule(world, *policy, schedule),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, policy: JumpPolicyId, event: &Event, at: Timestamp) {
    let revision = world.jump_policy_revisions.get(&policy);
    let next = revision.map_or(0, |revision| revision + 1);
    world.jump_policy_revisions.insert(policy, next);
    match event {
        Event::Record(event) => record::apply(world, policy, event, at),
        Event::ScheduleSet(set) => world.schedules.insert(policy, set.schedule.clone()),
    }
}

fn decide_set_schedule(world: &World, id: JumpPolicyId, schedule: &Schedule) -> Decision {
    let policy = world
        .jump_policies
        .get(&id)
        .ok_or(Refusal::not_found(JumpPolicy::TITLE))?;
    schedule.check(policy.schedule_enabled)?;
    if schedule.override_allowed && policy.schedule_strict {
        return Err(Refusal::field(
            "override_allowed",
            "Users cannot override a schedule that ends sessions.",
        ));
    }
    if world.schedules.get(&id) == Some(schedule) {
        return nothing();
    }
    happened(crate::Event::JumpPolicy(
        id,
        Event::ScheduleSet(ScheduleSet {
            schedule: schedule.clone(),
        }),
    ))
}

/// When the schedule of the policy `id` ends the sessions that run under it: from `from` on, at `from` itself where it is closed
/// then (POL-17). None where it ends none: no schedule, or one that lets sessions go on (POL-12).
#[must_use]
pub fn ends_sessions_at(world: &World, id: JumpPolicyId, from: Timestamp) -> Option<Timestamp> {
    let policy = world.jump_policies.get(&id)?;
    if !policy.schedule_enabled || !policy.schedule_strict {
        return None;
    }
    let closes = world
        .schedules
        .get(&id)
        .and_then(|schedule| schedule.closes_after(from));
    Some(closes.unwrap_or(from))
}
