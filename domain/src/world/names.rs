//! Names that must be unique within their kind, without regard to case: an index, so that a new record never looks through all.

use imbl::OrdMap;

/// Which names are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What a Jump Group is called.
    Group,
    /// A Jump Group's code name.
    GroupCode,
    /// What a Jump Policy is called.
    Policy,
    /// A Jump Policy's code name.
    PolicyCode,
    /// What a Jumpoint is called.
    Jumpoint,
    /// A Jumpoint's code name.
    JumpointCode,
    /// A session policy's code name.
    SessionPolicyCode,
    /// The code name of a custom field of Jump Items.
    CustomFieldCode,
    /// The code name of a custom attribute of sessions.
    SessionAttributeCode,
    /// A team's code name.
    TeamCode,
}

/// Who has which name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names(OrdMap<(Kind, String), u32>);

impl Names {
    /// Whether another record of the kind than `id` has this name.
    pub(crate) fn is_taken(&self, kind: Kind, name: &str, id: Option<u32>) -> bool {
        self.0
            .get(&(kind, name.to_lowercase()))
            .is_some_and(|holder| Some(*holder) != id)
    }

    /// Which record of the kind has this name.
    pub(crate) fn holder(&self, kind: Kind, name: &str) -> Option<u32> {
        self.0.get(&(kind, name.to_lowercase())).copied()
    }

    /// `id` has this name from now on.
    pub(crate) fn take(&mut self, kind: Kind, name: &str, id: u32) {
        self.0.insert((kind, name.to_lowercase()), id);
    }

    /// The name is free again.
    pub(crate) fn free(&mut self, kind: Kind, name: &str) {
        self.0.remove(&(kind, name.to_lowercase()));
    }
}
