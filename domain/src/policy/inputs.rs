//! What a start was asked with and decided by, kept with the decision: with the log before it, the decision can be made again
//! later, exactly.

use serde::{Deserialize, Serialize};

use crate::World;
use crate::ids::{JumpPolicyId, TicketRequestId};
use crate::policy::gates::{self, Supplied};
use crate::session::access_session::Start;

/// What a start was asked with, and the versions of what decided it beside the program and the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// What the user supplied.
    #[serde(default)]
    pub supplied: Supplied,
    /// The request that the ticket system allowed; what the user typed is not kept (TICK-11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_request: Option<TicketRequestId>,
    /// The Jump Policy that applied, where one did and the decision came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_policy: Option<PolicyVersion>,
}

/// A Jump Policy as it was when it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Which policy.
    pub id: JumpPolicyId,
    /// The newest revision of its stream that was known.
    pub revision: u64,
    /// The version of the time zone data, where it has a schedule: what its hours meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_data: Option<String>,
}

impl Inputs {
    /// Those of a Jump; none where nothing was supplied and no Jump Policy applies.
    #[must_use]
    pub fn of(
        world: &World,
        start: &Start,
        supplied: Supplied,
        ticket_request: Option<TicketRequestId>,
    ) -> Option<Self> {
        let access = gates::may_start(world, start.user, start.item).ok();
        let jump_policy = access
            .and_then(|access| gates::effective_policy(world, &access, start.item))
            .and_then(|policy| PolicyVersion::of(world, policy));
        let inputs = Self {
            supplied,
            ticket_request,
            jump_policy,
        };
        (inputs.jump_policy.is_some() || supplied != Supplied::default()).then_some(inputs)
    }
}

impl PolicyVersion {
    fn of(world: &World, id: JumpPolicyId) -> Option<Self> {
        let policy = world.jump_policies.get(&id)?;
        Some(Self {
            id,
            revision: *world.jump_policy_revisions.get(&id)?,
            zone_data: policy
                .schedule_enabled
                .then(|| chrono_tz::IANA_TZDB_VERSION.to_owned()),
        })
    }
}
