//! Who may use what, as a golden file that a security reviewer reads: every route of the table by every kind of caller.
//!
//! `GATEBOOK_WRITE_GOLDEN=1` writes the files anew; the difference is then read before it is committed.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;

use api::Limits;
use api::access::Access;
use api::route::Route;
use serde_json::json;

use crate::served::{Differently, Served};

/// Compares with a file beside the sources, or writes it.
pub(crate) fn golden(path: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("GATEBOOK_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        actual,
        expected,
        "{} is not what the router does",
        path.display()
    );
}

/// Concrete ids for a pattern: such that nothing is there.
fn concrete(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| {
        if part.starts_with('{') {
            "2147483647"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// threat A, AUTH-32, AUTH-33
#[tokio::test]
async fn threat_a_the_routes_reachable_without_a_token_are_listed() {
    let served = Served::start_with(Differently {
        limits: Limits {
            // There are more routes than one address may ask for at once.
            address_burst: NonZeroU32::MAX,
            ..Limits::default()
        },
        ..Differently::default()
    })
    .await;
    let routes = api::routes(&served.site);
    let mut open: Vec<String> = routes
        .table()
        .iter()
        .filter(|route| matches!(route.access, Access::Anyone | Access::Probe | Access::Agent))
        .map(|route| format!("{} {}\n", route.method, route.path))
        .collect();
    open.sort();
    golden("reachable-without-a-token.txt", &open.concat());
    // And the router agrees: without a token, everything else is refused for want of one.
    for route in routes.table() {
        let response = served
            .request(route.method.clone(), &concrete(&route.path))
            .send()
            .await
            .unwrap();
        let listed = open.contains(&format!("{} {}\n", route.method, route.path));
        if !listed {
            assert_eq!(response.status(), 401, "{} {}", route.method, route.path);
        }
    }
}

/// threat D, threat G, AUTH-28, CONF-05
#[tokio::test]
async fn threat_d_every_route_by_every_kind_of_caller() {
    let served = Served::start_with(Differently {
        limits: Limits {
            address_burst: NonZeroU32::MAX,
            ..Limits::default()
        },
        ..Differently::default()
    })
    .await;
    let budget = |mut members: serde_json::Value| {
        members["requests_per_second"] = json!(10_000);
        members
    };
    let callers = [
        ("no token", None),
        ("wrong token", Some(format!("1.{}", "a".repeat(43)))),
        ("command only", {
            let account = served
                .account(budget(json!({"name": "c", "perm_command": "full_access"})))
                .await;
            Some(served.token_of(&account).await)
        }),
        ("reports only", {
            let account = served
                .account(budget(json!({"name": "r", "perm_reporting_support": true})))
                .await;
            Some(served.token_of(&account).await)
        }),
        ("configuration only", {
            let account = served
                .account(budget(json!({"name": "k", "perm_configuration": true})))
                .await;
            Some(served.token_of(&account).await)
        }),
        (
            "user",
            Some(served.user("anna", json!({})).await.token.clone()),
        ),
        (
            "administrator",
            Some(served.administrator().await.token.clone()),
        ),
    ];
    let routes = api::routes(&served.site);
    let mut lines: Vec<String> = Vec::new();
    // Signing out comes last: nobody who has is known any more.
    let ends = |route: &&Route| route.path.ends_with("/sign-out");
    let table = routes.table();
    let in_order = table
        .iter()
        .filter(|route| !ends(route))
        .chain(table.iter().filter(ends));
    for route in in_order {
        let mut line = format!("{} {}", route.method, route.path);
        for (caller, token) in &callers {
            let mut request = served
                .request(route.method.clone(), &concrete(&route.path))
                .body("{}");
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await.unwrap().status();
            write!(line, " | {caller} {}", status.as_u16()).unwrap();
        }
        lines.push(line + "\n");
    }
    lines.sort();
    golden("tests/golden/access-matrix.txt", &lines.concat());
}
