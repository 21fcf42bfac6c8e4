//! Mails about a request or a session that could not be delivered, as they are shown beside it (POL-31).

use domain::World;
use domain::ids::UserId;
use domain::site::mail_delivery::{About, Delivery, State};
use serde_json::{Value, json};

/// Most mails that are looked at for one thing: a request may have one for each of its approvers.
const LOOKED_AT_MAX: usize = 500;
/// Most mails that are shown one by one.
const SHOWN_MAX: usize = 20;

/// The mails about `about` of which an attempt failed. To whom and why is for administrators: it names an approver's address,
/// which a requester does not learn (APPR-16).
pub(super) fn shown(world: &World, about: About, is_administrator: bool) -> Value {
    let failed: Vec<_> = world
        .mails_about(about)
        .take(LOOKED_AT_MAX)
        .filter(|(_, delivery)| has_failed(delivery))
        .collect();
    let mails: Vec<Value> = failed
        .iter()
        .take(SHOWN_MAX)
        .map(|(id, delivery)| {
            let (state, next_attempt_at) = match delivery.state {
                State::Waiting(at) => ("waiting", Some(at.to_rfc3339())),
                State::Parked(_) => ("parked", None),
            };
            let mut mail = json!({
                "type": delivery.mail.message.type_name(),
                "state": state,
                "attempts": delivery.attempts,
                "next_attempt_at": next_attempt_at,
            });
            if is_administrator {
                mail["id"] = json!(id.to_string());
                mail["recipient"] = json!(delivery.mail.recipient);
                mail["reason"] = json!(delivery.reason);
            }
            mail
        })
        .collect();
    json!({"total": failed.len(), "mails": mails})
}

/// Whether mails about a session that is over failed and are for `user` to know of: who jumped, and administrators.
pub(super) fn concern(world: &World, about: About, user: UserId) -> bool {
    let is_administrator = world.is_administrator(user);
    world
        .mails_about(about)
        .take(LOOKED_AT_MAX)
        .filter(|(_, delivery)| has_failed(delivery))
        .any(|(_, delivery)| is_administrator || delivery.mail.message.jumped() == Some(user))
}

const fn has_failed(delivery: &Delivery) -> bool {
    delivery.attempts > 0 || matches!(delivery.state, State::Parked(_))
}
