//! Who is told what: the messages that a batch of events makes for one user.

use std::collections::BTreeSet;

use domain::access::permission;
use domain::ids::{AccessRequestId, JumpItemRef, Lsid, MailDeliveryId, TicketRequestId, UserId};
use domain::policy::access_request::{self, standing};
use domain::policy::ticket;
use domain::session::access_session;
use domain::site::mail_delivery::{self, About};
use domain::site::user;
use domain::{Event, World};
use projections::Recorded;
use serde_json::{Value, json};

/// Most items of one batch that are named; beyond, the page reads its list anew.
const ITEMS_NAMED_MAX: usize = 50;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// What kind of change.
    pub(super) kind: &'static str,
    /// Which thing.
    pub(super) body: Value,
}

/// Whether a batch holds something that may have ended the sign-in of `user`.
pub(super) fn concerns_sign_in(batch: &[Recorded], user: UserId) -> bool {
    batch.iter().any(|recorded| {
        matches!(&recorded.event, Event::User(of, event)
            if *of == user && !matches!(event, user::Event::SignedIn(_)))
    })
}

/// The messages for `user`: `before` is what was known before the batch, `now` after it.
pub(super) fn tell(before: &World, now: &World, user: UserId, batch: &[Recorded]) -> Vec<Told> {
    let mut teller = Teller {
        before,
        now,
        user,
        items: BTreeSet::new(),
        items_changed: false,
        rights_changed: false,
        told: Vec::new(),
    };
    for recorded in batch {
        teller.take(&recorded.event);
    }
    teller.finish()
}

struct Teller<'w> {
    before: &'w World,
    now: &'w World,
    user: UserId,
    items: BTreeSet<JumpItemRef>,
    items_changed: bool,
    rights_changed: bool,
    told: Vec<Told>,
}

/// What goes on inside a session is told to those who have a part in it; that it begins, ends, and who is in it, to all who see
/// its item.
const fn is_of_members_alone(event: &access_session::Event) -> bool {
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

impl Teller<'_> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::JumpClient(id, _) => {
                self.item(JumpItemRef::JumpClient(*id));
                for item in self.now.items_of_endpoint(*id) {
                    self.item(JumpItemRef::JumpClient(item));
                }
            }
            Event::ShellJump(id, _) => self.item(JumpItemRef::ShellJump(*id)),
            Event::ItemCustomFields(item, _) => self.item(*item),
            // The shortcuts through a Jumpoint may have gone with it.
            Event::Jumpoint(..) => self.items_changed = true,
            Event::AccessSession(lsid, event) => self.session(*lsid, event),
            Event::TicketRequest(id, event) => self.ticket_request(*id, event),
            // Clients are connected on nodes, so a node that stops takes many offline at once.
            Event::Node(..) => self.items_changed = true,
            Event::User(id, user::Event::Record(_)) if *id == self.user => {
                self.rights_changed = true;
            }
            // What decides who may do what; pages ask again what they may.
            Event::JumpItemRole(..)
            | Event::JumpGroup(..)
            | Event::Team(..)
            | Event::GroupPolicy(..)
            | Event::GroupPolicyOrder(_)
            | Event::JumpPolicy(..) => {
                self.rights_changed = true;
            }
            Event::AccessRequest(id, event) => self.access_request(*id, event),
            Event::MailDelivery(id, event) => self.mail(*id, event),
            Event::StartupGroup(id, _) if *id == self.user => {
                self.push("startup_group", json!({}));
            }
            Event::StartupGroup(..)
            | Event::Site(_)
            | Event::SiteSettings(..)
            | Event::MailSettings(..)
            | Event::MailTemplate(..)
            | Event::TicketSystem(..)
            | Event::User(..)
            | Event::ApiAccount(..)
            | Event::JumpClientInstaller(..)
            | Event::SessionPolicy(..)
            | Event::CustomField(..)
            | Event::CustomSessionAttribute(..)
            | Event::Audit(..) => {}
        }
    }

    fn item(&mut self, item: JumpItemRef) {
        if permission::access_to_item(self.now, self.user, item).is_some() {
            self.items.insert(item);
        } else if permission::access_to_item(self.before, self.user, item).is_some() {
            // Deleted, or moved out of sight.
            self.items_changed = true;
        }
    }

    fn session(&mut self, lsid: Lsid, event: &access_session::Event) {
        let session = self
            .now
            .sessions
            .get(&lsid)
            .or_else(|| self.before.sessions.get(&lsid));
        let Some(session) = session else {
            return;
        };
        // Whoever went with this batch is told of it as well.
        let has_part = [self.now, self.before].into_iter().any(|world| {
            world.sessions.get(&lsid).is_some_and(|session| {
                session.member(self.user).is_some() || session.is_invited(self.user)
            })
        });
        if is_of_members_alone(event) {
            if !has_part {
                return;
            }
        } else {
            let in_sight = permission::access_to_item(self.now, self.user, session.item).is_some();
            if !has_part && !in_sight {
                return;
            }
            if in_sight {
                self.items.insert(session.item);
            }
        }
        let mut body = json!({
            "lsid": lsid,
            "item": session.item.to_string(),
            "event": event.stored_name(),
            "mine": session.owner == self.user,
        });
        if let access_session::Event::EndAnnounced(announced) = event {
            body["ends_at"] = json!(announced.ends_at.to_rfc3339());
            body["minutes"] = json!(announced.minutes);
        }
        self.push("session", body);
    }

    /// The requester is told what became of it (APPR-17), approvers that there is something to answer; whoever may know of it
    /// reads the item anew. Nobody is told who answered (APPR-16).
    fn access_request(&mut self, id: AccessRequestId, event: &access_request::Event) {
        let (now, before) = (self.now, self.before);
        let found = now.access_requests.get(&id);
        let Some(request) = found.or_else(|| before.access_requests.get(&id)) else {
            return;
        };
        if permission::access_to_item(now, self.user, request.item).is_some() {
            self.items.insert(request.item);
        }
        let is_approver = request
            .approvers
            .iter()
            .any(|approver| approver.user_id == Some(self.user));
        let mine = request.requester == self.user;
        if !standing::is_known_to(now, request, self.user) {
            return;
        }
        self.push(
            "access_request",
            json!({
                "id": id,
                "item": request.item.to_string(),
                "event": event.stored_name(),
                "state": request.state.word(),
                "mine": mine,
                "to_answer": is_approver,
            }),
        );
    }

    /// A mail that did not leave is told at once (POL-31): to administrators, and to whoever it concerns. Why is for
    /// administrators to look up: it may name an approver's address.
    fn mail(&mut self, id: MailDeliveryId, event: &mail_delivery::Event) {
        let state = match event {
            mail_delivery::Event::Failed(_) => "waiting",
            mail_delivery::Event::Parked(_) => "parked",
            _ => return,
        };
        let Some(delivery) = self.now.mail_deliveries.get(&id) else {
            return;
        };
        let (request, lsid) = match delivery.mail.message.about() {
            Some(About::Request(request)) => (Some(request), None),
            Some(About::Session(lsid)) => (None, Some(lsid)),
            None => (None, None),
        };
        let of_request = request.and_then(|request| self.now.access_requests.get(&request));
        let of_session = lsid.and_then(|lsid| self.now.sessions.get(&lsid));
        let is_mine = of_request.is_some_and(|request| request.requester == self.user)
            || of_session.is_some_and(|session| session.owner == self.user);
        let is_administrator = self.now.is_administrator(self.user);
        if is_mine || is_administrator {
            let id = is_administrator.then(|| id.to_string());
            self.push(
                "mail",
                json!({
                    "id": id,
                    "type": delivery.mail.message.type_name(),
                    "access_request_id": request,
                    "lsid": lsid,
                    "state": state,
                }),
            );
        }
    }

    /// Whoever waits is told to look again.
    fn ticket_request(&mut self, id: TicketRequestId, event: &ticket::Event) {
        let request = self
            .before
            .ticket_requests
            .get(&id)
            .or_else(|| self.now.ticket_requests.get(&id));
        if request.is_some_and(|request| request.start.user == self.user) {
            self.push(
                "ticket_request",
                json!({"id": id, "event": event.stored_name()}),
            );
        }
    }

    fn push(&mut self, kind: &'static str, body: Value) {
        self.told.push(Told { kind, body });
    }

    fn finish(mut self) -> Vec<Told> {
        if self.rights_changed {
            self.push("rights", json!({}));
        }
        if self.items_changed || self.items.len() > ITEMS_NAMED_MAX {
            self.push("items_changed", json!({}));
        } else {
            for item in std::mem::take(&mut self.items) {
                self.push("item", json!({"id": item.to_string()}));
            }
        }
        self.told
    }
}
