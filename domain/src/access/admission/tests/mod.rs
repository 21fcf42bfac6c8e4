//! Who may ask for what, before any record is looked at.

use serde_json::json;

use crate::access::jump_group::JumpGroup;
use crate::access::role::JumpItemRole;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::Properties;
use crate::ids::{Lsid, SecretRef, SiteSettingsId};
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::schedule::Schedule;
use crate::site::api_account::{self, ApiAccount};
use crate::site::settings::SiteSettings;
use crate::site::user::User;
use crate::testing::{
    ADMIN, ANNA, API, Asks, BERT, Given, PC1, SHARED, THURSDAYS, WEB_SERVERS, add_member, change,
    client, create, delete, end, first_start, given, given_nothing, group, person, policy, session,
    sign_out, user,
};
use crate::{Actor, Command, Refusal, audit};

const CONFIGURATION: Refusal = Refusal::ApiPermissionNeeded {
    permission: "Configuration API: Allow Access",
};

fn site() -> Given {
    given([
        person(ANNA),
        user(BERT, |user| user.perm_edit_jump_groups = true),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
    ])
    .and(client(PC1, SHARED))
}

fn administration() -> Vec<Command> {
    vec![
        change::<SiteSettings>(SiteSettingsId(1), json!({"lost_days": 20})),
        create::<User>(json!({"username": "x", "public_display_name": "X"})),
        change::<User>(ANNA, json!({"enabled": false})),
        delete::<User>(ANNA),
        create::<ApiAccount>(json!({"name": "x", "perm_backup": true})),
        Command::ApiAccount(api_account::Command::RegenerateSecret {
            account: API,
            client_secret: SecretRef("new".to_owned()),
        }),
        create::<JumpItemRole>(json!({"name": "x"})),
        create::<JumpPolicy>(json!({"display_name": "x", "schedule_enabled": false})),
        Command::JumpPolicy(jump_policy::Command::SetSchedule(
            THURSDAYS,
            Schedule::default(),
        )),
    ]
}

/// ROLE-31
#[test]
fn only_administrators_and_configuring_accounts_administer() {
    for command in administration() {
        let name = command.name();
        for who in [
            Actor::User(ANNA),
            Actor::User(BERT),
            Actor::JumpClient(PC1),
            Actor::NewJumpClient,
            Actor::Stranger,
        ] {
            let asked = site().when(who.clone(), command.clone());
            assert_eq!(
                asked.decision().as_ref().err(),
                Some(&Refusal::AdministratorNeeded),
                "{name} by {who:?}"
            );
        }
        for who in [ADMIN.cause(), API.cause(), Actor::Operator.cause()] {
            if let Err(Refusal::AdministratorNeeded | Refusal::ApiPermissionNeeded { .. }) =
                site().when(who.clone(), command.clone()).decision()
            {
                panic!("{name} by {who:?}");
            }
        }
    }
}

/// ROLE-31: Jump Groups may also be edited by users who are allowed just that.
#[test]
fn group_editors_edit_groups_and_nothing_else() {
    let rename = change::<JumpGroup>(WEB_SERVERS, json!({"name": "Web"}));
    site().when(BERT, rename.clone()).then_something();
    site()
        .when(BERT, add_member(WEB_SERVERS, ANNA, None))
        .then_something();
    site()
        .when(ANNA, rename)
        .then_refused(Refusal::AdministratorNeeded);
}

/// AUTH-28
#[test]
fn an_account_of_another_api_is_refused() {
    let site = site()
        .when(
            ADMIN,
            change::<ApiAccount>(API, json!({"perm_configuration": false})),
        )
        .then_something();
    for command in administration() {
        site.clone().when(API, command).then_refused(CONFIGURATION);
    }
    for command in [
        change::<JumpGroup>(WEB_SERVERS, json!({"name": "Web"})),
        change::<Properties>(PC1, json!({"name": "Web"})),
        delete::<Properties>(PC1),
        create::<JumpClientInstaller>(json!({"jump_group_id": 1, "secret_hash": "0".repeat(64)})),
    ] {
        site.clone().when(API, command).then_refused(CONFIGURATION);
    }
}

/// AUTH-29
#[test]
fn a_disabled_or_deleted_account_may_ask_nothing() {
    let rename = change::<JumpGroup>(WEB_SERVERS, json!({"name": "Web"}));
    site()
        .when(ADMIN, change::<ApiAccount>(API, json!({"enabled": false})))
        .then_something()
        .when(API, rename.clone())
        .then_refused(Refusal::ApiAccountDisabled);
    site()
        .when(ADMIN, delete::<ApiAccount>(API))
        .then_something()
        .when(API, rename)
        .then_refused(Refusal::ApiAccountDisabled);
}

/// ROLE-31: what was withdrawn counts for the next action, whatever the console still shows.
#[test]
fn a_disabled_user_may_ask_nothing_but_to_sign_out() {
    let lsid = Lsid(7);
    let site = site()
        .and(session(lsid, ANNA, PC1))
        .when(ADMIN, change::<User>(ANNA, json!({"enabled": false})))
        .then_something();
    site.clone()
        .when(ANNA, end(lsid))
        .then_refused(Refusal::UserDisabled);
    site.clone()
        .when(ANNA, sign_out(ANNA, "a"))
        .then_something();
    let refused = audit::ActionRefused {
        code: Refusal::UserDisabled.code().to_owned(),
        message: Refusal::UserDisabled.to_string(),
        command: "access_session.end".to_owned(),
        subject: None,
        inputs: None,
    };
    site.when(ANNA, Command::Audit(audit::Command::Record(refused)))
        .then_something();
}

/// Threat D: an API account never sets the password of somebody who is there.
#[test]
fn threat_d_an_api_account_resets_no_password() {
    let reset = change::<User>(ANNA, json!({"password": "sealed"}));
    site()
        .when(API, reset.clone())
        .then_refused(Refusal::AdministratorNeeded);
    site().when(ADMIN, reset).then_something();
    let body = json!({"username": "x", "public_display_name": "X", "password": "sealed"});
    site().when(API, create::<User>(body)).then_something();
}

#[test]
fn the_site_is_set_up_by_its_operator_and_once() {
    for who in [Actor::Stranger, Actor::NewJumpClient] {
        given_nothing()
            .when(who, first_start())
            .then_refused(Refusal::AdministratorNeeded);
    }
    given_nothing()
        .when(Actor::Operator, first_start())
        .then_something()
        .when(Actor::Operator, first_start())
        .then_refused(Refusal::SiteExists);
    site()
        .when(ADMIN, create::<SiteSettings>(json!({})))
        .then_refused(Refusal::SiteExists);
}
