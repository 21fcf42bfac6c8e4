//! Mass deployment as machines meet it: what they may set themselves, no room on the site, and machines that are there already.

use domain::fleet::jump_client::Event as ClientEvent;
use domain::ids::{ApiAccountId, JumpGroupRef};
use domain::time::HOUR;
use domain::{Actor, Cause, Command, Event, Surface, record};
use engine::{Lane, Submission};
use link_protocol::{Hello, Overrides, RefusedCode};
use serde_json::{Value, json};

use crate::played::{Played, registering, resuming, with_overrides};
use crate::site::{CLIENT, Site, delete_client, object};

/// The secret's hash is that of the site's own installer, so the same secret opens both.
async fn installer(site: &Site, mut body: Value) -> String {
    let world = site.engine.published().world.clone();
    let (_, own) = world.installers.iter().next().expect("an installer");
    body["jump_group_id"] = 1.into();
    body["secret_hash"] = json!(own.secret_hash);
    let cause = Cause {
        actor: Actor::ApiAccount(ApiAccountId(1)),
        surface: Surface::ConfigurationApi,
        address: None,
    };
    let command = Command::JumpClientInstaller(record::Command::Create(object(body)));
    let submission = Submission::new(command, cause, Lane::People);
    let done = site.engine.execute(submission).await.expect("it is made");
    match &done.events[0] {
        Event::JumpClientInstaller(_, record::Event::Created(made)) => made.installer_id.clone(),
        other => panic!("{other:?}"),
    }
}

fn of_machine(mut hello: Hello, machine: &str) -> Hello {
    hello.facts.machine_id = Some(machine.to_owned());
    hello
}

/// INST-27, INST-28, INST-31, INST-32, INST-59: what is passed reaches the rules, and what these say reaches the machine.
#[tokio::test]
async fn a_machine_sets_what_its_installer_lets_it() {
    let site = Site::still().await;
    let (_, secret) = site.key();
    let open = installer(
        &site,
        json!({"allow_override_jump_group": true, "allow_override_max_offline_minutes": true}),
    )
    .await;
    let pass = |group: &str, attempt| {
        let passed = Overrides {
            jump_group: Some(group.to_owned()),
            max_offline_minutes: Some(5),
            ..Overrides::default()
        };
        with_overrides(registering(attempt, (&open, secret), attempt), passed)
    };
    for (target, part) in [
        (
            "jumpgroup:nowhere",
            "There is no Jump Group \"jumpgroup:nowhere\"",
        ),
        ("user:nobody", "There is no Jump Group \"user:nobody\""),
        ("team:support", "does not take a team"),
    ] {
        let refused = Played::hello(&site.hub, pass(target, 1))
            .await
            .refused()
            .await;
        assert_eq!(refused.code, RefusedCode::OverrideNotAllowed, "{target}");
        assert!(
            refused.is_final && refused.message.contains(part),
            "{}",
            refused.message
        );
    }
    let (_agent, _) = Played::welcomed(&site.hub, pass("user:admin", 2)).await;
    let client = site.client();
    assert!(matches!(
        client.properties.group(),
        JumpGroupRef::Personal(_)
    ));
    assert_eq!(client.properties.max_offline_minutes, 5);
}

/// LIM-04, LIM-06, INST-04, INST-06, ERR-02: no room is no end: the machine is told to come again, until its installer's time
/// is over.
#[tokio::test]
async fn a_machine_without_room_comes_again_until_its_installer_is_over() {
    let site = Site::still().await;
    site.set(json!({"active_jump_clients_max": 1})).await;
    let (_first, ..) = site.registered(1).await;
    let (installer, secret) = site.key();
    let second = || registering(2, (&installer, secret), 2);
    for _ in 0..2 {
        let refused = Played::hello(&site.hub, second()).await.refused().await;
        assert_eq!(refused.code, RefusedCode::CapacityReached);
        assert!(!refused.is_final);
        assert_eq!(
            refused.message,
            "The total number of deployable active Jump Clients for this site has been reached."
        );
        let after = refused.retry_after_ms.expect("a hint");
        assert!((60_000..120_000).contains(&after), "{after}");
    }
    site.run(delete_client(CLIENT)).await;
    let (_second, welcome) = Played::welcomed(&site.hub, second()).await;
    assert_eq!(welcome.client_id, 2);
    site.clock.leap(2 * HOUR);
    let late = registering(3, (&installer, secret), 3);
    let refused = Played::hello(&site.hub, late).await.refused().await;
    assert_eq!(refused.code, RefusedCode::InstallerNotValid);
    assert!(refused.is_final);
}

/// INST-57: a machine that has a client is told which, where the site wants one a machine.
#[tokio::test]
async fn a_duplicate_is_told_whose_it_is() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let machine = |attempt| of_machine(registering(attempt, (&installer, secret), attempt), "m-1");
    let (_first, _) = Played::welcomed(&site.hub, machine(1)).await;
    site.set(json!({"duplicate_machines": "refuse"})).await;
    let refused = Played::hello(&site.hub, machine(2)).await.refused().await;
    assert_eq!(
        refused.code,
        RefusedCode::Other("duplicate_machine".to_owned())
    );
    assert!(refused.is_final);
    assert_eq!(
        refused.message,
        "This computer already has the Jump Client \"web-1\"."
    );
    site.set(json!({"duplicate_machines": "allow"})).await;
    let (_second, welcome) = Played::welcomed(&site.hub, machine(2)).await;
    assert_eq!(welcome.client_id, 2);
    let registered = site.events("JumpClientRegistered").await;
    let Event::JumpClient(_, ClientEvent::Registered(second)) = &registered[1].event else {
        panic!("{registered:?}");
    };
    assert_eq!(second.duplicate_of, [CLIENT]);
}

/// INST-57, CLNT-30: a machine that is installed anew is the client it was, with a token of its own; whoever shows the token of
/// before is found out, and nobody is served under that identity until a person has looked.
#[tokio::test]
async fn a_machine_that_is_installed_anew_is_the_client_it_was() {
    let site = Site::still().await;
    let (_, secret) = site.key();
    let made = installer(&site, json!({})).await;
    let machine = |attempt| of_machine(registering(attempt, (&made, secret), attempt), "m-1");
    site.set(json!({"duplicate_machines": "merge"})).await;
    let (agent, welcome) = Played::welcomed(&site.hub, machine(1)).await;
    let before = welcome.token.expect("a token");
    agent.lose().await;
    site.until_offline().await;

    let (agent, welcome) = Played::welcomed(&site.hub, machine(2)).await;
    assert_eq!(welcome.client_id, 1, "the same client");
    let token = welcome.token.expect("a token of its own");
    assert_eq!(site.engine.published().world.jump_clients.len(), 1);
    agent.lose().await;
    site.until_offline().await;
    let (agent, _) = Played::welcomed(&site.hub, resuming(3, 1, &token)).await;
    agent.lose().await;
    site.until_offline().await;

    let refused = Played::hello(&site.hub, resuming(4, 1, &before))
        .await
        .refused()
        .await;
    assert_eq!(refused.code, RefusedCode::Quarantined);
    assert!(site.client().quarantined);
}
