//! Teams: a plain record, and the users in them, each as member, lead or manager (ROLE-12, GRP-16).
//!
//! States of a membership: none ⇄ member, lead or manager. What a group policy adds to it is in
//! [`group_policy`](crate::access::group_policy).

use serde::{Deserialize, Serialize};

use crate::ids::{TeamId, UserId};
use crate::record::{self, Field, Kind, Record};
use crate::world::names;
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// A team. Member names are those of the published schema (config-api.md 2.7).
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
pub struct Team {
    /// What it is called.
    pub name: String,
    /// The name for scripts; unique, generated where absent.
    pub code_name: String,
    /// Free text.
    pub comments: Option<String>,
}

impl Record for Team {
    type Id = TeamId;
    const CATEGORY: &'static str = "team";
    const TITLE: &'static str = "Team";
    const STORED_NAMES: [&'static str; 3] = ["TeamCreated", "TeamChanged", "TeamDeleted"];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 255 },
            "What the team is called.",
        )
        .required()
        .filter(),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name for scripts; unique, generated where absent.",
        )
        .filter(),
        Field::new("comments", Kind::Text { min: 0, max: 4096 }, "Free text.").nullable(),
    ];

    fn find(world: &World, id: TeamId) -> Option<&Self> {
        world.teams.get(&id)
    }

    fn put(world: &mut World, id: TeamId, record: Self, _at: Timestamp) {
        world.put_team(id, record);
    }

    fn remove(world: &mut World, id: TeamId) {
        world.forget_team(id);
    }

    fn complete(&mut self, world: &World, id: Option<TeamId>, _context: &Context) {
        if self.code_name.is_empty() {
            self.code_name = record::generate_code_name(&self.name, "team", |name| {
                world
                    .names
                    .is_taken(names::Kind::TeamCode, name, id.map(|id| id.0))
            });
        }
    }

    fn check(&self, world: &World, id: Option<TeamId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        if world
            .names
            .is_taken(names::Kind::TeamCode, &self.code_name, id.map(|id| id.0))
        {
            errors.push("code_name", "The code_name has already been taken.");
        }
        errors.into_result(())
    }
}

/// What a user is in a team, from the least to the most.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    /// Sees nobody's personal list by it.
    #[default]
    Member,
    /// Sees those of members.
    Lead,
    /// Sees those of leads and members.
    Manager,
}

impl TeamRole {
    /// The words of the published schema, from the least to the most.
    pub const WORDS: &'static [&'static str] = &["member", "lead", "manager"];

    /// The role with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "member" => Some(Self::Member),
            "lead" => Some(Self::Lead),
            "manager" => Some(Self::Manager),
            _ => None,
        }
    }
}

/// What may be asked of a team.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete the team itself.
    Record(record::Command<Team>),
    /// Put a user into it.
    AddMember(TeamId, UserId, TeamRole),
    /// Give a direct member another role, or move them to another team.
    ChangeMember {
        /// Which team.
        team: TeamId,
        /// Who.
        user: UserId,
        /// The team they are in since; the same where they stay.
        to: TeamId,
        /// What they are there since; none leaves their role as it is when the change is decided.
        role: Option<TeamRole>,
    },
    /// Take a direct member out of it.
    RemoveMember(TeamId, UserId),
}

/// A user became a direct member, or a direct member got another role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member.
    pub user_id: UserId,
    /// What they are since.
    pub role: TeamRole,
}

/// A direct membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRemoved {
    /// Who was a member.
    pub user_id: UserId,
}

/// What happens to a team. Expected rate: a few a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// The team itself.
    Record(record::Event<Team>),
    /// A user became a direct member.
    MemberAdded(Member),
    /// A direct member got another role.
    MemberChanged(Member),
    /// A direct membership ended.
    MemberRemoved(MemberRemoved),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "TeamCreated",
        "TeamChanged",
        "TeamDeleted",
        "TeamMemberAdded",
        "TeamMemberChanged",
        "TeamMemberRemoved",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::MemberAdded(_) => "TeamMemberAdded",
            Self::MemberChanged(_) => "TeamMemberChanged",
            Self::MemberRemoved(_) => "TeamMemberRemoved",
        }
    }

    /// Reads an event back; `None` if the name is not one of a team's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "TeamMemberAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberAdded(event)))
            }
            "TeamMemberChanged" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberChanged(event)))
            }
            "TeamMemberRemoved" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberRemoved(event)))
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
            .map(|(team, event)| crate::Event::Team(team, Event::Record(event)))
            .into_iter()
            .collect()),
        Command::AddMember(team, user, role) => decide_add(world, *team, *user, *role),
        Command::ChangeMember {
            team,
            user,
            to,
            role,
        } => decide_change(world, *team, *user, *to, *role),
        Command::RemoveMember(team, user) => decide_remove(world, *team, *user),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, team: TeamId, event: &Event, at: Timestamp) {
    match event {
        Event::Record(event) => record::apply(world, team, event, at),
        Event::MemberAdded(member) | Event::MemberChanged(member) => {
            world.put_team_member(team, member.user_id, member.role);
        }
        Event::MemberRemoved(gone) => world.forget_team_member(team, gone.user_id),
    }
}

fn added(team: TeamId, user_id: UserId, role: TeamRole) -> crate::Event {
    crate::Event::Team(team, Event::MemberAdded(Member { user_id, role }))
}

fn removed(team: TeamId, user_id: UserId) -> crate::Event {
    crate::Event::Team(team, Event::MemberRemoved(MemberRemoved { user_id }))
}

fn decide_add(world: &World, team: TeamId, user: UserId, role: TeamRole) -> Decision {
    team_is_there(world, team)?;
    if !world.users.contains(&user) {
        return Err(Refusal::field(
            "user_id",
            "The selected user_id is invalid.",
        ));
    }
    match world.team_membership(team, user) {
        Some(present) if present == role => nothing(),
        Some(_) => Err(already_a_member("user_id")),
        None => happened(added(team, user, role)),
    }
}

fn decide_change(
    world: &World,
    team: TeamId,
    user: UserId,
    to: TeamId,
    role: Option<TeamRole>,
) -> Decision {
    // Whom a group policy put into the team has no direct membership to change.
    let present = world
        .team_membership(team, user)
        .ok_or(Refusal::not_found("Team user"))?;
    let role = role.unwrap_or(present);
    if team == to {
        return if present == role {
            nothing()
        } else {
            happened(crate::Event::Team(
                team,
                Event::MemberChanged(Member {
                    user_id: user,
                    role,
                }),
            ))
        };
    }
    if !world.teams.contains(&to) {
        return Err(Refusal::field(
            "team_id",
            "The selected team_id is invalid.",
        ));
    }
    if world.team_membership(to, user).is_some() {
        return Err(already_a_member("team_id"));
    }
    Ok(vec![removed(team, user), added(to, user, role)])
}

fn decide_remove(world: &World, team: TeamId, user: UserId) -> Decision {
    if world.team_membership(team, user).is_none() {
        return Err(Refusal::not_found("Team user"));
    }
    happened(removed(team, user))
}

fn team_is_there(world: &World, team: TeamId) -> Result<(), Refusal> {
    if world.teams.contains(&team) {
        Ok(())
    } else {
        Err(Refusal::not_found(Team::TITLE))
    }
}

fn already_a_member(field: &str) -> Refusal {
    Refusal::field(field, "The user is a member of this team already.")
}
