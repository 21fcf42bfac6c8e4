//! Who a client is and what it keeps: identity tokens, confirmed lists of trust anchors and addresses, quarantine.

use serde::{Deserialize, Serialize};

use super::{Event, JumpClient, Presence};
use crate::ids::{JumpClientId, KeyedHash, LinkId};
use crate::session::access_session;
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing, time};

/// After how many days a client is given a new identity token, once it is connected.
pub const TOKEN_DAYS: i64 = 30;

/// When a client is handed a new identity token. What was handed out before and not confirmed, the client may have stored
/// and use from then on, so only one who shows that it did not is handed another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// While it is connected on this link, and nothing else is handed out.
    OnLink(LinkId),
    /// When it came back and showed this token, which shows that it has not stored a newer one.
    AtResume {
        /// Keyed hash of the token it showed.
        shown: KeyedHash,
    },
}

/// An identity token was handed out, or confirmed. Expected rate: one a client and month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Keyed hash of the token.
    pub token: KeyedHash,
}

/// A client has newer lists of trust anchors or addresses on disk. Expected rate: one a client and change of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustConfirmed {
    /// The version of the trust anchors; none where it said nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<u64>,
    /// The version of the addresses; none where it said nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<u64>,
}

/// Two machines showed one identity. Expected rate: a handful a year.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// How it was seen.
    pub evidence: String,
}

impl JumpClient {
    /// Whether its identity token is as old as one may become ([`TOKEN_DAYS`]).
    #[must_use]
    pub fn token_is_due(&self, now: Timestamp) -> bool {
        now >= self.token_at.plus(TOKEN_DAYS * time::DAY)
    }
}

pub(super) fn decide_offer_token(
    world: &World,
    id: JumpClientId,
    offer: &Offer,
    token: &KeyedHash,
    context: &Context,
) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if !client.token_is_due(context.now) {
        return nothing();
    }
    let may = match offer {
        Offer::OnLink(link) => {
            client.presence == Presence::Connected(*link) && client.offered_token.is_none()
        }
        Offer::AtResume { shown } => client.token == *shown,
    };
    if !may {
        return nothing();
    }
    offered(world, id, token)
}

/// Hands a token out, whatever was handed out before.
pub(super) fn offered(world: &World, id: JumpClientId, token: &KeyedHash) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if client.offered_token.as_ref() == Some(token) {
        return nothing();
    }
    happened(crate::Event::JumpClient(
        id,
        Event::TokenOffered(Token {
            token: token.clone(),
        }),
    ))
}

pub(super) fn decide_confirm_token(
    world: &World,
    id: JumpClientId,
    link: Option<LinkId>,
    token: &KeyedHash,
) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if link.is_some_and(|link| client.presence != Presence::Connected(link)) {
        return nothing();
    }
    if client.token == *token && client.attempt.is_none() && client.offered_token.is_none() {
        return nothing();
    }
    if client.token != *token && client.offered_token.as_ref() != Some(token) {
        return Err(Refusal::JumpClientIdentityFailed);
    }
    happened(crate::Event::JumpClient(
        id,
        Event::TokenConfirmed(Token {
            token: token.clone(),
        }),
    ))
}

pub(super) fn decide_confirm_trust(
    world: &World,
    id: JumpClientId,
    link: LinkId,
    anchors: Option<u64>,
    addresses: Option<u64>,
) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if client.presence != Presence::Connected(link) {
        return nothing();
    }
    let (held, trust) = (client.trust_confirmed, &world.agent_trust);
    let news = |said: Option<u64>, held: u64, newest: u64| {
        said.filter(|version| (held + 1..=newest).contains(version))
    };
    let confirmed = TrustConfirmed {
        anchors: news(anchors, held.anchors, trust.anchors.version),
        addresses: news(addresses, held.addresses, trust.addresses.version),
    };
    if confirmed.anchors.or(confirmed.addresses).is_none() {
        return nothing();
    }
    happened(crate::Event::JumpClient(
        id,
        Event::TrustConfirmed(confirmed),
    ))
}

/// What runs on the machines ends with it: nobody knows which of them is the client.
pub(super) fn decide_quarantine(world: &World, id: JumpClientId, evidence: &str) -> Decision {
    match world.endpoint(id) {
        Some(client) if !client.quarantined => {
            let quarantined = crate::Event::JumpClient(
                id,
                Event::Quarantined(Quarantined {
                    evidence: evidence.to_owned(),
                }),
            );
            let sessions = access_session::ended_by_quarantine(world, id);
            Ok([quarantined].into_iter().chain(sessions).collect())
        }
        _ => nothing(),
    }
}
