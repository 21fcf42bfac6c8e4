//! Jump Item Roles: named sets of eleven independent permissions (ROLE-01, ROLE-02). A plain record.

use serde::{Deserialize, Serialize};

use crate::ids::JumpItemRoleId;
use crate::record::{self, Field, Kind, Record};
use crate::{FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// The role that gives no access at all (ROLE-15); seeded first, as the published schema's defaults name it.
pub const NO_ACCESS: JumpItemRoleId = JumpItemRoleId(1);
/// The seeded role with only "Start Sessions" (ROLE-28).
pub const START_SESSIONS_ONLY: JumpItemRoleId = JumpItemRoleId(2);
/// The seeded role with every permission (ROLE-29).
pub const ADMINISTRATOR: JumpItemRoleId = JumpItemRoleId(3);

/// The roles that every site begins with. Their permissions stay: slots of new users, the member table and the guides' tables
/// rest on what they mean (GRP-12, ROLE-15, ROLE-28, ROLE-29).
#[must_use]
pub fn built_in() -> [(JumpItemRoleId, JumpItemRole); 3] {
    let no_access = JumpItemRole {
        name: "No Access".to_owned(),
        description: "Gives no access to Jump Items.".to_owned(),
        ..JumpItemRole::default()
    };
    let start_sessions_only = JumpItemRole {
        name: "Start Sessions Only".to_owned(),
        description: "May start sessions and nothing else.".to_owned(),
        perm_start: true,
        ..JumpItemRole::default()
    };
    [
        (NO_ACCESS, no_access),
        (START_SESSIONS_ONLY, start_sessions_only),
        (
            ADMINISTRATOR,
            JumpItemRole::everything("Administrator", "Every permission."),
        ),
    ]
}

/// One of the eleven permissions of a role (ROLE-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JumpItemPermission {
    /// Create and deploy new Jump Items (ROLE-16).
    CreateAndDeploy,
    /// Move and copy Jump Items (ROLE-18).
    MoveAndCopy,
    /// Remove existing Jump Items (ROLE-19).
    Remove,
    /// View reports (ROLE-26).
    ViewReports,
    /// Start sessions (ROLE-20).
    Start,
    /// Edit the tag (ROLE-21).
    EditTag,
    /// Edit the comments (ROLE-22).
    EditComments,
    /// Edit the Jump Policy (ROLE-23).
    EditJumpPolicy,
    /// Edit the session policy (ROLE-24).
    EditSessionPolicy,
    /// Edit connectivity and authentication (ROLE-25).
    EditConnectivity,
    /// Edit behavior and experience (ROLE-25).
    EditBehavior,
}

impl JumpItemPermission {
    /// The words of the guide (ROLE-02).
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::CreateAndDeploy => "Create and deploy new Jump Items",
            Self::MoveAndCopy => "Move and Copy Jump Items",
            Self::Remove => "Remove existing Jump Items",
            Self::ViewReports => "View Reports",
            Self::Start => "Start Sessions",
            Self::EditTag => "Edit Tag",
            Self::EditComments => "Edit Comments",
            Self::EditJumpPolicy => "Edit Jump Policy",
            Self::EditSessionPolicy => "Edit Session Policy",
            Self::EditConnectivity => "Edit Connectivity and Authentication",
            Self::EditBehavior => "Edit Behavior and Experience",
        }
    }
}

/// A named set of permissions over Jump Items.
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
pub struct JumpItemRole {
    /// What it is called; unique without regard to case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Create and deploy new Jump Items.
    pub perm_add: bool,
    /// Move and copy Jump Items.
    pub perm_assign_jump_group: bool,
    /// Remove existing Jump Items.
    pub perm_remove: bool,
    /// Start sessions.
    pub perm_start: bool,
    /// Edit the tag.
    pub perm_edit_tag: bool,
    /// Edit the comments.
    pub perm_edit_comments: bool,
    /// Edit the Jump Policy.
    pub perm_edit_jump_policy: bool,
    /// Edit the session policy.
    pub perm_edit_session_policy: bool,
    /// Edit connectivity and authentication.
    pub perm_edit_identity: bool,
    /// Edit behavior and experience.
    pub perm_edit_behavior: bool,
    /// View reports.
    pub perm_view_jump_item_report: bool,
}

impl JumpItemRole {
    /// Whether the role includes `permission`.
    #[must_use]
    pub const fn allows(&self, permission: JumpItemPermission) -> bool {
        match permission {
            JumpItemPermission::CreateAndDeploy => self.perm_add,
            JumpItemPermission::MoveAndCopy => self.perm_assign_jump_group,
            JumpItemPermission::Remove => self.perm_remove,
            JumpItemPermission::ViewReports => self.perm_view_jump_item_report,
            JumpItemPermission::Start => self.perm_start,
            JumpItemPermission::EditTag => self.perm_edit_tag,
            JumpItemPermission::EditComments => self.perm_edit_comments,
            JumpItemPermission::EditJumpPolicy => self.perm_edit_jump_policy,
            JumpItemPermission::EditSessionPolicy => self.perm_edit_session_policy,
            JumpItemPermission::EditConnectivity => self.perm_edit_identity,
            JumpItemPermission::EditBehavior => self.perm_edit_behavior,
        }
    }

    /// How much of an item can be edited: `All`, `None`, or `Some` for one to five of the six permissions (ROLE-27).
    #[must_use]
    pub const fn edit_in_a_word(&self) -> &'static str {
        let all = self.perm_edit_tag
            && self.perm_edit_comments
            && self.perm_edit_jump_policy
            && self.perm_edit_session_policy
            && self.perm_edit_identity
            && self.perm_edit_behavior;
        let any = self.perm_edit_tag
            || self.perm_edit_comments
            || self.perm_edit_jump_policy
            || self.perm_edit_session_policy
            || self.perm_edit_identity
            || self.perm_edit_behavior;
        if all {
            "All"
        } else if any {
            "Some"
        } else {
            "None"
        }
    }

    /// Whether the role gives any access at all (ROLE-03).
    #[must_use]
    pub const fn gives_access(&self) -> bool {
        self.perm_add
            || self.perm_assign_jump_group
            || self.perm_remove
            || self.perm_start
            || self.perm_edit_tag
            || self.perm_edit_comments
            || self.perm_edit_jump_policy
            || self.perm_edit_session_policy
            || self.perm_edit_identity
            || self.perm_edit_behavior
            || self.perm_view_jump_item_report
    }

    /// A role with every permission (ROLE-29).
    #[must_use]
    pub fn everything(name: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            perm_add: true,
            perm_assign_jump_group: true,
            perm_remove: true,
            perm_start: true,
            perm_edit_tag: true,
            perm_edit_comments: true,
            perm_edit_jump_policy: true,
            perm_edit_session_policy: true,
            perm_edit_identity: true,
            perm_edit_behavior: true,
            perm_view_jump_item_report: true,
        }
    }
}

impl Record for JumpItemRole {
    type Id = JumpItemRoleId;
    const CATEGORY: &'static str = "jump_item_role";
    const TITLE: &'static str = "Jump Item Role";
    const STORED_NAMES: [&'static str; 3] = [
        "JumpItemRoleCreated",
        "JumpItemRoleChanged",
        "JumpItemRoleDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 255 },
            "What the role is called; unique.",
        )
        .required()
        .filter(),
        Field::new(
            "description",
            Kind::Text { min: 0, max: 4096 },
            "What the role is for.",
        ),
        Field::new(
            "perm_add",
            Kind::Boolean,
            "Create and deploy new Jump Items.",
        ),
        Field::new(
            "perm_assign_jump_group",
            Kind::Boolean,
            "Move and copy Jump Items.",
        ),
        Field::new("perm_remove", Kind::Boolean, "Remove existing Jump Items."),
        Field::new("perm_start", Kind::Boolean, "Start sessions."),
        Field::new("perm_edit_tag", Kind::Boolean, "Edit the tag."),
        Field::new("perm_edit_comments", Kind::Boolean, "Edit the comments."),
        Field::new(
            "perm_edit_jump_policy",
            Kind::Boolean,
            "Edit the Jump Policy.",
        ),
        Field::new(
            "perm_edit_session_policy",
            Kind::Boolean,
            "Edit the session policy.",
        ),
        Field::new(
            "perm_edit_identity",
            Kind::Boolean,
            "Edit connectivity and authentication.",
        ),
        Field::new(
            "perm_edit_behavior",
            Kind::Boolean,
            "Edit behavior and experience.",
        ),
        Field::new("perm_view_jump_item_report", Kind::Boolean, "View reports."),
    ];

    fn find(world: &World, id: JumpItemRoleId) -> Option<&Self> {
        world.jump_item_roles.get(&id)
    }

    fn put(world: &mut World, id: JumpItemRoleId, record: Self, _at: Timestamp) {
        world.jump_item_roles.insert(id, record);
    }

    fn remove(world: &mut World, id: JumpItemRoleId) {
        world.jump_item_roles.remove(&id);
    }

    fn check(&self, world: &World, id: Option<JumpItemRoleId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let name = self.name.to_lowercase();
        if world
            .jump_item_roles
            .iter()
            .any(|(other, role)| Some(*other) != id && role.name.to_lowercase() == name)
        {
            errors.push("name", "The name has already been taken.");
        }
        if let Some(id) = id {
            self.check_meaning(world, id, &mut errors);
        }
        errors.into_result(())
    }

    fn may_be_deleted(world: &World, id: JumpItemRoleId, _now: Timestamp) -> Result<(), Refusal> {
        if id == NO_ACCESS {
            // The published schema's default for every slot names it (config-api.md 2.7, User).
            return Err(Refusal::InUse {
                what: Self::TITLE,
                by: vec!["every new user's role slots".to_owned()],
            });
        }
        world.not_used(Self::TITLE, world.users_of_role(id))
    }
}

impl JumpItemRole {
    /// Whether a built-in role would still mean what it means. One that was changed by an earlier version can only be put right.
    fn check_meaning(&self, world: &World, id: JumpItemRoleId, errors: &mut FieldErrors) {
        let meant = built_in().into_iter().find(|(role, _)| *role == id);
        let (Some((_, meant)), Some(current)) = (meant, world.jump_item_roles.get(&id)) else {
            return;
        };
        let [new, meant, old] = [self, &meant, current].map(record::to_object);
        let permissions = Self::FIELDS
            .iter()
            .filter(|field| field.kind == Kind::Boolean);
        for name in permissions.map(|field| field.name) {
            if new.get(name) != meant.get(name) && new.get(name) != old.get(name) {
                errors.push(
                    name,
                    format!(
                        "The permissions of the built-in role \"{}\" can't be changed. Make a role of your own.",
                        current.name
                    ),
                );
            }
        }
    }
}
