//! The rkyv form of a [`World`], in sections that are read apart from each other: one with the small tables as plain lists, of
//! which the indexes are made anew; one for each index over the large tables; and the rows of these in parts. All but the
//! first lie where they are until somebody asks for what is in them.

use crate::access::group_policy::{self, GroupPolicy};
use crate::access::jump_group::{JumpGroup, Membership};
use crate::access::review::PendingReview;
use crate::access::role::JumpItemRole;
use crate::fleet::capacity::Installed;
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
use crate::policy::access_request::{AccessRequest, ApproverList};
use crate::policy::jump_policy::JumpPolicy;
use crate::policy::schedule::Schedule;
use crate::policy::session_policy::SessionPolicy;
use crate::policy::ticket::TicketRequest;
use crate::session::access_session::AccessSession;
use crate::site::agent_trust::AgentTrust;
use crate::site::api_account::{ApiAccount, SeenFrom};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::first_start::Site;
use crate::site::mail_delivery::Delivery;
use crate::site::mail_settings::MailSettings;
use crate::site::mail_template::MailTemplate;
use crate::site::settings::SiteSettings;
use crate::site::team::{Team, TeamRole};
use crate::site::ticket_system::{self, TicketSystem};
use crate::site::user::sign_in::SignIns;
use crate::table::Table;
use crate::{Timestamp, World};

mod sections;

pub use sections::{Rest, Section, SharedBytes, Unreadable, open, write};

/// What is not read later: the small tables as lists, the keys of the large ones.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct First {
    rows_a_section: u32,
    user_ids: Vec<UserId>,
    jump_client_ids: Vec<JumpClientId>,
    installed: Installed,
    site: Option<Site>,
    agent_trust: AgentTrust,
    settings: SiteSettings,
    ticket_system: TicketSystem,
    ticket_connection: ticket_system::Connection,
    mail_settings: MailSettings,
    mail_templates: Vec<(MailTemplateId, MailTemplate)>,
    mail_deliveries: Vec<(MailDeliveryId, Delivery)>,
    api_accounts: Vec<(ApiAccountId, ApiAccount)>,
    teams: Vec<(TeamId, Team)>,
    jump_item_roles: Vec<(JumpItemRoleId, JumpItemRole)>,
    jump_groups: Vec<(JumpGroupId, JumpGroup)>,
    group_policies: Vec<(GroupPolicyId, GroupPolicy)>,
    jump_policies: Vec<(JumpPolicyId, JumpPolicy)>,
    schedules: Vec<(JumpPolicyId, Schedule)>,
    jump_policy_revisions: Vec<(JumpPolicyId, u64)>,
    access_requests: Vec<(AccessRequestId, AccessRequest)>,
    approver_lists: Vec<(AccessRequestId, ApproverList)>,
    requests_made: Vec<(UserId, Vec<(Timestamp, u32)>)>,
    ticket_requests: Vec<(TicketRequestId, TicketRequest)>,
    installers: Vec<(JumpClientInstallerId, JumpClientInstaller)>,
    shell_jumps: Vec<(ShellJumpId, ShellJumpItem)>,
    bare_endpoints: Vec<(JumpClientId, JumpClient)>,
    jumpoints: Vec<(JumpointId, Jumpoint)>,
    jumpoint_users: Vec<(JumpointId, UserId)>,
    session_policies: Vec<(SessionPolicyId, SessionPolicy)>,
    custom_fields: Vec<(CustomFieldId, CustomField)>,
    custom_values: Vec<(JumpItemRef, Vec<(CustomFieldId, String)>)>,
    custom_session_attributes: Vec<(CustomSessionAttributeId, CustomSessionAttribute)>,
    sessions: Vec<(Lsid, AccessSession)>,
    access_review: Option<PendingReview>,
    startup_items: Vec<(UserId, JumpItemRef)>,
    recent_items: Vec<(UserId, Vec<JumpItemRef>)>,
    nodes: Vec<(NodeEpoch, Node)>,
    members: Vec<((JumpGroupId, UserId), Membership)>,
    team_members: Vec<((TeamId, UserId), TeamRole)>,
    group_policy_order: Vec<GroupPolicyId>,
    group_policy_members: Vec<((GroupPolicyId, UserId), GroupPolicyMemberId)>,
    group_policy_rows: Vec<((GroupPolicyId, group_policy::Of), group_policy::Row)>,
    stopped_nodes: Vec<(NodeEpoch, Timestamp)>,
    earlier_deletion_days: Vec<(Timestamp, u32)>,
    seen_from: Vec<(ApiAccountId, SeenFrom)>,
    token_generations: Vec<(ApiAccountId, u32)>,
    sign_ins: Vec<(UserId, SignIns)>,
    counters: Vec<(String, u32)>,
}

fn rows<K: Ord + Clone, V: Clone>(table: &Table<K, V>) -> Vec<(K, V)> {
    table
        .iter()
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}

impl First {
    fn of(world: &World, rows_a_section: u32) -> Self {
        Self {
            rows_a_section,
            user_ids: world.users.keys().copied().collect(),
            jump_client_ids: world.jump_clients.keys().copied().collect(),
            installed: world.installed,
            site: world.site.clone(),
            agent_trust: world.agent_trust.clone(),
            settings: world.settings.clone(),
            ticket_system: world.ticket_system.clone(),
            ticket_connection: world.ticket_connection.clone(),
            mail_settings: world.mail_settings.clone(),
            mail_templates: rows(&world.mail_templates),
            mail_deliveries: rows(&world.mail_deliveries),
            api_accounts: rows(&world.api_accounts),
            teams: rows(&world.teams),
            jump_item_roles: rows(&world.jump_item_roles),
            jump_groups: rows(&world.jump_groups),
            group_policies: rows(&world.group_policies),
            jump_policies: rows(&world.jump_policies),
            schedules: rows(&world.schedules),
            jump_policy_revisions: rows(&world.jump_policy_revisions),
            access_requests: rows(&world.access_requests),
            approver_lists: rows(&world.approver_lists),
            requests_made: rows(&world.requests_made),
            ticket_requests: rows(&world.ticket_requests),
            installers: rows(&world.installers),
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
            access_review: world.access_review,
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
            token_generations: rows(&world.token_generations),
            sign_ins: rows(&world.sign_ins),
            counters: world
                .counters
                .iter()
                .map(|(name, number)| (name.clone(), *number))
                .collect(),
        }
    }
}

impl First {
    /// The world of the small tables.
    fn into_world(self) -> World {
        let snapshot = self;
        let mut world = World {
            site: snapshot.site,
            agent_trust: snapshot.agent_trust,
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
            jump_policy_revisions: snapshot.jump_policy_revisions.into_iter().collect(),
            access_requests: snapshot.access_requests.into_iter().collect(),
            approver_lists: snapshot.approver_lists.into_iter().collect(),
            requests_made: snapshot.requests_made.into_iter().collect(),
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
            access_review: snapshot.access_review,
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
            token_generations: snapshot.token_generations.into_iter().collect(),
            sign_ins: snapshot.sign_ins.into_iter().collect(),
            counters: snapshot.counters.into_iter().collect(),
            installed: snapshot.installed,
            ..World::default()
        };
        for ((policy, of), row) in snapshot.group_policy_rows {
            world.put_policy_row(policy, of, row);
        }
        world.rebuild_indexes();
        world
    }
}
