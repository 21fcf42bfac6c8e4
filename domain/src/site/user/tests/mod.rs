//! Users: what they hold, their permissions and slots, signing in, and the last administrator.

use serde_json::{Value, json};

use super::{Command, User};
use crate::access::role::{ADMINISTRATOR, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{SecretRef, UserId};
use crate::record;
use crate::testing::{
    ADMIN, ANNA, API, BERT, Given, change, create, delete, given, person, sign_out, user,
};
use crate::{Actor, Refusal, Timestamp};

fn permissions(id: UserId, body: Value) -> Command {
    let Value::Object(body) = body else {
        panic!("{body} is no body");
    };
    Command::Record(record::Command::ChangePermissions(id, body))
}

fn known(site: &Given, id: UserId) -> User {
    site.world().users.get(&id).expect("there").clone()
}

/// GPOL-04, GPOL-05, ROLE-09: a new user may do nothing; permissions and slots are given apart from the rest.
#[test]
fn permissions_are_written_apart_from_the_rest() {
    let body = json!({
        "username": "anna", "public_display_name": "Anna",
        // Read-only in the published API: accepted, without effect.
        "perm_admin": true, "perm_jump_client": true, "default_jump_item_role_id": 3, "created_at": "x",
        "perm_vault": true, "fido2_credential_count": 3,
    });
    let site = given([]).when(API, create::<User>(body)).then_something();
    let made = known(&site, ANNA);
    assert_eq!(
        made,
        User {
            username: "anna".to_owned(),
            public_display_name: "Anna".to_owned(),
            private_display_name: "Anna".to_owned(),
            created_at: site.now(),
            ..User::default()
        }
    );
    assert!(!made.may_access_endpoints() && !made.perm_vault);
    for slot in [
        made.default_jump_item_role_id,
        made.private_jump_item_role_id,
        made.inferior_jump_item_role_id,
        made.unassigned_jump_item_role_id,
    ] {
        assert_eq!(slot, NO_ACCESS);
    }
    let methods = json!({
        "perm_access_allowed": "full_support", "perm_jump_client": true, "perm_local_jump": true,
        "perm_remote_rdp": true, "perm_shell_jump": true, "perm_protocol_tunnel": true,
        "perm_remote_jump": true, "perm_remote_vnc": true, "perm_web_jump": true,
        "default_jump_item_role_id": START_SESSIONS_ONLY.0, "private_jump_item_role_id": ADMINISTRATOR.0,
        // Not a permission: without effect here.
        "username": "other",
    });
    let site = site
        .when(ADMIN, permissions(ANNA, methods.clone()))
        .then_something()
        .when(ADMIN, permissions(ANNA, methods.clone()))
        .then_nothing();
    let changed = record::render(ANNA, &known(&site, ANNA));
    for (name, value) in methods.as_object().expect("an object") {
        if name == "username" {
            assert_eq!(changed[name], "anna");
        } else {
            assert_eq!(&changed[name], value, "{name}");
        }
    }
    site.clone()
        .when(
            ADMIN,
            permissions(ANNA, json!({"default_jump_item_role_id": 99})),
        )
        .then_invalid(&["default_jump_item_role_id"]);
    site.clone()
        .when(
            ADMIN,
            permissions(ANNA, json!({"perm_access_allowed": "full"})),
        )
        .then_invalid(&["perm_access_allowed"]);
    site.when(ADMIN, permissions(UserId(99), json!({})))
        .then_refused(Refusal::not_found("User"));
}

#[test]
fn names_are_unique_without_regard_to_case_and_clean() {
    let site = given([person(ANNA)]);
    let body = |username: &str| json!({"username": username, "public_display_name": "X"});
    for wrong in ["USER-2", " anna", "anna ", "an\u{7}na", "", &"x".repeat(65)] {
        site.clone()
            .when(API, create::<User>(body(wrong)))
            .then_invalid(&["username"]);
    }
    for wrong in [
        "x",
        "x@",
        "@x",
        "a b@c",
        "a@b c",
        "a@example.com;b@example.com",
        "x@example.com.",
        ".x@example.com",
        "x@[192.0.2.1]",
    ] {
        let mut body = body("bert");
        body["email_address"] = wrong.into();
        site.clone()
            .when(API, create::<User>(body))
            .then_invalid(&["email_address"]);
    }
    // What was taken by an earlier version stays until somebody changes it.
    given([user(ANNA, |user| {
        user.email_address = "x@example.com.".to_owned()
    })])
    .when(
        API,
        change::<User>(ANNA, json!({"public_display_name": "A"})),
    )
    .then_something()
    .when(
        API,
        change::<User>(ANNA, json!({"email_address": "y@example.com."})),
    )
    .then_invalid(&["email_address"]);
    let site = site
        .when(API, change::<User>(ANNA, json!({"username": "Anna"})))
        .then_something();
    assert_eq!(site.world().user_named("ANNA"), Some(ANNA));
    assert_eq!(site.world().user_named("user-2"), None);
    let site = site
        .when(API, create::<User>(body("user-2")))
        .then_something();
    assert_eq!(site.world().user_named("USER-2"), Some(BERT));
}

fn sign_in(user: UserId, password_matches: bool) -> Command {
    Command::SignIn {
        user,
        password_matches,
    }
}

#[test]
fn signing_in_takes_the_right_password_of_an_enabled_user() {
    let site = given([person(ANNA), user(BERT, |user| user.password = None)]);
    for (who, matches) in [(ANNA, false), (BERT, true), (UserId(99), true)] {
        site.clone()
            .when(Actor::Stranger, sign_in(who, matches))
            .then_refused(Refusal::SignInFailed);
    }
    let site = site
        .when(ANNA, sign_in(ANNA, true))
        .then_something()
        .when(ANNA, sign_out(ANNA, "a"))
        .then_something()
        .when(ANNA, sign_out(UserId(99), "a"))
        .then_nothing();
    assert_eq!(known(&site, ANNA).last_authentication, Some(site.now()));
    site.when(API, change::<User>(ANNA, json!({"enabled": false})))
        .then_something()
        // Whether the account is off is told to nobody who does not know the password.
        .when(ANNA, sign_in(ANNA, false))
        .then_refused(Refusal::SignInFailed)
        .when(ANNA, sign_in(ANNA, true))
        .then_refused(Refusal::UserDisabled);
}

#[test]
fn one_administrator_always_stays() {
    let site = given([person(ANNA)]);
    for (command, field) in [
        (change::<User>(ADMIN, json!({"enabled": false})), "enabled"),
        (
            permissions(ADMIN, json!({"perm_admin": false})).into(),
            "enabled",
        ),
        // Only users who are not administrators can be deleted (config-api.md 2.5).
        (delete::<User>(ADMIN), "perm_admin"),
    ] {
        site.clone().when(ADMIN, command).then_invalid(&[field]);
    }
    let site = site
        .when(ADMIN, permissions(ANNA, json!({"perm_admin": true})))
        .then_something()
        .when(ADMIN, change::<User>(ADMIN, json!({"enabled": false})))
        .then_something();
    assert!(!site.world().is_administrator(ADMIN));
    assert!(site.world().is_administrator(ANNA));
    site.when(ANNA, change::<User>(ANNA, json!({"enabled": false})))
        .then_invalid(&["enabled"]);
}

#[test]
fn whoever_holds_the_machine_helps_a_locked_out_administrator() {
    let reset = |user| Command::ResetAdministrator {
        user,
        password: SecretRef("new".to_owned()),
    };
    let site = given([
        person(ANNA),
        user(BERT, |user| {
            user.perm_admin = true;
            user.enabled = false;
        }),
    ]);
    for who in [Actor::User(ADMIN), Actor::ApiAccount(API), Actor::Stranger] {
        site.clone()
            .when(who, reset(BERT))
            .then_refused(Refusal::AdministratorNeeded);
    }
    let site = site
        .when(Actor::Operator, reset(ANNA))
        .then_refused(Refusal::AdministratorNeeded)
        .when(Actor::Operator, reset(UserId(99)))
        .then_refused(Refusal::not_found("User"))
        .when(Actor::Operator, reset(BERT))
        .then_something();
    let bert = known(&site, BERT);
    assert!(bert.enabled);
    assert_eq!(bert.password, Some(SecretRef("new".to_owned())));
}

#[test]
fn a_password_is_never_shown() {
    let anna = known(&given([person(ANNA)]), ANNA);
    let shown = record::render(ANNA, &anna);
    assert!(!shown.contains_key("password"));
    assert_eq!(shown["created_at"], "2026-03-02T09:00:00+00:00");
    assert_eq!(shown["password_expiration"], Value::Null);
    assert!(anna.created_at > Timestamp(0));
}
