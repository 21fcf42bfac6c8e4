//! All that a later decision may ask, and the dispatch of [`decide`] and [`World::apply`].
//!
//! A [`World`] is made of persistent maps: a copy costs nothing and shares all that did not change. Ended sessions and
//! deleted things leave it; only counters stay.

use std::collections::BTreeMap;

use imbl::{OrdMap, OrdSet, Vector};

use crate::access::admission;
use crate::access::group_policy::{self, GroupPolicy};
use crate::access::jump_group::{self, JumpGroup, Membership};
use crate::access::review::{self, PendingReview};
use crate::access::role::JumpItemRole;
use crate::fleet::capacity::Installed;
use crate::fleet::installer::{self, JumpClientInstaller};
use crate::fleet::jump_client::{self, JumpClient};
use crate::ids::TicketRequestId;
use crate::ids::{
    AccessRequestId, ApiAccountId, CustomFieldId, CustomSessionAttributeId, GroupPolicyId,
    GroupPolicyMemberId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpGroupRef,
    JumpItemRef, JumpItemRoleId, JumpPolicyId, JumpointId, KeyedHash, Lsid, MailDeliveryId,
    MailTemplateId, NodeEpoch, SessionPolicyId, ShellJumpId, TeamId, UserId,
};
use crate::items::custom_field::{self, CustomField};
use crate::items::jumpoint::{self, Jumpoint};
use crate::items::shell::{self, ShellJumpItem};
use crate::late::Late;
use crate::node::{self, Node};
use crate::policy::access_request::{self, AccessRequest, ApproverList};
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::schedule::Schedule;
use crate::policy::session_policy::SessionPolicy;
use crate::policy::ticket::{self, TicketRequest};
use crate::record;
use crate::session::access_session::{self, AccessSession};
use crate::session::startup_group;
use crate::site::agent_trust::{self, AgentTrust};
use crate::site::api_account::{self, ApiAccount, SeenFrom};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::first_start::{self, Site};
use crate::site::mail_delivery::{self, About, Delivery};
use crate::site::mail_settings::MailSettings;
use crate::site::mail_template::{self, MailTemplate};
use crate::site::settings::SiteSettings;
use crate::site::team::{self, Team, TeamRole};
use crate::site::ticket_system::{self, TicketSystem};
use crate::site::upgrade;
use crate::site::user::sign_in::SignIns;
use crate::site::user::{self, User};
use crate::table::Table;
use crate::world::names::Names;
use crate::{Command, Context, Decision, Event, Timestamp, audit};

mod group_policies;
mod groups;
mod in_short;
mod item_texts;
mod items;
mod jumpoints;
mod mail;
pub(crate) mod names;
mod people;
mod requests;
mod sessions;
mod teams;
#[cfg(test)]
mod tests;
mod tickets;
mod usage;

pub use item_texts::ItemText;
pub(crate) use requests::Inbox;
pub use sessions::RECENT_ITEMS_MAX;

/// Everything that is known. Reading is free for all; only events change it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The site, once it is made.
    pub site: Option<Site>,
    /// What agents trust, and where they find the site.
    pub agent_trust: AgentTrust,
    /// The site's settings.
    pub settings: SiteSettings,
    /// The ticket system's settings.
    pub ticket_system: TicketSystem,
    /// How the ticket system has answered of late.
    pub ticket_connection: ticket_system::Connection,
    /// How mail leaves the site.
    pub mail_settings: MailSettings,
    /// Mail templates that are not as shipped.
    pub mail_templates: Table<MailTemplateId, MailTemplate>,
    /// Mails that have not left.
    pub mail_deliveries: Table<MailDeliveryId, Delivery>,
    /// Users by id.
    pub users: Table<UserId, User>,
    /// API accounts by id.
    pub api_accounts: Table<ApiAccountId, ApiAccount>,
    /// Teams by id.
    pub teams: Table<TeamId, Team>,
    /// Jump Item Roles by id.
    pub jump_item_roles: Table<JumpItemRoleId, JumpItemRole>,
    /// Shared Jump Groups by id.
    pub jump_groups: Table<JumpGroupId, JumpGroup>,
    /// Group policies by id.
    pub group_policies: Table<GroupPolicyId, GroupPolicy>,
    /// Jump Policies by id.
    pub jump_policies: Table<JumpPolicyId, JumpPolicy>,
    /// Their schedules.
    pub schedules: Table<JumpPolicyId, Schedule>,
    /// Requests for approved access whose window is not over.
    pub access_requests: Table<AccessRequestId, AccessRequest>,
    /// Requests that wait for the ticket system.
    pub ticket_requests: Table<TicketRequestId, TicketRequest>,
    /// Installers by id, expired ones too until they are deleted.
    pub installers: Table<JumpClientInstallerId, JumpClientInstaller>,
    /// Jump Clients by id.
    pub jump_clients: Table<JumpClientId, JumpClient>,
    /// Shell Jump items by id.
    pub shell_jumps: Table<ShellJumpId, ShellJumpItem>,
    /// Jumpoints by id.
    pub jumpoints: Table<JumpointId, Jumpoint>,
    /// Session policies by id.
    pub session_policies: Table<SessionPolicyId, SessionPolicy>,
    /// The custom fields that items have.
    pub custom_fields: Table<CustomFieldId, CustomField>,
    /// The custom attributes that sessions may carry.
    pub custom_session_attributes: Table<CustomSessionAttributeId, CustomSessionAttribute>,
    /// Sessions that have not ended.
    pub sessions: Table<Lsid, AccessSession>,
    /// Sessions that are still to be looked at because rights were taken away.
    pub access_review: Option<PendingReview>,
    /// Nodes that run.
    pub nodes: Table<NodeEpoch, Node>,

    /// Whom requests ask, by the request whose event has the list.
    pub(crate) approver_lists: Table<AccessRequestId, ApproverList>,
    /// When users made requests of late, and how many mails each was.
    pub(crate) requests_made: Table<UserId, Vec<(Timestamp, u32)>>,
    pub(crate) bare_endpoints: Table<JumpClientId, JumpClient>,
    pub(crate) jumpoint_users: OrdSet<(JumpointId, UserId)>,
    /// The revision of each Jump Policy's stream: which version of it a decision went by.
    pub(crate) jump_policy_revisions: Table<JumpPolicyId, u64>,
    pub(crate) custom_values: Table<JumpItemRef, BTreeMap<CustomFieldId, String>>,
    pub(crate) members: Table<(JumpGroupId, UserId), Membership>,
    pub(crate) team_members: Table<(TeamId, UserId), TeamRole>,
    pub(crate) group_policy_order: Vector<GroupPolicyId>,
    pub(crate) group_policy_members: Table<(GroupPolicyId, UserId), GroupPolicyMemberId>,
    pub(crate) group_policy_rows:
        Table<GroupPolicyId, BTreeMap<group_policy::Of, group_policy::Row>>,
    pub(crate) stopped_nodes: OrdMap<NodeEpoch, Timestamp>,
    /// Until when the site had which other deletion days, the oldest first.
    pub(crate) earlier_deletion_days: Vector<(Timestamp, u32)>,
    pub(crate) seen_from: Table<ApiAccountId, SeenFrom>,
    /// How often an account's tokens were ended at once because it was disabled.
    pub(crate) token_generations: Table<ApiAccountId, u32>,
    pub(crate) sign_ins: Table<UserId, SignIns>,
    /// Items that are jumped to when their user signs in.
    pub(crate) startup_items: OrdSet<(UserId, JumpItemRef)>,
    /// Items that a user accessed last, the newest first.
    pub(crate) recent_items: Table<UserId, Vec<JumpItemRef>>,
    pub(crate) counters: OrdMap<String, u32>,

    // Indexes: made from the above, never asked of the log.
    pub(crate) names: Names,
    pub(crate) groups_of_member: OrdSet<(UserId, JumpGroupId)>,
    pub(crate) teams_of_member: OrdSet<(UserId, TeamId)>,
    pub(crate) policies_of_users: Table<UserId, Vec<GroupPolicyId>>,
    pub(crate) requests_by_item: OrdSet<(JumpItemRef, AccessRequestId)>,
    pub(crate) requests_by_requester: OrdSet<(UserId, AccessRequestId)>,
    pub(crate) requests_by_list: OrdSet<(AccessRequestId, AccessRequestId)>,
    pub(crate) waiting_by_requester: OrdSet<(UserId, AccessRequestId)>,
    pub(crate) waiting_by_list: OrdSet<(AccessRequestId, UserId, AccessRequestId)>,
    pub(crate) approver_lists_by_policy: OrdSet<(JumpPolicyId, AccessRequestId)>,
    pub(crate) approver_lists_by_inbox: OrdSet<(Inbox, AccessRequestId)>,
    pub(crate) users_by_name: Late<OrdMap<String, UserId>>,
    pub(crate) api_accounts_by_client_id: OrdMap<String, ApiAccountId>,
    pub(crate) installers_by_uid: OrdMap<String, JumpClientInstallerId>,
    /// By a short form of the attempt.
    pub(crate) clients_by_attempt: Late<OrdMap<u64, JumpClientId>>,
    pub(crate) copies: Late<OrdSet<(JumpClientId, JumpClientId)>>,
    /// Endpoints by a short form of what their agents say identifies their machine.
    pub(crate) endpoints_by_machine: Late<OrdSet<(u64, JumpClientId)>>,
    pub(crate) installed: Installed,
    pub(crate) items_by_group: Late<OrdSet<(JumpGroupRef, JumpItemRef)>>,
    /// By the hash of a text without regard to case.
    pub(crate) items_by_text: Late<OrdSet<(u64, JumpItemRef)>>,
    pub(crate) startup_by_item: OrdSet<(JumpItemRef, UserId)>,
    pub(crate) session_by_item: OrdMap<JumpItemRef, Lsid>,
    /// Sessions by who is in them or invited to them.
    pub(crate) sessions_of_user: OrdSet<(UserId, Lsid)>,
    /// Sessions by the client whose agent serves them.
    pub(crate) sessions_of_endpoint: OrdSet<(JumpClientId, Lsid)>,
    pub(crate) starting: OrdSet<(UserId, Lsid)>,
    pub(crate) gsnumbers: OrdSet<u32>,
    pub(crate) mails_waiting: OrdSet<(Timestamp, MailDeliveryId)>,
    pub(crate) mails_parked: OrdSet<(Timestamp, MailDeliveryId)>,
    pub(crate) mails_by_cause: OrdSet<(About, MailDeliveryId)>,
    pub(crate) ticket_requests_by_key: OrdMap<KeyedHash, TicketRequestId>,
    pub(crate) ticket_requests_of_user: OrdSet<(UserId, TicketRequestId)>,
}

/// Most events that one command makes (architecture.md, "Bounds").
pub const EVENTS_MAX: usize = 1_000;

/// Decides what becomes of `command`: the events that happen, in order, or why nothing does. Where they take a right away, what
/// rested on it ends in the same decision; see [`review`].
///
/// # Errors
/// The refusal, with the words for the caller.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    admission::check(world, command, context)?;
    let events = decide_by_aggregate(world, command, context)?;
    Ok(review::follow(world, events, context))
}

fn decide_by_aggregate(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::FirstStart(command) => first_start::decide(world, command, context),
        Command::Upgrade(command) => upgrade::decide(world, command),
        Command::AgentTrust(command) => agent_trust::decide(world, command),
        Command::SiteSettings(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::SiteSettings(id, event)
            })
        }
        Command::TicketSystem(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::TicketSystem(id, event)
            })
        }
        Command::MailSettings(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::MailSettings(id, event)
            })
        }
        Command::MailTemplate(command) => mail_template::decide(world, command, context),
        Command::MailDelivery(command) => mail_delivery::decide(world, command, context),
        Command::User(command) => user::decide(world, command, context),
        Command::Team(command) => team::decide(world, command, context),
        Command::ApiAccount(command) => api_account::decide(world, command, context),
        Command::JumpItemRole(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::JumpItemRole(id, event)
            })
        }
        Command::JumpGroup(command) => jump_group::decide(world, command, context),
        Command::GroupPolicy(command) => group_policy::decide(world, command, context),
        Command::JumpPolicy(command) => jump_policy::decide(world, command, context),
        Command::AccessRequest(command) => access_request::decide(world, command, context),
        Command::TicketRequest(command) => ticket::decide(world, command, context),
        Command::JumpClientInstaller(command) => installer::decide_record(world, command, context),
        Command::Installer(command) => installer::decide(world, command, context),
        Command::JumpClient(command) => jump_client::decide(world, command, context),
        Command::ShellJump(command) => shell::decide(world, command, context),
        Command::Jumpoint(command) => jumpoint::decide(world, command, context),
        Command::SessionPolicy(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::SessionPolicy(id, event)
            })
        }
        Command::CustomField(command) => custom_field::decide(world, command, context),
        Command::CustomSessionAttribute(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::CustomSessionAttribute(id, event)
            })
        }
        Command::AccessSession(command) => access_session::decide(world, command, context),
        Command::StartupGroup(command) => startup_group::decide(world, command, context),
        Command::Node(command) => node::decide(world, command, context),
        Command::AccessReview(command) => Ok(review::decide(world, command)),
        Command::Audit(command) => audit::decide(command, context),
    }
}

fn plain<T>(happened: Option<T>, wrap: impl Fn(T) -> Event) -> Decision {
    Ok(happened.map(wrap).into_iter().collect())
}

impl World {
    /// Folds one event in. `at` is when it was recorded. What is stored has happened: this can't fail.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Site(event) => first_start::apply(self, event),
            Event::AgentTrust(event) => agent_trust::apply(self, event, at),
            Event::SiteSettings(id, event) => record::apply(self, *id, event, at),
            Event::TicketSystem(id, event) => record::apply(self, *id, event, at),
            Event::MailSettings(id, event) => record::apply(self, *id, event, at),
            Event::MailTemplate(id, event) => mail_template::apply(self, id, event),
            Event::MailDelivery(id, event) => mail_delivery::apply(self, *id, event, at),
            Event::User(id, event) => user::apply(self, *id, event, at),
            Event::Team(id, event) => team::apply(self, *id, event, at),
            Event::ApiAccount(id, event) => api_account::apply(self, *id, event, at),
            Event::JumpItemRole(id, event) => record::apply(self, *id, event, at),
            Event::JumpGroup(id, event) => jump_group::apply(self, *id, event, at),
            Event::GroupPolicy(id, event) => group_policy::apply(self, *id, event, at),
            Event::GroupPolicyOrder(ordered) => group_policy::apply_order(self, ordered),
            Event::JumpPolicy(id, event) => jump_policy::apply(self, *id, event, at),
            Event::AccessRequest(id, event) => access_request::apply(self, *id, event, at),
            Event::TicketRequest(id, event) => ticket::apply(self, *id, event, at),
            Event::JumpClientInstaller(id, event) => record::apply(self, *id, event, at),
            Event::JumpClient(id, event) => jump_client::apply(self, *id, event, at),
            Event::ShellJump(id, event) => record::apply(self, *id, event, at),
            Event::Jumpoint(id, event) => jumpoint::apply(self, *id, event, at),
            Event::SessionPolicy(id, event) => record::apply(self, *id, event, at),
            Event::CustomField(id, event) => record::apply(self, *id, event, at),
            Event::ItemCustomFields(item, event) => {
                custom_field::apply_values(self, *item, event);
            }
            Event::CustomSessionAttribute(id, event) => record::apply(self, *id, event, at),
            Event::AccessSession(lsid, event) => access_session::apply(self, *lsid, event, at),
            Event::StartupGroup(user, event) => startup_group::apply(self, *user, event),
            Event::Node(epoch, event) => node::apply(self, *epoch, event, at),
            Event::AccessReview(event) => review::apply(self, event, at),
            Event::Audit(..) | Event::External(_) => {}
        }
    }

    // --- ids ---

    /// The next id of the counter `category`; one per API resource path, never used twice.
    #[must_use]
    pub fn next_id(&self, category: &str) -> u32 {
        self.counters.get(category).copied().unwrap_or(0) + 1
    }

    /// Notes that `number` is taken.
    pub(crate) fn used_id(&mut self, category: &str, number: u32) {
        if self.next_id(category) <= number {
            self.counters.insert(category.to_owned(), number);
        }
    }

    /// The two lowest free connection numbers, from 1 (REP-42).
    #[must_use]
    pub fn free_gsnumbers(&self) -> [u32; 2] {
        let mut free = (1..).filter(|number| !self.gsnumbers.contains(number));
        [free.next().unwrap_or(1), free.next().unwrap_or(2)]
    }

    /// Lets go of the snapshot that it was read from, if any, whose bytes stay in memory while something in it is unread.
    /// Blocks for as long as it takes to read that.
    pub fn let_go_of_snapshot(&mut self) {
        self.users.let_go();
        self.jump_clients.let_go();
        self.users_by_name.let_go();
        self.clients_by_attempt.let_go();
        self.endpoints_by_machine.let_go();
        self.items_by_group.let_go();
        self.items_by_text.let_go();
        self.copies.let_go();
    }

    /// Makes the indexes of the small tables anew, after these were put in place by a snapshot.
    pub(crate) fn rebuild_indexes(&mut self) {
        self.groups_of_member = self
            .members
            .iter()
            .map(|((group, user), _)| (*user, *group))
            .collect();
        self.teams_of_member = self
            .team_members
            .iter()
            .map(|((team, user), _)| (*user, *team))
            .collect();
        self.index_policies_of_users();
        self.names = Names::default();
        for (id, team) in self.teams.clone().iter() {
            self.name_team(*id, team);
        }
        for (id, group) in self.jump_groups.clone().iter() {
            self.name_group(*id, group);
        }
        for (id, policy) in self.jump_policies.clone().iter() {
            self.name_policy(*id, policy);
        }
        self.name_what_items_need();
        self.api_accounts_by_client_id = self
            .api_accounts
            .iter()
            .map(|(id, account)| (account.client_id.clone(), *id))
            .collect();
        self.installers_by_uid = self
            .installers
            .iter()
            .map(|(id, installer)| (installer.installer_id.clone(), *id))
            .collect();
        let mails = self.mail_deliveries.clone();
        for (id, delivery) in mails.iter() {
            self.index_mail(*id, delivery);
        }
        for (id, list) in self.approver_lists.clone().iter() {
            self.index_approver_list(*id, list);
        }
        for (id, request) in self.access_requests.clone().iter() {
            self.index_request(*id, request);
        }
        self.startup_by_item = self
            .startup_items
            .iter()
            .map(|(user, item)| (*item, *user))
            .collect();
        let tickets = self.ticket_requests.clone();
        for (id, request) in tickets.iter() {
            self.index_ticket_request(*id, request);
        }
        let sessions = self.sessions.clone();
        for (lsid, session) in sessions.iter() {
            self.index_session(*lsid, session);
        }
    }
}
