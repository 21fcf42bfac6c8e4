//! A session as reports tell it: who, where, from when to when, and what happened in it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::Timestamp;
use domain::ids::{JumpGroupRef, JumpItemRef, JumpPolicyId, Lsid};
use domain::session::access_session::{
    AttributesChanged, Customer, Departed, Departure, EndReason, Ended, Joined, OwnerChanged,
    Representative, Started,
};
use domain::session::details::{By, Category, DetailRecorded, File, Kind, Toward};
use serde::{Deserialize, Serialize};

/// Everything that a report of one session needs.
///
/// A session begins when the endpoint has brought it up. One that never came up is none.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    /// Which session.
    pub lsid: Lsid,
    /// Counts sessions (REP-26).
    pub lseq: u32,
    /// The item it was with.
    pub item: JumpItemRef,
    /// The group the item was in (REP-30).
    pub group: JumpGroupRef,
    /// What the group was called at the time.
    pub group_name: String,
    /// The Jump Policy that applied.
    pub jump_policy_id: Option<JumpPolicyId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs and where it was closed abnormally (REP-28).
    pub ended_at: Option<Timestamp>,
    /// When it was over, however it was closed; none while it runs.
    pub over_at: Option<Timestamp>,
    /// Why it ended; none while it runs.
    pub end_reason: Option<EndReason>,
    /// The one endpoint (REP-39).
    pub customer: Customer,
    /// One per connection of a user who took part, in the order they came (REP-40).
    pub members: Vec<Member>,
    /// Attributes by code name (REP-32).
    pub attributes: BTreeMap<String, String>,
    /// Links it to something on another system; empty is none (REP-85).
    pub external_key: String,
    /// What was done to files.
    pub files: FileCounts,
    /// What happened, in order (REP-44).
    pub details: Vec<Detail>,
}

/// What was done to files in a session (REP-37).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// Put or fetched.
    pub transferred: u64,
    /// Renamed or moved.
    pub moved: u64,
    /// Deleted.
    pub deleted: u64,
}

/// What a listing needs of a session (REP-55). Recordings come with the events that bring them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// Which session.
    pub lsid: Lsid,
    /// When it began.
    pub started_at: Timestamp,
    /// Links it to something on another system; empty is none (REP-56).
    pub external_key: String,
}

/// One connection of a user who took part.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The user as known at the time (REP-43).
    pub representative: Representative,
    /// Whether this is the session's owner; of one that is over, the last.
    pub owner: bool,
    /// Whether the user came by invitation.
    pub invited: bool,
    /// When the user came, or came back.
    pub joined_at: Timestamp,
    /// How long the user had taken part before that, in whole seconds.
    pub earlier: i64,
    /// When the user went; none while there.
    pub departed_at: Option<Timestamp>,
}

/// Something that happened in a session (REP-44 to REP-54).
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// When.
    pub at: Timestamp,
    /// What, in the words of REP-45, REP-46 and REP-84.
    pub event_type: &'static str,
    /// Who did it.
    pub performed_by: Entity,
    /// To whom, where it was done to someone.
    pub destination: Option<Entity>,
    /// What was said (REP-50).
    pub body: Option<String>,
    /// Files it was about (REP-51).
    pub files: Vec<File>,
    /// Values by name, in order (REP-54).
    pub data: Vec<(Cow<'static, str>, String)>,
    /// What the endpoint told of itself (REP-52, REP-53).
    pub system_information: Vec<Category>,
}

impl Detail {
    fn new(at: Timestamp, event_type: &'static str, performed_by: Entity) -> Self {
        Self {
            at,
            event_type,
            performed_by,
            destination: None,
            body: None,
            files: Vec::new(),
            data: Vec::new(),
            system_information: Vec::new(),
        }
    }

    fn toward(self, destination: Entity) -> Self {
        Self {
            destination: Some(destination),
            ..self
        }
    }

    fn with(self, data: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let data = data
            .into_iter()
            .map(|(name, value)| (Cow::Borrowed(name), value))
            .collect();
        Self { data, ..self }
    }
}

/// Who did something, or to whom it was done (REP-48, REP-49).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Of which kind.
    pub kind: EntityKind,
    /// The number of the connection; 0 for the system.
    pub gsnumber: u32,
    /// What it is called.
    pub name: Cow<'static, str>,
}

/// Kinds of entities (REP-49).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityKind {
    /// The server.
    System,
    /// The endpoint.
    Customer,
    /// A user.
    Representative,
    /// All who take part; only as a destination.
    Everyone,
}

impl EntityKind {
    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Customer => "customer",
            Self::Representative => "representative",
            Self::Everyone => "everyone",
        }
    }
}

impl SessionReport {
    /// The owner's connection.
    #[must_use]
    pub fn owner(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.owner)
    }

    /// Whether it was closed abnormally, and so has no end time (REP-28).
    #[must_use]
    pub fn is_abnormal(&self) -> bool {
        self.over_at.is_some() && self.ended_at.is_none()
    }

    /// How long it lasted, from the second in which it began to that in which it ended, as both are shown; one that runs is counted until `now` (REP-87).
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> i64 {
        seconds_between(self.started_at, self.over_at.unwrap_or(now))
    }
}

impl Member {
    /// How long the user took part, in whole seconds; one who still does is counted until `now`.
    #[must_use]
    pub fn seconds_involved(&self, now: Timestamp) -> i64 {
        let until = self.departed_at.unwrap_or(now);
        self.earlier + seconds_between(self.joined_at, until)
    }
}

fn seconds_between(from: Timestamp, until: Timestamp) -> i64 {
    (until.unix_seconds() - from.unix_seconds()).max(0)
}

impl Entity {
    /// The server before both sides are there (config-api.md 3.1).
    fn before_start() -> Self {
        Self {
            kind: EntityKind::System,
            gsnumber: 0,
            name: Cow::Borrowed("Pre-start Conference"),
        }
    }

    /// The server.
    fn system() -> Self {
        Self {
            kind: EntityKind::System,
            gsnumber: 0,
            name: Cow::Borrowed("Privileged Remote Access"),
        }
    }

    /// All who take part.
    fn everyone() -> Self {
        Self {
            kind: EntityKind::Everyone,
            gsnumber: 0,
            name: Cow::Borrowed("Everyone"),
        }
    }

    fn customer(customer: &Customer) -> Self {
        Self {
            kind: EntityKind::Customer,
            gsnumber: customer.gsnumber,
            name: Cow::Owned(customer.name.clone()),
        }
    }

    fn representative(representative: &Representative) -> Self {
        Self {
            kind: EntityKind::Representative,
            gsnumber: representative.gsnumber,
            name: Cow::Owned(shown_name(representative).to_owned()),
        }
    }
}

/// What reports call a user: as colleagues do, else as others do, else by the name to sign in with.
fn shown_name(representative: &Representative) -> &str {
    let names = [
        &representative.private_display_name,
        &representative.public_display_name,
    ];
    names
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or(&representative.username)
}

/// What a row of the report index holds of a session: the facts of its events as they were recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// How it began.
    pub(crate) started: Started,
    /// Who came and went since, by position and time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) conference: Vec<(u64, Timestamp, Conference)>,
    /// Its attributes as they are now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, String>,
    /// Its external key as it is now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) external_key: String,
    /// What was done to files.
    #[serde(default)]
    pub(crate) files: FileCounts,
    /// How many details were recorded.
    #[serde(default)]
    pub(crate) details: u32,
    /// How it ended, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<(Timestamp, Ended)>,
}

/// Someone came, went or took over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Conference {
    Joined(Joined),
    Departed(Departed),
    OwnerChanged(OwnerChanged),
}

/// A detail as it was recorded, by position and time.
pub(crate) type Recorded = (u64, Timestamp, DetailRecorded);

impl Facts {
    pub(crate) fn of(started: Started) -> Self {
        Self {
            attributes: started.attributes.clone(),
            external_key: started.external_key.clone(),
            started,
            conference: Vec::new(),
            files: FileCounts::default(),
            details: 0,
            over: None,
        }
    }

    pub(crate) fn change_attributes(&mut self, changed: &AttributesChanged) {
        for (name, value) in &changed.attributes {
            match value {
                Some(value) => self.attributes.insert(name.clone(), value.clone()),
                None => self.attributes.remove(name),
            };
        }
        if let Some(key) = &changed.external_key {
            self.external_key.clone_from(key);
        }
    }

    pub(crate) fn count(&mut self, recorded: &DetailRecorded) {
        self.details = self.details.saturating_add(1);
        let files = recorded.detail.files.len() as u64;
        match recorded.detail.kind {
            Kind::FileUpload | Kind::FileDownload => self.files.transferred += files,
            Kind::FileMoved => self.files.moved += files,
            Kind::FileDeleted => self.files.deleted += files,
            _ => {}
        }
    }

    /// The report of the session `lsid`, which came up at `started_at`.
    pub(crate) fn report(
        self,
        lsid: Lsid,
        started_at: Timestamp,
        recorded: Vec<Recorded>,
    ) -> SessionReport {
        let over_at = self.over.as_ref().map(|(at, _)| *at);
        let members = self.members(started_at, over_at);
        let details = self.details(started_at, &members, recorded);
        let ended_at = self.ended_at();
        let end_reason = self.over.map(|(_, ended)| ended.reason);
        let started = self.started;
        SessionReport {
            lsid,
            lseq: started.lseq,
            item: started.item,
            group: started.group,
            group_name: started.group_name,
            jump_policy_id: started.jump_policy_id,
            started_at,
            ended_at,
            over_at,
            end_reason,
            customer: started.customer,
            members,
            attributes: self.attributes,
            external_key: self.external_key,
            files: self.files,
            details,
        }
    }

    /// The end time that reports show; none for one that was closed abnormally (REP-28).
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        self.over
            .as_ref()
            .filter(|(_, ended)| !ended.reason.is_abnormal())
            .map(|(at, _)| *at)
    }

    /// One per connection (REP-40, REP-41).
    fn members(&self, started_at: Timestamp, over_at: Option<Timestamp>) -> Vec<Member> {
        let mut members = vec![Member {
            representative: self.started.representative.clone(),
            owner: true,
            invited: false,
            joined_at: started_at,
            earlier: 0,
            departed_at: None,
        }];
        for (_, at, conference) in &self.conference {
            // Who came while it was starting takes part from its beginning on.
            let at = (*at).max(started_at);
            match conference {
                Conference::Joined(joined) => {
                    let number = joined.representative.gsnumber;
                    match members.iter_mut().find(|member| has(member, number)) {
                        Some(back) => {
                            let until = back.departed_at.unwrap_or(at);
                            back.earlier += seconds_between(back.joined_at, until);
                            back.joined_at = at;
                            back.departed_at = None;
                        }
                        None => members.push(Member {
                            representative: joined.representative.clone(),
                            owner: false,
                            invited: joined.invited,
                            joined_at: at,
                            earlier: 0,
                            departed_at: None,
                        }),
                    }
                }
                Conference::Departed(departed) => {
                    for member in &mut members {
                        if has(member, departed.gsnumber) {
                            member.departed_at = Some(at);
                        }
                    }
                }
                Conference::OwnerChanged(changed) => {
                    for member in &mut members {
                        member.owner = has(member, changed.gsnumber);
                    }
                }
            }
        }
        for member in &mut members {
            member.departed_at = member.departed_at.or(over_at);
        }
        members
    }

    fn details(
        &self,
        started_at: Timestamp,
        members: &[Member],
        recorded: Vec<Recorded>,
    ) -> Vec<Detail> {
        let mut details = self.beginning(started_at);
        let conference = self.conference.iter().map(|(position, at, conference)| {
            let at = (*at).max(started_at);
            (*position, conference_detail(at, conference, members))
        });
        let recorded = recorded.into_iter().map(|(position, at, recorded)| {
            (
                position,
                recorded_detail(at, recorded, &self.started, members),
            )
        });
        let mut between: Vec<(u64, Detail)> = conference.chain(recorded).collect();
        between.sort_by_key(|(position, _)| *position);
        details.extend(between.into_iter().map(|(_, detail)| detail));
        if let Some((at, ended)) = &self.over {
            let present = self.present_at_end(members);
            details.extend(end(*at, ended, &present, &self.started.customer));
        }
        details
    }

    /// Who was there when it ended.
    fn present_at_end<'m>(&self, members: &'m [Member]) -> Vec<&'m Representative> {
        let gone = |number: u32| {
            let last = self
                .conference
                .iter()
                .rev()
                .find_map(|(_, _, event)| match event {
                    Conference::Joined(joined) if joined.representative.gsnumber == number => {
                        Some(false)
                    }
                    Conference::Departed(departed) if departed.gsnumber == number => Some(true),
                    _ => None,
                });
            last.unwrap_or(false)
        };
        members
            .iter()
            .map(|member| &member.representative)
            .filter(|representative| !gone(representative.gsnumber))
            .collect()
    }

    fn beginning(&self, started_at: Timestamp) -> Vec<Detail> {
        let representative = &self.started.representative;
        let customer = &self.started.customer;
        let at_start = |event_type| Detail::new(started_at, event_type, Entity::before_start());
        let mut details = vec![at_start("Session Start")];
        if let Some(request) = self.started.access_request_id {
            let mut data = vec![("request_id", request.to_string())];
            if let Some(approved) = &self.started.approved {
                let seconds = approved.ends_at.since(approved.start_at) / domain::time::SECOND;
                data.extend([
                    (
                        "request_start_time",
                        approved.start_at.unix_seconds().to_string(),
                    ),
                    ("request_duration", seconds.to_string()),
                    ("jump_policy_name", approved.jump_policy_name.clone()),
                    ("jump_item_type", self.started.item.type_name().to_owned()),
                    ("jump_item_name", approved.item_name.clone()),
                ]);
            }
            if let Some(comments) = &self.started.approver_comments {
                data.push(("comments", comments.clone()));
            }
            details.push(
                at_start("Jump Item Authorization Request Utilized")
                    .toward(Entity::representative(representative))
                    .with(data),
            );
        }
        details.extend([
            at_start("Conference Member Added")
                .toward(Entity::representative(representative))
                .with(known_of(representative)),
            at_start("Conference Owner Changed")
                .toward(Entity::representative(representative))
                .with([("owner", shown_name(representative).to_owned())]),
            at_start("Conference Member Added")
                .toward(Entity::customer(customer))
                .with([
                    ("name", customer.name.clone()),
                    ("private_ip", customer.private_ip.clone()),
                    ("public_ip", customer.public_ip.clone()),
                    ("hostname", customer.hostname.clone()),
                    ("os", customer.os.clone()),
                ]),
        ]);
        details
    }
}

fn has(member: &Member, gsnumber: u32) -> bool {
    member.representative.gsnumber == gsnumber
}

/// REP-54: what is told of a user who comes.
fn known_of(representative: &Representative) -> [(&'static str, String); 6] {
    [
        ("private_name", representative.private_display_name.clone()),
        ("username", representative.username.clone()),
        ("private_ip", "Unknown".to_owned()),
        ("public_ip", representative.public_ip.clone()),
        ("os", representative.os.clone()),
        ("user_id", representative.user_id.to_string()),
    ]
}

fn member_entity(members: &[Member], gsnumber: u32) -> Entity {
    members
        .iter()
        .find(|member| has(member, gsnumber))
        .map_or_else(Entity::system, |member| {
            Entity::representative(&member.representative)
        })
}

fn conference_detail(at: Timestamp, conference: &Conference, members: &[Member]) -> Detail {
    match conference {
        Conference::Joined(joined) => Detail::new(at, "Conference Member Added", Entity::system())
            .toward(Entity::representative(&joined.representative))
            .with(known_of(&joined.representative)),
        Conference::Departed(departed) => Detail::new(
            at,
            "Conference Member Departed",
            member_entity(members, departed.gsnumber),
        )
        .with(reason_of(departed)),
        Conference::OwnerChanged(changed) => {
            let owner = member_entity(members, changed.gsnumber);
            let name = owner.name.clone().into_owned();
            Detail::new(at, "Conference Owner Changed", Entity::system())
                .toward(owner)
                .with([("owner", name)])
        }
    }
}

/// Why a user went, where it was not their own doing.
fn reason_of(departed: &Departed) -> Vec<(&'static str, String)> {
    if departed.reason == Departure::Left {
        return Vec::new();
    }
    let reason = ("reason", departed.reason.words().to_owned());
    let detail = Some(("detail", departed.detail.clone())).filter(|(_, words)| !words.is_empty());
    [reason].into_iter().chain(detail).collect()
}

fn recorded_detail(
    at: Timestamp,
    recorded: DetailRecorded,
    started: &Started,
    members: &[Member],
) -> Detail {
    let detail = recorded.detail;
    let form = detail.kind.form();
    let by = match recorded.by {
        By::Endpoint => Entity::customer(&started.customer),
        By::Member { gsnumber } => member_entity(members, gsnumber),
    };
    let destination = form.toward.then(|| match detail.toward {
        None | Some(Toward::Everyone) => Entity::everyone(),
        Some(Toward::Endpoint) => Entity::customer(&started.customer),
        Some(Toward::Member { gsnumber }) => member_entity(members, gsnumber),
    });
    // REP-51: the one file, or the first of them, stands among the values as well.
    let file = detail.files.first().into_iter().flat_map(|file| {
        [
            (Cow::Borrowed("filename"), file.name.clone()),
            (Cow::Borrowed("filesize"), file.size.to_string()),
        ]
    });
    let values = detail
        .values
        .into_iter()
        .map(|(name, value)| (Cow::Owned(name), value));
    Detail {
        destination,
        body: detail.body,
        data: file.chain(values).collect(),
        system_information: detail.system_information,
        files: detail.files,
        ..Detail::new(at, form.word, by)
    }
}

/// What happens at the end: whoever ended it goes first.
fn end(
    at: Timestamp,
    ended: &Ended,
    present: &[&Representative],
    customer: &Customer,
) -> Vec<Detail> {
    let departed = |performed_by| Detail::new(at, "Conference Member Departed", performed_by);
    let users = present
        .iter()
        .map(|representative| departed(Entity::representative(representative)));
    let endpoint = departed(Entity::customer(customer));
    let mut details: Vec<Detail> = match ended.reason {
        EndReason::Endpoint
        | EndReason::AgentLost
        | EndReason::ItemDeleted
        | EndReason::IdentityInDoubt => [endpoint].into_iter().chain(users).collect(),
        EndReason::Owner
        | EndReason::Administrator
        | EndReason::Api
        | EndReason::ScheduleClosed
        | EndReason::Inactive
        | EndReason::AccessWithdrawn
        | EndReason::NoOwner => users.chain([endpoint]).collect(),
    };
    let mut data = vec![("reason", ended.reason.words().to_owned())];
    if !ended.detail.is_empty() {
        data.push(("detail", ended.detail.clone()));
    }
    details.push(Detail::new(at, "Session End", Entity::system()).with(data));
    details
}

#[cfg(test)]
mod tests {
    use domain::time;

    use super::*;

    /// REP-29: what is printed adds up.
    #[test]
    fn a_duration_is_the_difference_of_the_seconds_that_are_shown() {
        // from and until in tenths of a second, the seconds between as they are shown
        for (from, until, seconds) in [
            (9, 11, 1),
            (1, 19, 1),
            (10, 19, 0),
            (19, 10, 0),
            (0, 36_000, 3_600),
        ] {
            let tenths = |count: i64| Timestamp(count * time::SECOND / 10);
            assert_eq!(
                seconds_between(tenths(from), tenths(until)),
                seconds,
                "{from} {until}"
            );
        }
    }
}
