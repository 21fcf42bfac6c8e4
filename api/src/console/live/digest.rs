//! What a stretch of the log changed, worked out once for all streams of a node.
//!
//! A node has hundreds of open consoles and takes thousands of events a second. So no stream looks at events: one task follows the
//! log, gathers what was committed within [`GATHERED_FOR`] by Jump Group and by person, and hands the same digest to every
//! stream, which asks the permission function once for each Jump Group in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::access::{group_policy, jump_group};
use domain::ids::{
    AccessRequestId, GroupPolicyId, JumpGroupRef, JumpItemRef, JumpItemRoleId, Lsid,
    MailDeliveryId, TeamId, TicketRequestId, UserId,
};
use domain::policy::access_request::{self, AccessRequest};
use domain::session::access_session::{self, EndReason, Failed};
use domain::site::{mail_delivery, team, user};
use domain::{Event, Timestamp, World};
use engine::Published;
use projections::Recorded;
use serde_json::{Value, json};

/// How long changes are gathered before streams are woken, where they were woken just before. The first change after a quiet
/// while is told at once.
pub(super) const GATHERED_FOR: Duration = Duration::from_millis(250);

/// Most items of one Jump Group that a digest names; beyond, pages read their lists anew.
pub(super) const ITEMS_NAMED_MAX: usize = 50;

/// Most changes of rights that are looked at one by one; beyond, they are taken to concern everybody.
const RIGHTS_MAX: usize = 64;

/// Most single news of one digest; beyond, pages read everything anew.
const NEWS_MAX: usize = 10_000;

/// The digest.
pub(super) struct Digest {
    /// The last event it knows of.
    pub(super) position: u64,
    /// The World before its first event.
    pub(super) before: Arc<Published>,
    /// The World at its last event, or a little later.
    pub(super) now: Arc<Published>,
    /// Events are missing, or there are too many: pages read everything anew.
    pub(super) incomplete: bool,
    /// The items that changed, by the Jump Group they are in or were in.
    pub(super) items: BTreeMap<JumpGroupRef, ItemChanges>,
    /// So many items changed that all lists are to be read anew.
    pub(super) all_items: bool,
    /// Users whose account or sign-ins changed.
    pub(super) accounts: BTreeSet<UserId>,
    /// What decides who may do what.
    pub(super) rights: BTreeSet<RightsChange>,
    /// What concerns certain people.
    pub(super) news: Vec<News>,
}

/// The items of one Jump Group that changed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ItemChanges {
    /// Those that are in it.
    pub(super) changed: BTreeSet<JumpItemRef>,
    /// Items left it, or more changed than are named.
    pub(super) read_anew: bool,
}

/// A change of what decides who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RightsChange {
    /// It may concern everybody.
    All,
    /// One user's own rights.
    User(UserId),
    /// Whoever holds the role.
    Role(JumpItemRoleId),
    /// Whoever sees the Jump Group.
    Group(JumpGroupRef),
    /// Whoever is in the team.
    Team(TeamId),
    /// Whoever is a member of the group policy.
    GroupPolicy(GroupPolicyId),
}

/// Something that concerns certain people.
pub(super) enum News {
    /// An access session.
    Session(Box<SessionNews>),
    /// A request for approved access.
    AccessRequest {
        /// Which.
        id: AccessRequestId,
        /// The request, as it was then.
        request: Box<AccessRequest>,
        /// Whom it asks; the list goes with the request when its window is over.
        asked: Vec<UserId>,
        /// The stored name of the event.
        event: &'static str,
    },
    /// A mail that did not leave (POL-31).
    Mail {
        /// Which.
        id: MailDeliveryId,
        /// The word of its type.
        type_name: &'static str,
        /// The request it is about.
        request: Option<AccessRequestId>,
        /// The session it is about.
        lsid: Option<Lsid>,
        /// Whose request or session that is.
        concerned: Option<UserId>,
        /// `waiting` or `parked`.
        state: &'static str,
    },
    /// A request to the ticket system.
    TicketRequest {
        /// Which.
        id: TicketRequestId,
        /// Who waits for it.
        user: UserId,
        /// The stored name of the event.
        event: &'static str,
    },
    /// The Jump on Startup group of a user.
    StartupGroup(UserId),
}

/// News of an access session.
pub(super) struct SessionNews {
    pub(super) lsid: Lsid,
    pub(super) item: JumpItemRef,
    /// Where the item is; none once it is deleted.
    pub(super) group: Option<JumpGroupRef>,
    pub(super) owner: UserId,
    /// Members and invited users, those who went with this event included.
    pub(super) involved: BTreeSet<UserId>,
    /// Only they are told; else whoever sees the item is as well.
    pub(super) members_only: bool,
    /// The stored name of the event.
    pub(super) event: &'static str,
    /// When it will end and in how many minutes, where its end was announced.
    pub(super) ends: Option<(Timestamp, u32)>,
    /// Why it ended, a member went, or an invitation closed.
    pub(super) why: Option<Why>,
    /// Why it never came up, for those involved (ERR-11, ERR-12).
    pub(super) failure: Option<Failed>,
}

/// Why a session ended, a member went, or an invitation closed.
pub(super) struct Why {
    /// Who went, or was invited; none where the session ended.
    pub(super) user: Option<UserId>,
    /// The stored word of the reason, and its words; none of an invitation that closed.
    pub(super) reason: Option<(Value, &'static str)>,
    /// What else is known, such as which gate is closed; may be empty.
    pub(super) detail: String,
    /// Whom alone the detail concerns; none where it concerns everybody.
    pub(super) detail_for: Option<UserId>,
}

impl Why {
    fn of(event: &access_session::Event, owner: UserId) -> Option<Self> {
        match event {
            access_session::Event::Ended(ended) => Some(Self {
                user: None,
                reason: Some((json!(ended.reason), ended.reason.words())),
                detail: ended.detail.clone(),
                detail_for: (ended.reason == EndReason::AccessWithdrawn).then_some(owner),
            }),
            access_session::Event::Departed(departed) => Some(Self {
                user: Some(departed.user_id),
                reason: Some((json!(departed.reason), departed.reason.words())),
                detail: departed.detail.clone(),
                detail_for: Some(departed.user_id),
            }),
            access_session::Event::InvitationClosed(closed) => Some(Self {
                user: Some(closed.user_id),
                reason: None,
                detail: closed.detail.clone(),
                detail_for: Some(closed.user_id),
            }),
            _ => None,
        }
    }

    /// The words for `user`; none where there is nothing to say.
    pub(super) fn message_for(&self, user: UserId) -> Option<String> {
        let is_concerned = self.detail_for.is_none_or(|concerned| concerned == user);
        let detail = Some(self.detail.as_str()).filter(|words| is_concerned && !words.is_empty());
        match (&self.reason, detail) {
            (Some((_, words)), Some(detail)) => Some(format!("{words}: {detail}")),
            (Some((_, words)), None) => Some(format!("{words}.")),
            (None, detail) => detail.map(str::to_owned),
        }
    }
}

/// What goes on inside a session is told to those who have a part in it; that it begins, ends, and who is in it, to all who see
/// its item.
const fn concerns_members_only(event: &access_session::Event) -> bool {
    match event {
        access_session::Event::Started(_)
        | access_session::Event::Established(_)
        | access_session::Event::Failed(_)
        | access_session::Event::Ended(_)
        | access_session::Event::Joined(_)
        | access_session::Event::Departed(_)
        | access_session::Event::OwnerChanged(_) => false,
        access_session::Event::Invited(_)
        | access_session::Event::InvitationClosed(_)
        | access_session::Event::AttributesChanged(_)
        | access_session::Event::EndAnnounced(_)
        | access_session::Event::MemberActive(_)
        | access_session::Event::DetailRecorded(_) => true,
    }
}

impl Digest {
    /// Nothing yet, after `before`.
    pub(super) fn after(before: Arc<Published>) -> Self {
        Self {
            position: before.tail.position,
            now: Arc::clone(&before),
            before,
            incomplete: false,
            items: BTreeMap::new(),
            all_items: false,
            accounts: BTreeSet::new(),
            rights: BTreeSet::new(),
            news: Vec::new(),
        }
    }

    /// Whether nobody need be woken for it.
    pub(super) fn is_empty(&self) -> bool {
        !self.incomplete
            && !self.all_items
            && self.items.is_empty()
            && self.accounts.is_empty()
            && self.rights.is_empty()
            && self.news.is_empty()
    }

    /// Events up to `until` are missing.
    pub(super) fn miss(&mut self, until: u64) {
        self.position = self.position.max(until);
        self.incomplete = true;
    }

    /// Takes in a batch, after which the World is `now`.
    pub(super) fn take(&mut self, batch: &[Recorded], now: Arc<Published>) {
        let before = std::mem::replace(&mut self.now, now);
        let now = Arc::clone(&self.now);
        for recorded in batch {
            self.take_event(&recorded.event, &before.world, &now.world);
            self.position = recorded.position;
        }
        if self.news.len() > NEWS_MAX {
            self.news.clear();
            self.incomplete = true;
        }
        let costly = |change: &&RightsChange| !matches!(change, RightsChange::User(_));
        if self.rights.iter().filter(costly).count() > RIGHTS_MAX {
            self.rights = BTreeSet::from([RightsChange::All]);
        }
    }

    fn take_event(&mut self, event: &Event, before: &World, now: &World) {
        match event {
            Event::JumpClient(id, _) => {
                self.item(JumpItemRef::JumpClient(*id), before, now);
                for item in now.items_of_endpoint(*id) {
                    self.item(JumpItemRef::JumpClient(item), before, now);
                }
            }
            Event::ShellJump(id, _) => self.item(JumpItemRef::ShellJump(*id), before, now),
            Event::ItemCustomFields(item, _) => self.item(*item, before, now),
            // The shortcuts through a Jumpoint may have gone with it; clients are connected on nodes, so a node that stops takes
            // many offline at once.
            Event::Jumpoint(..) | Event::Node(..) => self.all_items = true,
            Event::AccessSession(lsid, event) => self.session(*lsid, event, before, now),
            Event::TicketRequest(id, event) => {
                let request = before.ticket_requests.get(id);
                if let Some(request) = request.or_else(|| now.ticket_requests.get(id)) {
                    self.news.push(News::TicketRequest {
                        id: *id,
                        user: request.start.user,
                        event: event.stored_name(),
                    });
                }
            }
            // Whoever guesses passwords has nobody's sign-in looked at.
            Event::User(_, user::Event::SignInFailed(_)) => {}
            Event::User(id, event) => {
                self.accounts.insert(*id);
                if matches!(event, user::Event::Record(_)) {
                    self.rights.insert(RightsChange::User(*id));
                }
            }
            Event::JumpItemRole(id, _) => {
                self.rights.insert(RightsChange::Role(*id));
            }
            Event::JumpGroup(id, event) => {
                self.rights.insert(match event {
                    jump_group::Event::Record(_) => RightsChange::Group(JumpGroupRef::Shared(*id)),
                    jump_group::Event::MemberAdded(member)
                    | jump_group::Event::MemberChanged(member) => {
                        RightsChange::User(member.user_id)
                    }
                    jump_group::Event::MemberRemoved(member) => RightsChange::User(member.user_id),
                });
            }
            Event::Team(id, event) => {
                self.rights.insert(RightsChange::Team(*id));
                match event {
                    team::Event::Record(_) => {}
                    team::Event::MemberAdded(member) | team::Event::MemberChanged(member) => {
                        self.rights.insert(RightsChange::User(member.user_id));
                    }
                    team::Event::MemberRemoved(member) => {
                        self.rights.insert(RightsChange::User(member.user_id));
                    }
                }
            }
            Event::GroupPolicy(id, event) => self.group_policy(*id, event, before, now),
            // Which policy wins, and what items ask for, may change for anybody.
            Event::GroupPolicyOrder(_) | Event::JumpPolicy(..) => {
                self.rights.insert(RightsChange::All);
            }
            Event::AccessRequest(id, event) => self.access_request(*id, event, before, now),
            Event::MailDelivery(id, event) => self.mail(*id, event, now),
            Event::StartupGroup(id, _) => self.news.push(News::StartupGroup(*id)),
            Event::Site(_)
            | Event::AgentTrust(_)
            | Event::SiteSettings(..)
            | Event::MailSettings(..)
            | Event::MailTemplate(..)
            | Event::TicketSystem(..)
            | Event::ApiAccount(..)
            | Event::JumpClientInstaller(..)
            | Event::SessionPolicy(..)
            | Event::CustomField(..)
            | Event::CustomSessionAttribute(..)
            | Event::AccessReview(_)
            | Event::Audit(..)
            | Event::External(_) => {}
        }
    }

    fn item(&mut self, item: JumpItemRef, before: &World, now: &World) {
        let (was_in, is_in) = (before.group_of(item), now.group_of(item));
        if let Some(group) = is_in {
            let changes = self.items.entry(group).or_default();
            if changes.changed.len() < ITEMS_NAMED_MAX {
                changes.changed.insert(item);
            } else if !changes.changed.contains(&item) {
                changes.read_anew = true;
            }
        }
        if let Some(left) = was_in.filter(|_| was_in != is_in) {
            self.items.entry(left).or_default().read_anew = true;
        }
    }

    fn session(&mut self, lsid: Lsid, event: &access_session::Event, before: &World, now: &World) {
        let worlds = [now, before];
        let mut versions = worlds
            .into_iter()
            .filter_map(|world| world.sessions.get(&lsid));
        let Some(session) = versions.next() else {
            return;
        };
        let involved = std::iter::once(session)
            .chain(versions)
            .flat_map(access_session::AccessSession::users);
        let news = SessionNews {
            lsid,
            item: session.item,
            group: now.group_of(session.item),
            owner: session.owner,
            involved: involved.collect(),
            members_only: concerns_members_only(event),
            event: event.stored_name(),
            ends: match event {
                access_session::Event::EndAnnounced(announced) => {
                    Some((announced.ends_at, announced.minutes))
                }
                _ => None,
            },
            why: Why::of(event, session.owner),
            failure: match event {
                access_session::Event::Failed(failed) => Some(failed.clone()),
                _ => None,
            },
        };
        if !news.members_only {
            self.item(news.item, before, now);
        }
        self.news.push(News::Session(Box::new(news)));
    }

    /// What a policy says concerns its members, and of teams it speaks of whoever is in them.
    fn group_policy(
        &mut self,
        id: GroupPolicyId,
        event: &group_policy::Event,
        before: &World,
        now: &World,
    ) {
        if let group_policy::Event::MemberAdded(member)
        | group_policy::Event::MemberRemoved(member) = event
        {
            self.rights.insert(RightsChange::User(member.user_id));
        } else {
            self.rights.insert(RightsChange::GroupPolicy(id));
        }
        for world in [before, now] {
            for (about, _) in world.rows_of_policy(id) {
                if let group_policy::Of::Team(team) = about {
                    self.rights.insert(RightsChange::Team(team));
                }
            }
        }
    }

    fn access_request(
        &mut self,
        id: AccessRequestId,
        event: &access_request::Event,
        before: &World,
        now: &World,
    ) {
        let is_over = !now.access_requests.contains(&id);
        let known = if is_over { before } else { now };
        let Some(request) = known.access_requests.get(&id) else {
            return;
        };
        self.item(request.item, before, now);
        let asked = known.approvers_of(request);
        self.news.push(News::AccessRequest {
            id,
            request: Box::new(request.clone()),
            asked: asked.filter_map(|approver| approver.user_id).collect(),
            event: event.stored_name(),
        });
    }

    fn mail(&mut self, id: MailDeliveryId, event: &mail_delivery::Event, now: &World) {
        let state = match event {
            mail_delivery::Event::Failed(_) => "waiting",
            mail_delivery::Event::Parked(_) => "parked",
            _ => return,
        };
        let Some(delivery) = now.mail_deliveries.get(&id) else {
            return;
        };
        let message = &delivery.mail.message;
        let (request, lsid) = match message.about() {
            Some(mail_delivery::About::Request(request)) => (Some(request), None),
            Some(mail_delivery::About::Session(lsid)) => (None, Some(lsid)),
            None => (None, None),
        };
        let requester = request
            .and_then(|request| now.access_requests.get(&request))
            .map(|request| request.requester);
        let owner = lsid
            .and_then(|lsid| now.sessions.get(&lsid))
            .map(|session| session.owner);
        self.news.push(News::Mail {
            id,
            type_name: message.type_name(),
            request,
            lsid,
            // The mail about its end comes when the session is there no more.
            concerned: requester.or(owner).or(message.jumped()),
            state,
        });
    }
}
