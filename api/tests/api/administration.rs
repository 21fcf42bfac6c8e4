//! What administrators set in the console, and that nobody else does.

use domain::time::{MINUTE, SECOND};
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Credentials, Served, answer, header};
use crate::visit::{Agent, Conduct};

/// ROLE-01 ROLE-02 ROLE-33
#[tokio::test]
async fn jump_item_roles_are_made_changed_and_deleted() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let body = json!({"name": "Helpers", "perm_start": true});
    let response = admin
        .send(Method::POST, "jump-item-roles", Some(body))
        .await;
    let location = header(&response, "location").expect("a location");
    let (status, role) = answer(response).await;
    assert_eq!(status, 201, "{role}");
    let path = format!("jump-item-roles/{}", role["id"]);
    assert_eq!(location, format!("{}/api/console/v1/{path}", served.url));
    assert_eq!(
        (&role["perm_start"], &role["perm_remove"]),
        (&json!(true), &json!(false))
    );
    let (_, published) = served.get(&format!("jump-item-role/{}", role["id"])).await;
    assert_eq!(published, role, "the published API shows the same");

    let (status, changed) = admin.patch(&path, json!({"perm_remove": true})).await;
    assert_eq!((status, &changed["perm_remove"]), (200, &json!(true)));
    assert_eq!(admin.get(&path).await, (200, changed));
    let (status, told) = admin
        .post("jump-item-roles", json!({"name": "HELPERS"}))
        .await;
    assert_eq!(status, 422);
    assert_eq!(
        told["errors"]["name"],
        json!(["The name has already been taken."])
    );
    let (_, page) = admin.get("jump-item-roles?name=helpers").await;
    assert_eq!(page.as_array().map(Vec::len), Some(1));

    let anna = served
        .user("anna", json!({"default_jump_item_role_id": role["id"]}))
        .await;
    let (status, told) = admin.delete(&path).await;
    assert_eq!(status, 409);
    assert_eq!(
        told["message"],
        "Jump Item Role is in use by user \"anna\"."
    );
    served
        .permit(anna.id, json!({"default_jump_item_role_id": 1}))
        .await;
    assert_eq!(admin.delete(&path).await.0, 204);
    assert_eq!(admin.get(&path).await.0, 404);
}

/// POL-08 POL-09 POL-10 POL-13 POL-49 POL-55 ERR-32
#[tokio::test]
async fn a_schedule_is_set_whole_and_an_enabled_one_has_entries() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let policy = json!({"display_name": "Thursdays", "schedule_enabled": false});
    let (status, policy) = served.post("jump-policy", policy).await;
    assert_eq!(status, 201, "{policy}");
    let path = format!("jump-policies/{}/schedule", policy["id"]);
    assert_eq!(
        admin.get(&path).await,
        (
            200,
            json!({"timezone": "UTC", "entries": [], "override_allowed": false})
        )
    );
    let thursdays = json!({
        "timezone": "Europe/Berlin",
        "entries": [{"start_day": 3, "start_time": "08:00", "end_day": 3, "end_time": "17:00"}],
    });
    // The console also tells whether users may go on outside it, which the published form does not have (POL-16).
    let mut shown = thursdays.clone();
    shown["override_allowed"] = json!(false);
    assert_eq!(
        admin.put(&path, thursdays.clone()).await,
        (200, shown.clone())
    );
    assert_eq!(admin.get(&path).await, (200, shown));
    let published = format!("jump-policy/{}", policy["id"]);
    assert_eq!(
        served.get(&format!("{published}/schedule")).await,
        (200, thursdays)
    );
    let enable = json!({"schedule_enabled": true});
    assert_eq!(served.patch(&published, enable).await.0, 200);
    let (_, list) = served.get("jump-policy").await;
    let columns = [
        "display_name",
        "code_name",
        "description",
        "schedule_enabled",
    ];
    let row = columns.map(|column| list[0][column].clone());
    assert_eq!(
        row,
        [
            json!("Thursdays"),
            json!("thursdays"),
            json!(""),
            json!(true)
        ]
    );

    for (body, field) in [
        (json!({"timezone": "UTC", "entries": []}), "entries"),
        (
            json!({"timezone": "Mars/Olympus", "entries": []}),
            "timezone",
        ),
        (json!({"timezone": "UTC"}), "entries"),
        (json!({"entries": []}), "timezone"),
        (
            json!({"timezone": "UTC", "entries": [{"start_day": 7, "start_time": "24:00", "end_day": 1, "end_time": "08:00"}]}),
            "entries.0.start_time",
        ),
        // What nobody reads is refused, and not passed over (POL-09: one zone a schedule).
        (
            json!({"timezone": "UTC", "entries": [{"start_day": 1, "start_time": "07:00", "end_day": 1, "end_time": "08:00", "timezone": "UTC"}]}),
            "entries.0.timezone",
        ),
        (
            json!({"timezone": "UTC", "entries": [{"start_day": 1, "start_time": "08:00", "end_day": 1, "end_time": "08:00"}]}),
            "entries.0.end_time",
        ),
    ] {
        let (status, told) = admin.put(&path, body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{field} {told}");
    }
    assert_eq!(admin.get("jump-policies/99/schedule").await.0, 404);
    assert_eq!(
        admin
            .put(
                "jump-policies/99/schedule",
                json!({"timezone": "UTC", "entries": []})
            )
            .await
            .0,
        404
    );

    // It is Monday: the policy says no and when it will say yes.
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    served
        .change_client(client, json!({"jump_policy_id": policy["id"]}))
        .await;
    let anna = served.jumper("anna").await;
    let item = json!({"item": format!("jump_client-{client}")});
    let (status, told) = anna.post("sessions", item.clone()).await;
    assert_eq!(status, 403);
    assert_eq!(
        told["message"],
        "The Jump Policy \"Thursdays\" does not permit a session at this time. Next available: Thursday, 2026-01-08 08:00 (Europe/Berlin)."
    );
    served.clock.leap(3 * 24 * 3600 * SECOND);
    let anna = served.visitor("anna", crate::visit::PASSWORD).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    assert_eq!(anna.post("sessions", item).await.0, 201);
}

/// GPOL-04 GPOL-05 ROLE-07
#[tokio::test]
async fn permissions_of_a_user_are_shown_and_changed_and_nothing_else_is() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let anna = served.user("anna", json!({})).await;
    let path = format!("users/{}/permissions", anna.id);
    let (status, before) = admin.get(&path).await;
    assert_eq!(
        (status, &before["perm_access_allowed"]),
        (200, &json!("not_allowed"))
    );
    assert!(
        before.get("username").is_none() && before.get("password").is_none(),
        "{before}"
    );
    let change = json!({"perm_access_allowed": "full_support", "perm_jump_client": true});
    let (status, after) = admin.patch(&path, change).await;
    assert_eq!((status, &after["perm_jump_client"]), (200, &json!(true)));
    assert_eq!(admin.get(&path).await, (200, after.clone()));
    assert_eq!(
        admin.patch(&path, after.clone()).await,
        (200, after),
        "what was read can be sent back"
    );
    for (body, field) in [
        (json!({"username": "eve"}), "username"),
        (json!({"password": "x"}), "password"),
        (
            json!({"perm_access_allowed": "everything"}),
            "perm_access_allowed",
        ),
        (
            json!({"default_jump_item_role_id": 99}),
            "default_jump_item_role_id",
        ),
        (json!({"perm_admin": "yes"}), "perm_admin"),
    ] {
        let (status, told) = admin.patch(&path, body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
    let (status, told) = admin
        .patch("users/1/permissions", json!({"perm_admin": false}))
        .await;
    assert_eq!(status, 422, "the last administrator stays: {told}");
    assert_eq!(admin.get("users/99/permissions").await.0, 404);
}

/// AUTH-09 AUTH-10 AUTH-11 AUTH-22 AUTH-23 AUTH-24 AUTH-25 AUTH-26 AUTH-29
#[tokio::test]
async fn api_accounts_are_made_and_their_secret_is_shown_once() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let (status, told) = admin.post("api-accounts", json!({"name": "none"})).await;
    assert_eq!(
        (status, &told["message"]),
        (422, &json!("At least one permission must be enabled."))
    );
    let body = json!({"name": "Script", "perm_configuration": true});
    let (status, account) = admin.post("api-accounts", body).await;
    assert_eq!(status, 201, "{account}");
    assert_eq!(account["perm_configuration_vault_account"], false);
    assert_eq!(account["perm_command"], "deny");
    let credentials = |account: &Value| Credentials {
        id: domain::ids::ApiAccountId(2),
        client_id: account["client_id"].as_str().expect("an id").to_owned(),
        secret: account["client_secret"]
            .as_str()
            .expect("a secret")
            .to_owned(),
    };
    let first = credentials(&account);
    let token = served.token_of(&first).await;
    assert_eq!(served.status_with(&token).await, 200);
    let path = format!("api-accounts/{}", account["id"]);
    for (status, shown) in [
        admin.get(&path).await,
        admin.patch(&path, json!({"comments": "x"})).await,
        served.get(&format!("api-account/{}", account["id"])).await,
    ] {
        assert_eq!(status, 200);
        assert!(shown.get("client_secret").is_none(), "{shown}");
    }
    let (status, told) = admin.patch(&path, json!({"client_secret": "mine"})).await;
    assert_eq!(status, 422, "{told}");
    let (status, told) = admin
        .patch(&path, json!({"perm_configuration_vault_account": true}))
        .await;
    assert_eq!(
        (status, &told["perm_configuration_vault_account"]),
        (200, &json!(true))
    );
    let (status, told) = admin
        .patch(
            &path,
            json!({"perm_configuration": false, "perm_backup": true}),
        )
        .await;
    assert_eq!(
        (status, &told["perm_configuration_vault_account"]),
        (200, &json!(false)),
        "{told}"
    );
    admin
        .patch(&path, json!({"perm_configuration": true}))
        .await;

    let (status, regenerated) = admin
        .post(&format!("{path}/regenerate-secret"), json!({}))
        .await;
    assert_eq!(status, 200, "{regenerated}");
    let second = credentials(&regenerated);
    assert_ne!(second.secret, first.secret);
    assert_eq!(served.status_with(&token).await, 401, "all tokens end");
    assert_eq!(served.ask_token(&first).await.status(), 401);
    let token = served.token_of(&second).await;
    admin.patch(&path, json!({"enabled": false})).await;
    assert_eq!(served.status_with(&token).await, 401);
    assert_eq!(served.ask_token(&second).await.status(), 401);
    admin.patch(&path, json!({"enabled": true})).await;
    assert_eq!(served.status_with(&token).await, 401, "ended for good");
    let token = served.token_of(&second).await;
    assert_eq!(served.status_with(&token).await, 200);
    assert_eq!(admin.delete(&path).await.0, 204);
    assert_eq!(served.status_with(&token).await, 401);
    assert_eq!(
        admin
            .post(&format!("{path}/regenerate-secret"), json!({}))
            .await
            .0,
        404
    );
    for (name, text) in served.log().await {
        assert!(
            !text.contains(&first.secret) && !text.contains(&second.secret),
            "{name}"
        );
    }
}

/// A repeat of the request that made a secret does not show it again.
#[tokio::test]
async fn a_repeated_request_shows_no_secret() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let make = async || {
        let body = json!({"name": "Script", "perm_configuration": true});
        let request = admin
            .request(Method::POST, "api-accounts")
            .header("idempotency-key", "once")
            .body(body.to_string());
        answer(request.send().await.expect("an answer")).await
    };
    let (status, mut first) = make().await;
    assert_eq!(status, 201);
    let members = first.as_object_mut().expect("an object");
    assert!(members.remove("client_secret").is_some());
    assert_eq!(make().await, (201, first));
}

#[tokio::test]
async fn site_settings_are_shown_and_changed() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let (status, before) = admin.get("site/settings").await;
    assert_eq!((status, &before["company_name"]), (200, &json!("acme")));
    let (status, after) = admin
        .patch("site/settings", json!({"company_name": "Example"}))
        .await;
    assert_eq!((status, &after["company_name"]), (200, &json!("Example")));
    assert_eq!(
        admin.patch("site/settings", after.clone()).await,
        (200, after)
    );
    for (body, field) in [
        (json!({"lost_days": 500}), "lost_days"),
        (json!({"nonsense": 1}), "nonsense"),
        (json!({"sign_in_hours": "12"}), "sign_in_hours"),
        (
            json!({"reporting_namespace": "mine"}),
            "reporting_namespace",
        ),
    ] {
        let (status, told) = admin.patch("site/settings", body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
    assert_eq!(served.count("SiteSettingsChanged").await, 1);
}

/// Every route for administrators refuses everybody else, in the log as well.
///
/// threat G, threat D
#[tokio::test]
async fn threat_g_nobody_but_administrators_administers() {
    let served = Served::start().await;
    let everything_but = json!({
        "perm_access_allowed": "full_support",
        "perm_jump_client": true,
        "perm_set_passwords": true,
        "perm_edit_jump_groups": true,
        "default_jump_item_role_id": 3,
        "private_jump_item_role_id": 3,
        "unassigned_jump_item_role_id": 3,
    });
    let anna = served.user("anna", everything_but).await;
    // Whatever stands in a path: it is refused before anybody looks for it.
    let filled = |segment: &str| match segment {
        "{kind}" => "approval".to_owned(),
        "{language}" => "en-us".to_owned(),
        number if number.starts_with('{') => "1".to_owned(),
        name => name.to_owned(),
    };
    let table = api::routes(&served.site);
    let routes: Vec<(Method, String)> = table
        .table()
        .iter()
        .filter(|route| route.access == api::access::Access::Administrator)
        .map(|route| {
            let segments: Vec<String> = route.path.split('/').map(filled).collect();
            (route.method.clone(), segments.join("/"))
        })
        .collect();
    assert!(routes.len() >= 60, "{}", routes.len());
    for (number, (method, path)) in (1..).zip(routes) {
        // So many of one caller are written down in a minute, and the others are counted.
        served.clock.leap(MINUTE);
        let body = json!({"perm_admin": true, "name": "x", "enabled": true});
        let path = path.trim_start_matches("/api/console/v1/");
        let response = anna.send(method.clone(), path, Some(body)).await;
        let (status, told) = answer(response).await;
        assert_eq!(status, 403, "{method} {path} {told}");
        assert_eq!(told["message"], "Only an administrator may do this.");
        assert_eq!(told["code"], "administrator_needed");
        assert!(told["refusal"].is_string(), "{told}");
        assert_eq!(
            served.count("ActionRefused").await,
            number,
            "{method} {path}"
        );
    }
}

/// GRP-28: every route of the console is in the OpenAPI document, with schemas that are there and the names of the Jump items.
#[tokio::test]
async fn the_console_is_in_the_openapi_document() {
    let served = Served::start().await;
    let response = served
        .request(Method::GET, "/api/openapi.json")
        .bearer_auth(&served.token)
        .send()
        .await
        .expect("an answer");
    let (status, document) = answer(response).await;
    assert_eq!(status, 200);
    let routes = api::routes(&served.site);
    let console = routes
        .table()
        .iter()
        .filter(|route| route.path.starts_with("/api/console/v1/"));
    let mut count = 0;
    for route in console {
        let method = route.method.as_str().to_lowercase();
        let operation = &document["paths"][&route.path][&method];
        assert!(operation.is_object(), "{method} {}", route.path);
        count += 1;
    }
    assert_eq!(count, 128);
    let text = document.to_string();
    for newer in ["asset_", "asset-", "Asset", "/asset"] {
        assert!(!text.contains(newer), "APIs keep the Jump names: {newer}");
    }
    for name in ["jump_group_id", "jump_item_role_id", "jump_policy_id"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name}");
    }
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

/// CONF-06, SESS-12: the OpenAPI document says of every list whether it comes by pages, and of a Jump all that may come of it.
#[tokio::test]
async fn the_openapi_document_says_what_lists_and_jumps_answer() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let admin = served.administrator().await;
    for (path, body) in [
        ("group-policy", json!({"name": "Policy"})),
        ("team", json!({"name": "Team"})),
        (
            "jumpoint",
            json!({"name": "Jumpoint", "platform": "linux-x86"}),
        ),
    ] {
        let (status, told) = served.post(path, body).await;
        assert_eq!((status, &told["id"]), (201, &json!(1)), "{told}");
    }
    assert_eq!(group.0, 1);
    let address = json!({"url": "https://access.example.com"});
    assert_eq!(admin.post("site-addresses", address).await.0, 201);
    let machine = served.fleet("Databases").await.machine(1).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let anna = served.jumper("anna").await;
    let lsid = anna.jump(machine).await.to_string();
    let (_, document) = answer(
        served
            .request(Method::GET, "/api/openapi.json")
            .bearer_auth(&served.token)
            .send()
            .await
            .expect("an answer"),
    )
    .await;
    let mut lists = 0;
    let mut wrong = Vec::new();
    let routes = api::routes(&served.site);
    for route in routes.table() {
        let operation = &document["paths"][&route.path][route.method.as_str().to_lowercase()];
        let answered = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        if route.method != Method::GET || answered["type"] != "array" {
            continue;
        }
        lists += 1;
        // Anna owns the session, and administrators may read the report of any.
        let token = if route.path.ends_with("{lsid}/invitable-users") {
            &anna.token
        } else if route.path.starts_with("/api/console/") {
            &admin.token
        } else {
            &served.token
        };
        let first: Vec<&str> = route
            .path
            .split('/')
            .map(|part| match part {
                "{lsid}" => &lsid,
                part if part.starts_with('{') => "1",
                part => part,
            })
            .collect();
        let response = served
            .request(Method::GET, &first.join("/"))
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200, "{}", route.path);
        let is_paged = header(&response, "x-bt-pagination-total").is_some();
        let parameters = operation["parameters"]
            .as_array()
            .map_or(&[][..], |all| all);
        let says_so = ["per_page", "current_page"]
            .map(|name| parameters.iter().any(|one| one["name"] == name));
        if says_so != [is_paged; 2] {
            wrong.push(&route.path);
        }
        let (_, body) = answer(response).await;
        assert!(body.is_array(), "{}", route.path);
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(lists, 43);
    let jump = &document["paths"]["/api/console/v1/sessions"]["post"]["responses"];
    let schema = |status: &str| &jump[status]["content"]["application/json"]["schema"];
    let named = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    assert_eq!(schema("200"), &named("SessionStarts"));
    assert_eq!(schema("201"), &named("Session"));
    assert_eq!(
        schema("202")["oneOf"],
        json!([named("Session"), named("TicketRequestMade")])
    );
}
