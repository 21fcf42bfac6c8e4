//! Users: what they hold, their permissions and slots, signing in, and the last administrator.

use serde_json::{Value, json};

use super::sign_in::{FAILING_SOURCES_MAX, FREE_FAILURES, Origin, SignIn, network_of};
use super::{Command, User};
use crate::access::role::{ADMINISTRATOR, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{SecretRef, UserId};
use crate::record;
use crate::testing::{
    ADMIN, ANNA, API, BERT, Given, change, create, delete, given, person, sign_out, user,
};
use crate::time::{DAY, SECOND};
use crate::{Actor, Refusal, Timestamp};

const OFFICE: &str = "192.0.2.0/24";

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

fn from(network: &str) -> Origin {
    Origin {
        network: network.to_owned(),
        device: None,
    }
}

fn sign_in(user: UserId, password_matches: bool) -> Command {
    Command::SignIn(SignIn::new(user, password_matches, from(OFFICE)))
}

fn sign_in_from(network: &str, password_matches: bool) -> Command {
    Command::SignIn(SignIn::new(ANNA, password_matches, from(network)))
}

/// Five wrong passwords, after which the office is locked.
fn locked_from(network: &str) -> Given {
    (0..=FREE_FAILURES).fold(given([person(ANNA)]), |site, _| {
        site.when(Actor::Stranger, sign_in_from(network, false))
            .then_something()
    })
}

fn locked(seconds: u64) -> Refusal {
    Refusal::SignInLocked { seconds }
}

#[test]
fn signing_in_takes_the_right_password_of_an_enabled_user() {
    let site = given([person(ANNA), user(BERT, |user| user.password = None)]);
    for (who, matches) in [(ANNA, false), (BERT, true)] {
        let failed = site
            .clone()
            .when(Actor::Stranger, sign_in(who, matches))
            .then_something();
        assert_eq!(known(&failed, who).failed_logins, 1);
        assert_eq!(known(&failed, who).last_authentication, None);
    }
    site.clone()
        .when(Actor::Stranger, sign_in(UserId(99), true))
        .then_refused(Refusal::SignInFailed);
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
        .then_something()
        .when(ANNA, sign_in(ANNA, true))
        .then_refused(Refusal::UserDisabled);
}

/// threat M: each further failure doubles the time in which nothing is heard from there, the right password neither.
#[test]
fn threat_m_a_guesser_waits_twice_as_long_after_each_failure() {
    let mut site = locked_from(OFFICE);
    assert_eq!(known(&site, ANNA).failed_logins, FREE_FAILURES + 1);
    for seconds in [5, 10, 20, 40, 80, 160, 320, 640, 900, 900] {
        let micros = i64::try_from(seconds).unwrap() * SECOND;
        site = site
            .when(Actor::Stranger, sign_in(ANNA, false))
            .then_refused(locked(seconds))
            .after(micros - SECOND)
            .when(ANNA, sign_in(ANNA, true))
            .then_refused(locked(1))
            .after(SECOND);
        site.clone()
            .when(ANNA, sign_in(ANNA, true))
            .then_something();
        site = site
            .when(Actor::Stranger, sign_in(ANNA, false))
            .then_something();
    }
    // A day later it begins anew.
    let site = site
        .after(DAY)
        .when(Actor::Stranger, sign_in(ANNA, false))
        .then_something();
    site.when(ANNA, sign_in(ANNA, true)).then_something();
}

/// threat M
#[test]
fn threat_m_nobody_is_locked_out_from_elsewhere() {
    let site = locked_from("203.0.113.0/24");
    let mut with_device = SignIn::new(ANNA, true, from("203.0.113.0/24"));
    with_device.origin.device = Some("d".to_owned());
    for elsewhere in [sign_in(ANNA, true), Command::SignIn(with_device)] {
        let inside = site.clone().when(ANNA, elsewhere).then_something();
        // Nor does the sign-in help the guesser, whose failures are shown on.
        assert_eq!(known(&inside, ANNA).failed_logins, FREE_FAILURES + 1);
        inside
            .when(Actor::Stranger, sign_in_from("203.0.113.0/24", true))
            .then_refused(locked(5));
    }
    let inside = site.when(ANNA, sign_in(ANNA, true)).then_something();
    assert!(inside.world().signs_in_from(ANNA, OFFICE, inside.now()));
    assert!(
        !inside
            .world()
            .signs_in_from(ANNA, "203.0.113.0/24", inside.now())
    );
    assert!(
        !inside
            .world()
            .signs_in_from(ANNA, OFFICE, inside.now().plus(90 * DAY))
    );
}

/// A clock that was ahead for a moment locks nobody out when it is put right.
#[test]
fn a_failure_recorded_ahead_of_the_clock_locks_nothing() {
    locked_from(OFFICE)
        .after(-300 * DAY)
        .when(ANNA, sign_in(ANNA, true))
        .then_something();
}

/// config-api.md 2.7: `failed_logins` may be set to 0 to unlock.
#[test]
fn failures_are_counted_and_forgotten() {
    let site = locked_from(OFFICE);
    site.clone()
        .when(API, change::<User>(ANNA, json!({"failed_logins": 7})))
        .then_invalid(&["failed_logins"]);
    site.clone()
        .when(
            API,
            change::<User>(
                ANNA,
                json!({"failed_logins": 5, "email_address": "a@example.com"}),
            ),
        )
        .then_something();
    let set = Command::SetPassword {
        user: ANNA,
        password: SecretRef("other".to_owned()),
        reset_next_login: false,
    };
    for (who, unlocks) in [
        (
            Actor::ApiAccount(API),
            change::<User>(ANNA, json!({"failed_logins": 0})),
        ),
        (Actor::User(ADMIN), set.into()),
    ] {
        let site = site.clone().when(who, unlocks).then_something();
        assert_eq!(known(&site, ANNA).failed_logins, 0);
        site.when(ANNA, sign_in(ANNA, true)).then_something();
    }
    // A good sign-in forgets what failed at the same place.
    let site = given([person(ANNA)])
        .when(Actor::Stranger, sign_in(ANNA, false))
        .then_something()
        .when(ANNA, sign_in(ANNA, true))
        .then_something();
    assert_eq!(known(&site, ANNA).failed_logins, 0);
}

#[test]
fn the_sources_of_failures_are_bounded() {
    let site = (0..300).fold(given([person(ANNA)]), |site, number| {
        site.after(1)
            .when(
                Actor::Stranger,
                sign_in_from(&format!("net {number}"), false),
            )
            .then_something()
    });
    let known = site.world().sign_ins.get(&ANNA).expect("known");
    assert_eq!(known.failures.len(), FAILING_SOURCES_MAX);
    assert!(known.failures.contains_key("net 299") && !known.failures.contains_key("net 0"));
}

fn change_password(matches: bool) -> Command {
    Command::SignIn(SignIn {
        new_password: Some(SecretRef("new".to_owned())),
        ..SignIn::new(ANNA, matches, from(OFFICE))
    })
}

#[test]
fn a_password_that_has_expired_or_was_set_by_others_lets_in_only_with_a_new_one() {
    let site = given([person(ANNA)]);
    let now = site.now();
    let expires =
        |at: Timestamp| change::<User>(ANNA, json!({"password_expiration": at.to_rfc3339()}));
    let at = Timestamp(now.0 / SECOND * SECOND + 10 * SECOND);
    let expired = site
        .clone()
        .when(API, expires(at))
        .then_something()
        .when(ANNA, sign_in(ANNA, true))
        .then_something()
        .at(at);
    let asked = site
        .when(
            API,
            change::<User>(ANNA, json!({"password_reset_next_login": true})),
        )
        .then_something();
    for site in [expired, asked] {
        let changed = site
            .when(ANNA, sign_in(ANNA, true))
            .then_refused(Refusal::PasswordChangeRequired)
            // The present password is needed all the same.
            .when(Actor::Stranger, change_password(false))
            .then_something()
            .when(ANNA, sign_in(ANNA, true))
            .then_refused(Refusal::PasswordChangeRequired)
            .when(ANNA, change_password(true))
            .then_something();
        let anna = known(&changed, ANNA);
        assert_eq!(anna.password, Some(SecretRef("new".to_owned())));
        assert_eq!(
            (anna.password_expiration, anna.password_reset_next_login),
            (None, false)
        );
        assert_eq!(anna.last_authentication, Some(changed.now()));
        changed.when(ANNA, sign_in(ANNA, true)).then_something();
    }
}

/// threat T: somebody who knows the old password changes it at the moment in which it is reset.
#[test]
fn threat_t_a_password_that_was_replaced_meanwhile_lets_nobody_in() {
    let compared_with = known(&given([person(ANNA)]), ANNA).password;
    let change = SignIn {
        compared_with: Some(compared_with.expect("a password")),
        new_password: Some(SecretRef("mine".to_owned())),
        ..SignIn::new(ANNA, true, from(OFFICE))
    };
    let set = Command::SetPassword {
        user: ANNA,
        password: SecretRef("other".to_owned()),
        reset_next_login: true,
    };
    let site = given([person(ANNA)]);
    site.clone()
        .when(ANNA, Command::SignIn(change.clone()))
        .then_something();
    site.when(ADMIN, set)
        .then_something()
        .when(ANNA, Command::SignIn(change))
        .then_refused(Refusal::SignInFailed);
}

/// threat D
#[test]
fn threat_d_passwords_of_others_are_set_by_administrators_and_who_may_set_them() {
    let cara = UserId(4);
    let set = |user| Command::SetPassword {
        user,
        password: SecretRef("other".to_owned()),
        reset_next_login: true,
    };
    let site = given([
        person(ANNA),
        user(BERT, |user| user.perm_set_passwords = true),
        person(cara),
    ]);
    // who, whose, why not
    for (who, whose, refusal) in [
        (Actor::ApiAccount(API), ANNA, Refusal::AdministratorNeeded),
        (Actor::Stranger, ANNA, Refusal::AdministratorNeeded),
        (Actor::User(cara), ANNA, Refusal::AdministratorNeeded),
        (Actor::User(BERT), ADMIN, Refusal::AdministratorNeeded),
        (Actor::User(BERT), BERT, Refusal::OwnPassword),
        (Actor::User(ADMIN), ADMIN, Refusal::OwnPassword),
        (Actor::User(ADMIN), UserId(99), Refusal::not_found("User")),
    ] {
        site.clone().when(who, set(whose)).then_refused(refusal);
    }
    for who in [ADMIN, BERT] {
        let site = site.clone().when(who, set(ANNA)).then_something();
        let anna = known(&site, ANNA);
        assert_eq!(anna.password, Some(SecretRef("other".to_owned())));
        site.when(ANNA, sign_in(ANNA, true))
            .then_refused(Refusal::PasswordChangeRequired);
    }
}

/// threat D
#[test]
fn threat_d_an_api_account_changes_no_administrator() {
    let site = given([person(ANNA)]);
    for body in [
        json!({"username": "root"}),
        json!({"email_address": "mallory@example.com"}),
        json!({"enabled": false}),
        json!({}),
    ] {
        site.clone()
            .when(API, change::<User>(ADMIN, body))
            .then_refused(Refusal::AdministratorsNotByApi);
    }
    site.clone()
        .when(API, change::<User>(ANNA, json!({"username": "root"})))
        .then_something();
    site.when(ADMIN, change::<User>(ADMIN, json!({"username": "root"})))
        .then_something();
}

#[test]
fn what_nothing_enforces_is_not_stored() {
    let site = given([person(ANNA)]);
    let body = |two_factor: bool| json!({"username": "x", "public_display_name": "X", "two_factor_required": two_factor});
    site.clone()
        .when(API, create::<User>(body(true)))
        .then_invalid(&["two_factor_required"]);
    site.clone()
        .when(API, create::<User>(body(false)))
        .then_something();
    site.clone()
        .when(
            API,
            change::<User>(ANNA, json!({"two_factor_required": true})),
        )
        .then_invalid(&["two_factor_required"]);
    site.when(
        API,
        change::<User>(
            ANNA,
            json!({"two_factor_required": false, "email_address": "a@example.com"}),
        ),
    )
    .then_something();
}

/// Whoever is enabled again signs in again.
#[test]
fn disabling_a_user_begins_a_new_generation_of_sign_ins() {
    let site = given([person(ANNA)]);
    let before = site.world().sign_in_generation(ANNA);
    let site = site
        .when(API, change::<User>(ANNA, json!({"enabled": false})))
        .then_something()
        .when(API, change::<User>(ANNA, json!({"enabled": true})))
        .then_something();
    assert_ne!(site.world().sign_in_generation(ANNA), before);
}

#[test]
fn the_network_of_an_address_is_its_24_or_48() {
    for (address, network) in [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
    ] {
        assert_eq!(network_of(address.parse().unwrap()), network);
    }
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
