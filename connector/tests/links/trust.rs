//! Trust anchors and addresses of the site on the link: told when they change, and confirmed.

use domain::Command;
use domain::fleet::jump_client;
use domain::ids::{AgentAnchorId, JumpClientId};
use domain::session::access_session::EndReason;
use domain::site::agent_trust::{self, Confirmed};
use link_protocol::{AddressList, ClientFrame, ServerFrame, version};

use crate::played::{Played, registering, resuming};
use crate::site::{CLIENT, Site, add_anchor, anchors};

fn addresses(version: u64, urls: &[&str]) -> ServerFrame {
    let urls = urls.iter().map(|&url| url.to_owned()).collect();
    ServerFrame::Addresses(AddressList { version, urls })
}

fn confirmed(site: &Site, client: JumpClientId) -> Confirmed {
    let published = site.engine.published();
    let client = published.world.jump_clients.get(&client);
    client.expect("there").trust_confirmed
}

/// A client that speaks the newest protocol.
async fn newest(site: &Site, boot: u8) -> (Played, link_protocol::Welcome) {
    let (installer, secret) = site.key();
    let mut hello = registering(boot, (&installer, secret), boot);
    hello.protocols = version::offered();
    Played::welcomed(&site.hub, hello).await
}

/// The documented frame comes when the list changes, to those who are there; those who come later hear it in `welcome`.
#[tokio::test]
async fn new_anchors_reach_those_who_are_there_and_those_who_come() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    site.run(add_anchor(2)).await;
    assert_eq!(agent.frame().await, ServerFrame::Anchors(anchors(2)));
    agent.say(ClientFrame::AnchorsStored { version: 2 }).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT);
        client.is_some_and(|client| client.trust_confirmed.anchors == 2)
    })
    .await;
    let (installer, secret) = site.key();
    let (_new, welcome) =
        Played::welcomed(&site.hub, registering(2, (&installer, secret), 2)).await;
    assert_eq!(welcome.anchors, anchors(2));
}

#[tokio::test]
async fn anchors_are_withdrawn_once_all_have_confirmed_another() {
    let site = Site::still().await;
    let (agent, ..) = site.registered(1).await;
    site.run(add_anchor(2)).await;
    let withdraw = || {
        Command::AgentTrust(agent_trust::Command::WithdrawAnchor {
            anchor: AgentAnchorId(1),
            in_use: false,
            cut_off: false,
        })
    };
    assert!(site.ask(withdraw()).await.is_err());
    // Stored, said on the link, written down: that is what the decision asks.
    agent.say(ClientFrame::AnchorsStored { version: 2 }).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT);
        client.is_some_and(|client| client.trust_confirmed.anchors == 2)
    })
    .await;
    site.run(withdraw()).await;
}

/// The addresses travel as the anchors do.
#[tokio::test]
async fn the_addresses_of_the_site_reach_clients_of_protocol_three() {
    let site = Site::still().await;
    let (mut agent, welcome) = newest(&site, 1).await;
    assert_eq!(welcome.protocol, version::WITH_ADDRESSES);
    let old = "https://access.example.com";
    assert!(matches!(agent.frame().await, ServerFrame::Settings(_)));
    assert_eq!(agent.frame().await, addresses(1, &[old]));
    agent.say(ClientFrame::AddressesStored { version: 1 }).await;
    site.run(Command::AgentTrust(agent_trust::Command::AddAddress {
        url: "https://new.example.com".to_owned(),
        place: Some(1),
    }))
    .await;
    assert_eq!(
        agent.frame().await,
        addresses(2, &["https://new.example.com", old])
    );
    agent.say(ClientFrame::AddressesStored { version: 2 }).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT);
        client.is_some_and(|client| client.trust_confirmed.addresses == 2)
    })
    .await;
    // What another site may have told it, or a damaged program makes up, is not written down.
    agent.say(ClientFrame::AnchorsStored { version: 9 }).await;
    agent.say(ClientFrame::Goodbye {}).await;
    assert_eq!(agent.closed().await, 1000);
    site.until_offline().await;
    assert_eq!(
        confirmed(&site, CLIENT),
        Confirmed {
            anchors: 0,
            addresses: 2
        }
    );
}

#[tokio::test]
async fn clients_of_an_older_protocol_hear_nothing_of_addresses() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    agent.say(ClientFrame::AddressesStored { version: 1 }).await;
    assert_eq!(agent.closed().await, 4404);
}

/// CLNT-30: a token that is due is renewed by `welcome`, and the check-in after it brings no other.
#[tokio::test]
async fn a_token_that_is_due_at_a_return_is_renewed_once() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    site.until_offline().await;
    site.clock.leap(jump_client::TOKEN_DAYS * domain::time::DAY);
    let hello = resuming(1, 1, &token);
    let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
    assert!(welcome.token.is_some());
    // One behind the other, so that the second comes while the first is on its way to the log.
    agent.say(ClientFrame::TokenStored {}).await;
    agent
        .say(ClientFrame::CheckIn(Box::new(link_protocol::CheckIn {
            sequence: 1,
            facts: link_protocol::Facts {
                hostname: Some("renamed".to_owned()),
                ..link_protocol::Facts::default()
            },
            figures: link_protocol::Figures::default(),
        })))
        .await;
    assert_eq!(
        agent.frame().await,
        ServerFrame::CheckInRecorded { sequence: 1 }
    );
    agent.say(ClientFrame::Goodbye {}).await;
    assert_eq!(agent.closed().await, 1000);
    assert_eq!(site.events("JumpClientTokenOffered").await.len(), 1);
}

/// CLNT-30: nobody works on in a session on a machine whose identity is in doubt.
#[tokio::test]
async fn the_session_of_a_quarantined_client_ends_at_once() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let started = crate::site::started(agent.frame().await);
    agent
        .say(ClientFrame::SessionStarted { lsid: started })
        .await;
    site.until(|world| {
        let session = world.sessions.get(&lsid);
        session.is_some_and(|session| session.established)
    })
    .await;
    site.run(Command::JumpClient(jump_client::Command::Quarantine {
        client: CLIENT,
        evidence: "two boot ids".to_owned(),
    }))
    .await;
    assert!(!site.engine.published().world.sessions.contains(&lsid));
    let ended = site.events("AccessSessionEnded").await;
    let [ended] = &ended[..] else {
        panic!("one session ended: {ended:?}")
    };
    assert!(matches!(
        &ended.event,
        domain::Event::AccessSession(_, domain::session::access_session::Event::Ended(ended))
            if ended.reason == EndReason::IdentityInDoubt
    ));
    assert_eq!(agent.closed().await, 4403);
}
