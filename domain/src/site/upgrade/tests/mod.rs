//! Upgrades of the server, and what they do to installers.

use serde_json::json;

use super::{BUILDS_MAX, Command, Upgraded};
use crate::fleet::installer::{self, JumpClientInstaller, Standing};
use crate::ids::{JumpClientInstallerId, SiteSettingsId};
use crate::site::first_start;
use crate::site::settings::SiteSettings;
use crate::testing::{
    ADMIN, API, Given, INSTALLER, PC1, SHARED, WEB_SERVERS, change, create, given, given_nothing,
    group, installer, register,
};
use crate::{Actor, Event, Refusal};

fn build(name: &str) -> crate::Command {
    crate::Command::Upgrade(Command {
        build: name.repeat(64),
        version: "0.1.0".to_owned(),
    })
}

fn upgraded(name: &str) -> Event {
    Event::Site(first_start::Event::Upgraded(Upgraded {
        build: name.repeat(64),
        version: "0.1.0".to_owned(),
    }))
}

/// A site that was made by build a, with an installer of that time.
fn site() -> Given {
    given([group(WEB_SERVERS, "Web Servers")])
        .when(Actor::Operator, build("a"))
        .then([upgraded("a")])
        .when(
            API,
            create::<JumpClientInstaller>(json!({
                "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64),
            })),
        )
        .then_something()
}

fn standing(site: &Given) -> Standing {
    let installer = site
        .world()
        .installers
        .get(&INSTALLER)
        .expect("it is there");
    installer.standing(site.world(), site.now())
}

/// INST-08, INST-10: whatever platform they are for, and though the version says the same, installers of before are not valid
/// after an upgrade. Clients that they brought stay.
#[test]
fn an_upgrade_invalidates_the_installers_of_before() {
    let site = site()
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something();
    assert_eq!(standing(&site), Standing::Valid);
    let site = site.when(Actor::Operator, build("b")).then([upgraded("b")]);
    assert_eq!(standing(&site), Standing::Invalidated);
    assert!(site.world().jump_clients.contains(&PC1), "it stays");
    let site = site
        .when(Actor::NewJumpClient, register(INSTALLER, 2))
        .then_refused(Refusal::InstallerInvalidated)
        .when(
            ADMIN,
            crate::Command::Installer(installer::Command::Extend {
                installer: INSTALLER,
                valid_minutes: 525_600,
            }),
        )
        .then_refused(Refusal::InstallerInvalidated);
    assert_eq!(
        Refusal::InstallerInvalidated.to_string(),
        "The installer was made before the server was upgraded and is not valid any more."
    );
    // One that is made now is good.
    let made = create::<JumpClientInstaller>(json!({
        "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64),
    }));
    site.when(API, made)
        .then_something()
        .when(Actor::NewJumpClient, register(JumpClientInstallerId(2), 2))
        .then_something();
}

/// INST-08: the same build may start as often as it likes, on as many nodes; in a rolling upgrade each build counts once.
#[test]
fn each_build_counts_once() {
    let site = site().when(Actor::Operator, build("a")).then_nothing();
    assert_eq!(standing(&site), Standing::Valid);
    let site = site
        .when(Actor::Operator, build("b"))
        .then_something()
        // A node that is not upgraded yet restarts, and the others follow.
        .when(Actor::Operator, build("a"))
        .then_nothing()
        .when(Actor::Operator, build("b"))
        .then_nothing();
    assert_eq!(site.world().site_builds(), 2);
}

/// INST-08: a site from before builds were noted has never seen one; the first is an upgrade for installers of before.
#[test]
fn installers_of_a_site_that_noted_no_build_are_invalidated_by_the_first() {
    let site = given([
        group(WEB_SERVERS, "Web Servers"),
        installer(INSTALLER, SHARED, |_| {}),
    ]);
    assert_eq!(standing(&site), Standing::Valid);
    let site = site.when(Actor::Operator, build("a")).then_something();
    assert_eq!(standing(&site), Standing::Invalidated);
}

/// INST-09: licenses are settings; more of them, or other ones, leave installers as they are.
#[test]
fn a_change_of_licenses_alone_invalidates_nothing() {
    let site = site()
        .when(
            ADMIN,
            change::<SiteSettings>(SiteSettingsId(1), json!({"licenses": 500})),
        )
        .then_something();
    assert_eq!(standing(&site), Standing::Valid);
    site.when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something();
}

/// Whoever is not the program itself can't say which build runs.
#[test]
fn only_the_program_says_which_build_runs() {
    for who in [Actor::User(ADMIN), Actor::ApiAccount(API)] {
        site()
            .when(who, build("b"))
            .then_refused(Refusal::AdministratorNeeded);
    }
    given_nothing()
        .when(Actor::Operator, build("a"))
        .then_refused(Refusal::not_found("Site"));
    for (build, version) in [("", "1"), ("a", ""), (&*"a".repeat(129), "1")] {
        let command = crate::Command::Upgrade(Command {
            build: build.to_owned(),
            version: version.to_owned(),
        });
        site()
            .when(Actor::Operator, command)
            .then_invalid(&["build"]);
    }
}

/// What is remembered is bounded.
#[test]
fn the_oldest_builds_are_forgotten() {
    let mut site = given([]);
    for number in 0..=BUILDS_MAX {
        let command = crate::Command::Upgrade(Command {
            build: format!("build {number}"),
            version: "1".to_owned(),
        });
        site = site.when(Actor::Operator, command).then_something();
    }
    let known = site.world().site.as_ref().expect("a site");
    assert_eq!(known.builds.len(), BUILDS_MAX);
    assert_eq!(known.builds.first().map(String::as_str), Some("build 1"));
    assert_eq!(site.world().site_builds() as usize, BUILDS_MAX + 1);
    assert!(site.world().jump_clients.is_empty());
}
