//! Jump Item Roles: their permissions, the seeded ones, and which can go.

use serde_json::json;

use super::{
    ADMINISTRATOR, JumpItemPermission, JumpItemRole, NO_ACCESS, START_SESSIONS_ONLY, built_in,
};
use crate::Refusal;
use crate::ids::JumpItemRoleId;
use crate::record::Record;
use crate::site::user::User;
use crate::testing::{
    ADMIN, ANNA, BERT, Given, WEB_SERVERS, change, create, delete, given, group, member, person,
    role, user,
};

const EVERY_PERMISSION: [JumpItemPermission; 11] = [
    JumpItemPermission::CreateAndDeploy,
    JumpItemPermission::MoveAndCopy,
    JumpItemPermission::Remove,
    JumpItemPermission::ViewReports,
    JumpItemPermission::Start,
    JumpItemPermission::EditTag,
    JumpItemPermission::EditComments,
    JumpItemPermission::EditJumpPolicy,
    JumpItemPermission::EditSessionPolicy,
    JumpItemPermission::EditConnectivity,
    JumpItemPermission::EditBehavior,
];

fn seeded(site: &Given, id: JumpItemRoleId) -> JumpItemRole {
    let role = site.world().jump_item_roles.get(&id);
    role.expect("it is seeded").clone()
}

/// ROLE-01
#[test]
fn a_role_needs_a_unique_name_and_may_have_a_description() {
    let site = given([]);
    site.clone()
        .when(ADMIN, create::<JumpItemRole>(json!({"description": "x"})))
        .then_invalid(&["name"]);
    site.clone()
        .when(ADMIN, create::<JumpItemRole>(json!({"name": ""})))
        .then_invalid(&["name"]);
    site.clone()
        .when(
            ADMIN,
            create::<JumpItemRole>(json!({"name": "ADMINISTRATOR"})),
        )
        .then_invalid(&["name"]);
    let site = site
        .when(ADMIN, create::<JumpItemRole>(json!({"name": "Auditor"})))
        .then_something()
        .when(
            ADMIN,
            change::<JumpItemRole>(JumpItemRoleId(4), json!({"name": "auditor"})),
        )
        .then_something();
    assert_eq!(seeded(&site, JumpItemRoleId(4)).description, "");
}

/// ROLE-02, ROLE-03
#[test]
fn eleven_permissions_are_independent_of_each_other() {
    let flags: Vec<&str> = JumpItemRole::FIELDS
        .iter()
        .map(|field| field.name)
        .filter(|name| name.starts_with("perm_"))
        .collect();
    assert_eq!(flags.len(), EVERY_PERMISSION.len());
    let mut granted = Vec::new();
    for flag in flags {
        let role: JumpItemRole =
            serde_json::from_value(json!({"name": "One", flag: true})).expect("a role");
        assert!(role.gives_access(), "{flag}");
        let held: Vec<JumpItemPermission> = EVERY_PERMISSION
            .into_iter()
            .filter(|permission| role.allows(*permission))
            .collect();
        assert_eq!(held.len(), 1, "{flag}");
        granted.extend(held);
    }
    granted.sort();
    let mut every = EVERY_PERMISSION.to_vec();
    every.sort();
    assert_eq!(granted, every);
    assert!(!JumpItemRole::default().gives_access());
    let labels: Vec<&str> = EVERY_PERMISSION.iter().map(|p| p.label()).collect();
    assert_eq!(
        labels,
        [
            "Create and deploy new Jump Items",
            "Move and Copy Jump Items",
            "Remove existing Jump Items",
            "View Reports",
            "Start Sessions",
            "Edit Tag",
            "Edit Comments",
            "Edit Jump Policy",
            "Edit Session Policy",
            "Edit Connectivity and Authentication",
            "Edit Behavior and Experience",
        ]
    );
}

/// ROLE-15, ROLE-28, ROLE-29
#[test]
fn a_new_site_has_three_roles() {
    let site = given([]);
    let none = seeded(&site, NO_ACCESS);
    assert_eq!(none.name, "No Access");
    assert!(!none.gives_access());
    let start = seeded(&site, START_SESSIONS_ONLY);
    assert_eq!(start.name, "Start Sessions Only");
    let all = seeded(&site, ADMINISTRATOR);
    assert_eq!(all.name, "Administrator");
    for permission in EVERY_PERMISSION {
        assert_eq!(
            start.allows(permission),
            permission == JumpItemPermission::Start
        );
        assert!(all.allows(permission), "{permission:?}");
    }
}

/// GRP-12, ROLE-15, ROLE-28, ROLE-29: what a built-in role means stays; what it is called does not matter.
#[test]
fn the_permissions_of_built_in_roles_stay() {
    for (id, _) in built_in() {
        for permission in EVERY_PERMISSION {
            let role = seeded(&given([]), id);
            let field = field_of(permission);
            let new = !role.allows(permission);
            let refusal = format!(
                "The permissions of the built-in role \"{}\" can't be changed. Make a role of your own.",
                role.name
            );
            given([])
                .when(ADMIN, change::<JumpItemRole>(id, json!({ field: new })))
                .then_refused(Refusal::field(field, refusal));
            given([])
                .when(ADMIN, change::<JumpItemRole>(id, json!({ field: !new })))
                .then_nothing();
        }
        given([])
            .when(
                ADMIN,
                change::<JumpItemRole>(id, json!({"name": "Else", "description": "x"})),
            )
            .then_something();
    }
    // A site of before the rule: it can be put right, step by step, and not further away.
    let filled = role(NO_ACCESS, |role| {
        role.name = "No Access".to_owned();
        role.perm_start = true;
        role.perm_add = true;
    });
    given([filled])
        .when(
            ADMIN,
            change::<JumpItemRole>(NO_ACCESS, json!({"perm_remove": true})),
        )
        .then_invalid(&["perm_remove"])
        .when(
            ADMIN,
            change::<JumpItemRole>(NO_ACCESS, json!({"perm_start": false, "name": "Nothing"})),
        )
        .then_something();
}

/// The field of a permission.
fn field_of(permission: JumpItemPermission) -> &'static str {
    let alone = |name: &str| {
        let role: JumpItemRole =
            serde_json::from_value(json!({"name": "x", name: true})).expect("a role");
        role.allows(permission)
    };
    let mut fields = JumpItemRole::FIELDS.iter().map(|field| field.name);
    fields
        .find(|name| name.starts_with("perm_") && alone(name))
        .expect("a field")
}

/// ROLE-30, ROLE-33
#[test]
fn a_role_in_use_stays_and_its_users_are_named() {
    const USED: JumpItemRoleId = JumpItemRoleId(4);
    let site = given([
        role(USED, |_| {}),
        user(ANNA, |user| user.inferior_jump_item_role_id = USED),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, BERT, USED),
    ]);
    let by = |names: &[&str]| Refusal::InUse {
        what: "Jump Item Role",
        by: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let refusal = by(&[
        "user \"user-2\"",
        "member \"user-3\" of Jump Group \"Web Servers\"",
    ]);
    assert_eq!(
        refusal.to_string(),
        "Jump Item Role is in use by user \"user-2\", member \"user-3\" of Jump Group \"Web Servers\"."
    );
    let site = site
        .when(ADMIN, delete::<JumpItemRole>(USED))
        .then_refused(refusal)
        .when(ADMIN, delete::<User>(BERT))
        .then_something()
        .when(ADMIN, delete::<JumpItemRole>(USED))
        .then_refused(by(&["user \"user-2\""]))
        .when(ADMIN, delete::<User>(ANNA))
        .then_something()
        .when(ADMIN, delete::<JumpItemRole>(USED))
        .then_something();
    site.when(ADMIN, delete::<JumpItemRole>(NO_ACCESS))
        .then_refused(by(&["every new user's role slots"]));
}

/// ROLE-33: a long list is cut, and says so.
#[test]
fn at_most_twenty_users_are_named() {
    const USED: JumpItemRoleId = JumpItemRoleId(4);
    let users = (10..35).map(|id| {
        user(crate::ids::UserId(id), |user| {
            user.default_jump_item_role_id = USED
        })
    });
    let asked = given([role(USED, |_| {})])
        .and(users)
        .when(ADMIN, delete::<JumpItemRole>(USED));
    let Err(Refusal::InUse { by, .. }) = asked.decision() else {
        panic!("{asked:?}");
    };
    assert_eq!(by.len(), 21);
    assert_eq!(by.last().map(String::as_str), Some("5 more"));
}
