//! The outbox: what is due, what is parked, what a mail is about.

use crate::World;
use crate::ids::MailDeliveryId;
use crate::site::mail_delivery::{About, Delivery, State};
use crate::time::Timestamp;

impl World {
    /// Mails whose next attempt is due until `until`, the oldest first.
    pub fn mails_due(&self, until: Timestamp) -> impl Iterator<Item = (MailDeliveryId, &Delivery)> {
        self.mails_waiting
            .iter()
            .take_while(move |(due_at, _)| *due_at <= until)
            .filter_map(|(_, id)| Some((*id, self.mail_deliveries.get(id)?)))
    }

    /// When the next attempt is due that is due after `after`, if any is.
    #[must_use]
    pub fn next_mail_due_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.mails_waiting
            .range((after.plus(1), MailDeliveryId(0))..)
            .next()
            .map(|(due_at, _)| *due_at)
    }

    /// Parked mails with the instant they were parked at, the oldest first.
    pub fn parked_mails(&self) -> impl Iterator<Item = (Timestamp, MailDeliveryId)> {
        self.mails_parked.iter().copied()
    }

    /// Mails about a thing that have not left: what a console shows beside it (POL-31).
    pub fn mails_about(&self, about: About) -> impl Iterator<Item = (MailDeliveryId, &Delivery)> {
        self.mails_by_cause
            .range((about, MailDeliveryId(0))..=(about, MailDeliveryId(u128::MAX)))
            .filter_map(|(_, id)| Some((*id, self.mail_deliveries.get(id)?)))
    }

    pub(crate) fn put_mail(&mut self, id: MailDeliveryId, delivery: Delivery) {
        self.take_mail(id);
        self.index_mail(id, &delivery);
        self.mail_deliveries.insert(id, delivery);
    }

    pub(crate) fn change_mail(&mut self, id: MailDeliveryId, change: impl FnOnce(&mut Delivery)) {
        let Some(mut delivery) = self.mail_deliveries.get(&id).cloned() else {
            return;
        };
        change(&mut delivery);
        self.put_mail(id, delivery);
    }

    pub(crate) fn take_mail(&mut self, id: MailDeliveryId) {
        let Some(delivery) = self.mail_deliveries.get(&id).cloned() else {
            return;
        };
        match delivery.state {
            State::Waiting(due_at) => self.mails_waiting.remove(&(due_at, id)),
            State::Parked(since) => self.mails_parked.remove(&(since, id)),
        };
        if let Some(about) = delivery.mail.message.about() {
            self.mails_by_cause.remove(&(about, id));
        }
        self.mail_deliveries.remove(&id);
    }

    pub(crate) fn index_mail(&mut self, id: MailDeliveryId, delivery: &Delivery) {
        match delivery.state {
            State::Waiting(due_at) => self.mails_waiting.insert((due_at, id)),
            State::Parked(since) => self.mails_parked.insert((since, id)),
        };
        if let Some(about) = delivery.mail.message.about() {
            self.mails_by_cause.insert((about, id));
        }
    }
}
