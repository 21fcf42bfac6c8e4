//! Session policies: what items and users name to say how sessions are run (config-api.md, `SessionPolicy`). A plain record.

use serde::{Deserialize, Serialize};

use crate::ids::SessionPolicyId;
use crate::record::{self, Field, Kind, Record};
use crate::world::names;
use crate::{Context, FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// A session policy.
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
pub struct SessionPolicy {
    /// What it is called.
    pub display_name: String,
    /// The name for scripts; unique, generated where absent.
    pub code_name: String,
    /// What it is for.
    pub description: String,
}

impl Record for SessionPolicy {
    type Id = SessionPolicyId;
    const CATEGORY: &'static str = "session_policy";
    const TITLE: &'static str = "Session Policy";
    const STORED_NAMES: [&'static str; 3] = [
        "SessionPolicyCreated",
        "SessionPolicyChanged",
        "SessionPolicyDeleted",
    ];
    // 1 is reserved (config-api.md, `ShellJumpItem`).
    const FIRST_ID: u32 = 2;
    const FIELDS: &'static [Field] = &[
        Field::new(
            "display_name",
            Kind::Name { min: 1, max: 255 },
            "What the policy is called.",
        )
        .required(),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name for scripts; unique, generated where absent.",
        ),
        Field::new(
            "description",
            Kind::Text { min: 0, max: 1024 },
            "What it is for.",
        ),
    ];

    fn find(world: &World, id: SessionPolicyId) -> Option<&Self> {
        world.session_policies.get(&id)
    }

    fn put(world: &mut World, id: SessionPolicyId, record: Self, _at: Timestamp) {
        world.put_session_policy(id, record);
    }

    fn remove(world: &mut World, id: SessionPolicyId) {
        world.forget_session_policy(id);
    }

    fn complete(&mut self, world: &World, id: Option<SessionPolicyId>, _context: &Context) {
        if self.code_name.is_empty() {
            self.code_name =
                record::generate_code_name(&self.display_name, "session_policy", |name| {
                    world
                        .names
                        .is_taken(names::Kind::SessionPolicyCode, name, id.map(|id| id.0))
                });
        }
    }

    fn check(&self, world: &World, id: Option<SessionPolicyId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let kind = names::Kind::SessionPolicyCode;
        if world
            .names
            .is_taken(kind, &self.code_name, id.map(|id| id.0))
        {
            errors.push("code_name", "The code_name has already been taken.");
        }
        errors.into_result(())
    }

    fn may_be_deleted(world: &World, id: SessionPolicyId, now: Timestamp) -> Result<(), Refusal> {
        world.not_used(Self::TITLE, world.users_of_session_policy(id, now))
    }
}
