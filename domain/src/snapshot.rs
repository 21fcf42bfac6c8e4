//! The rkyv form of a [`World`]: its tables as plain lists. Indexes are made anew when it is read.
//!
//! `rows` cuts the large tables into parts.

use crate::access::group_policy::{self, GroupPolicy};
use crate::access::jump_group::{JumpGroup, Membership};
use crate::access::role::JumpItemRole;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::JumpClient;
use crate::ids::TicketRequestId;
use crate::ids::{
    AccessRequestId, ApiAccountId, CustomFieldId, CustomSessionAttributeId, GroupPolicyId,
    GroupPolicyMemberId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef,
    JumpItemRoleId, JumpPolicyId, JumpointId, Lsid, MailDeliveryId, MailTemplateId, NodeEpoch,
    SessionPolicyId, ShellJumpId, TeamId, UserId,
};
use crate::items::custom_field::CustomField;
use crate::items::jumpoint::Jumpoint;
use crate::items::shell::ShellJumpItem;
use crate::node::Node;
use crate::policy::access_request::AccessRequest;
use crate::policy::jump_policy::JumpPolicy;
use crate::policy::schedule::Schedule;
use crate::policy::session_policy::SessionPolicy;
use crate::policy::ticket::TicketRequest;
use crate::session::access_session::AccessSession;
use crate::site::api_account::{ApiAccount, SeenFrom};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::first_start::Site;
use crate::site::mail_delivery::Delivery;
use crate::site::mail_settings::MailSettings;
use crate::site::mail_template::MailTemplate;
use crate::site::settings::SiteSettings;
use crate::site::team::{Team, TeamRole};
use crate::site::ticket_system::{self, TicketSystem};
use crate::site::user::User;
use crate::table::Table;
use crate::{Timestamp, World};

mod rows;

pub use rows::{RowIndexes, Rows, RowsSnapshot};

/// A [`World`] as lists, to be written and read in one go.
#[derive(Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[allow(
    missing_docs,
    reason = "each member is the table of the same name in World"
)]
pub struct WorldSnapshot {
    pub site: Option<Site>,
    pub settings: SiteSettings,
    pub ticket_system: TicketSystem,
    pub ticket_connection: ticket_system::Connection,
    pub mail_settings: MailSettings,
    pub mail_templates: Vec<(MailTemplateId, MailTemplate)>,
    pub mail_deliveries: Vec<(MailDeliveryId, Delivery)>,
    pub users: Vec<(UserId, User)>,
    pub api_accounts: Vec<(ApiAccountId, ApiAccount)>,
    pub teams: Vec<(TeamId, Team)>,
    pub jump_item_roles: Vec<(JumpItemRoleId, JumpItemRole)>,
    pub jump_groups: Vec<(JumpGroupId, JumpGroup)>,
    pub group_policies: Vec<(GroupPolicyId, GroupPolicy)>,
    pub jump_policies: Vec<(JumpPolicyId, JumpPolicy)>,
    pub schedules: Vec<(JumpPolicyId, Schedule)>,
    pub access_requests: Vec<(AccessRequestId, AccessRequest)>,
    pub ticket_requests: Vec<(TicketRequestId, TicketRequest)>,
    pub installers: Vec<(JumpClientInstallerId, JumpClientInstaller)>,
    pub jump_clients: Vec<(JumpClientId, JumpClient)>,
    pub shell_jumps: Vec<(ShellJumpId, ShellJumpItem)>,
    pub bare_endpoints: Vec<(JumpClientId, JumpClient)>,
    pub jumpoints: Vec<(JumpointId, Jumpoint)>,
    pub jumpoint_users: Vec<(JumpointId, UserId)>,
    pub session_policies: Vec<(SessionPolicyId, SessionPolicy)>,
    pub custom_fields: Vec<(CustomFieldId, CustomField)>,
    pub custom_values: Vec<(JumpItemRef, Vec<(CustomFieldId, String)>)>,
    pub custom_session_attributes: Vec<(CustomSessionAttributeId, CustomSessionAttribute)>,
    pub sessions: Vec<(Lsid, AccessSession)>,
    pub startup_items: Vec<(UserId, JumpItemRef)>,
    pub recent_items: Vec<(UserId, Vec<JumpItemRef>)>,
    pub nodes: Vec<(NodeEpoch, Node)>,
    pub members: Vec<((JumpGroupId, UserId), Membership)>,
    pub team_members: Vec<((TeamId, UserId), TeamRole)>,
    pub group_policy_order: Vec<GroupPolicyId>,
    pub group_policy_members: Vec<((GroupPolicyId, UserId), GroupPolicyMemberId)>,
    pub group_policy_rows: Vec<((GroupPolicyId, group_policy::Of), group_policy::Row)>,
    pub stopped_nodes: Vec<(NodeEpoch, Timestamp)>,
    pub earlier_deletion_days: Vec<(Timestamp, u32)>,
    pub seen_from: Vec<(ApiAccountId, SeenFrom)>,
    pub counters: Vec<(String, u32)>,
}

fn rows<K: Ord + Clone, V: Clone>(table: &Table<K, V>) -> Vec<(K, V)> {
    table
        .iter()
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}

impl From<&World> for WorldSnapshot {
    fn from(world: &World) -> Self {
        Self {
            site: world.site.clone(),
            settings: world.settings.clone(),
            ticket_system: world.ticket_system.clone(),
            ticket_connection: world.ticket_connection.clone(),
            mail_settings: world.mail_settings.clone(),
            mail_templates: rows(&world.mail_templates),
            mail_deliveries: rows(&world.mail_deliveries),
            users: rows(&world.users),
            api_accounts: rows(&world.api_accounts),
            teams: rows(&world.teams),
            jump_item_roles: rows(&world.jump_item_roles),
            jump_groups: rows(&world.jump_groups),
            group_policies: rows(&world.group_policies),
            jump_policies: rows(&world.jump_policies),
            schedules: rows(&world.schedules),
            access_requests: rows(&world.access_requests),
            ticket_requests: rows(&world.ticket_requests),
            installers: rows(&world.installers),
            jump_clients: rows(&world.jump_clients),
            shell_jumps: rows(&world.shell_jumps),
            bare_endpoints: rows(&world.bare_endpoints),
            jumpoints: rows(&world.jumpoints),
            jumpoint_users: world.jumpoint_users.iter().copied().collect(),
            session_policies: rows(&world.session_policies),
            custom_fields: rows(&world.custom_fields),
            custom_values: world
                .custom_values
                .iter()
                .map(|(item, values)| (*item, values.clone().into_iter().collect()))
                .collect(),
            custom_session_attributes: rows(&world.custom_session_attributes),
            sessions: rows(&world.sessions),
            startup_items: world.startup_items.iter().copied().collect(),
            recent_items: rows(&world.recent_items),
            nodes: rows(&world.nodes),
            members: rows(&world.members),
            team_members: rows(&world.team_members),
            group_policy_order: world.group_policy_order.iter().copied().collect(),
            group_policy_members: rows(&world.group_policy_members),
            group_policy_rows: world
                .group_policies_rows()
                .map(|(policy, of, row)| ((policy, of), row))
                .collect(),
            stopped_nodes: world
                .stopped_nodes
                .iter()
                .map(|(epoch, at)| (*epoch, *at))
                .collect(),
            earlier_deletion_days: world.earlier_deletion_days.iter().copied().collect(),
            seen_from: rows(&world.seen_from),
            counters: world
                .counters
                .iter()
                .map(|(name, number)| (name.clone(), *number))
                .collect(),
        }
    }
}

impl From<WorldSnapshot> for World {
    fn from(mut snapshot: WorldSnapshot) -> Self {
        let rows: Vec<Rows> = snapshot
            .take_rows(usize::MAX)
            .into_iter()
            .map(Rows::from)
            .collect();
        let mut world = Self::of_snapshot(snapshot, &rows);
        world.put_row_indexes(RowIndexes::of(&rows));
        world
    }
}

impl World {
    /// The world of a snapshot whose large tables were taken out, with their rows. [`World::put_row_indexes`] makes it whole.
    #[must_use]
    pub fn of_snapshot(snapshot: WorldSnapshot, rows: &[Rows]) -> Self {
        let mut world = Self {
            site: snapshot.site,
            settings: snapshot.settings,
            ticket_system: snapshot.ticket_system,
            ticket_connection: snapshot.ticket_connection,
            mail_settings: snapshot.mail_settings,
            mail_templates: snapshot.mail_templates.into_iter().collect(),
            mail_deliveries: snapshot.mail_deliveries.into_iter().collect(),
            api_accounts: snapshot.api_accounts.into_iter().collect(),
            teams: snapshot.teams.into_iter().collect(),
            jump_item_roles: snapshot.jump_item_roles.into_iter().collect(),
            jump_groups: snapshot.jump_groups.into_iter().collect(),
            group_policies: snapshot.group_policies.into_iter().collect(),
            jump_policies: snapshot.jump_policies.into_iter().collect(),
            schedules: snapshot.schedules.into_iter().collect(),
            access_requests: snapshot.access_requests.into_iter().collect(),
            ticket_requests: snapshot.ticket_requests.into_iter().collect(),
            installers: snapshot.installers.into_iter().collect(),
            shell_jumps: snapshot.shell_jumps.into_iter().collect(),
            bare_endpoints: snapshot.bare_endpoints.into_iter().collect(),
            jumpoints: snapshot.jumpoints.into_iter().collect(),
            jumpoint_users: snapshot.jumpoint_users.into_iter().collect(),
            session_policies: snapshot.session_policies.into_iter().collect(),
            custom_fields: snapshot.custom_fields.into_iter().collect(),
            custom_values: snapshot
                .custom_values
                .into_iter()
                .map(|(item, values)| (item, values.into_iter().collect()))
                .collect(),
            custom_session_attributes: snapshot.custom_session_attributes.into_iter().collect(),
            sessions: snapshot.sessions.into_iter().collect(),
            startup_items: snapshot.startup_items.into_iter().collect(),
            recent_items: snapshot.recent_items.into_iter().collect(),
            nodes: snapshot.nodes.into_iter().collect(),
            members: snapshot.members.into_iter().collect(),
            team_members: snapshot.team_members.into_iter().collect(),
            group_policy_order: snapshot.group_policy_order.into_iter().collect(),
            group_policy_members: snapshot.group_policy_members.into_iter().collect(),
            stopped_nodes: snapshot.stopped_nodes.into_iter().collect(),
            earlier_deletion_days: snapshot.earlier_deletion_days.into_iter().collect(),
            seen_from: snapshot.seen_from.into_iter().collect(),
            counters: snapshot.counters.into_iter().collect(),
            ..Self::default()
        };
        for ((policy, of), row) in snapshot.group_policy_rows {
            world.put_policy_row(policy, of, row);
        }
        world.put_rows(rows);
        world.rebuild_indexes();
        world
    }
}
