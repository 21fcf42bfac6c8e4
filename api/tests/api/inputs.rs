//! What comes in is used, or refused naming it: bodies of GET, encodings, members given twice, names, filters and pages.

use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Served, answer, header};

/// Characters that make a name look like another one, break its line or leave nothing to see.
const HOSTILE: [&str; 8] = [
    "a\nb",
    "a\r",
    "\u{1b}[1m",
    "\u{202e}nimda",
    "a\u{2028}b",
    "a\u{200b}",
    " ",
    "\u{3164}\u{a0}",
];

fn named(body: &Value, field: &str) -> bool {
    body["errors"][field].is_array()
}

/// CONF-12
#[tokio::test]
async fn filters_in_the_body_of_a_get_are_refused_and_named() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "Servers"})).await;
    let anna = served.administrator().await;
    // content type, body, member that is named
    let cases = [
        (
            "application/json",
            r#"{"hostname": "own-host"}"#,
            "hostname",
        ),
        ("application/json", "\u{feff}{\"name\":\"x\"}", "name"),
        (
            "application/x-www-form-urlencoded",
            "tag=i-0123&name=x",
            "tag",
        ),
        ("text/plain", "nothing of either kind", "body"),
    ];
    for (content_type, body, member) in cases {
        for (path, token) in [
            ("/api/config/v1/jump-client", true),
            ("/api/config/v1/jump-group/1", true),
            ("/api/console/v1/jump-groups", false),
        ] {
            let request = if token {
                served.request(Method::GET, path).bearer_auth(&served.token)
            } else {
                anna.request(Method::GET, "jump-groups")
            };
            let request = request.header("content-type", content_type).body(body);
            let (status, told) = answer(request.send().await.unwrap()).await;
            assert_eq!(status, 422, "{path} {body}: {told}");
            assert!(named(&told, member), "{path} {body}: {told}");
        }
    }
    for nothing in ["", "  \r\n", "{}", "null"] {
        let response = served.call(Method::GET, "jump-group", None);
        let (_, expected) = answer(response.await).await;
        let request = served.request(Method::GET, "/api/config/v1/jump-group");
        let request = request.bearer_auth(&served.token).body(nothing);
        assert_eq!(answer(request.send().await.unwrap()).await, (200, expected));
    }
    let account = json!({"name": "all", "perm_command": "full_access"});
    let token = served.token_of(&served.account(account).await).await;
    let request = served.request(Method::GET, "/api/command?action=get_api_info");
    let request = request.bearer_auth(token).body("lsid=1");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(text.contains("<error "), "{text}");
}

/// CONF-18
#[tokio::test]
async fn a_member_that_is_given_twice_is_named() {
    let served = Served::start().await;
    let anna = served.administrator().await;
    let twice = r#"{"name": "a", "comments": "x", "name": "b"}"#;
    for request in [
        served
            .request(Method::POST, "/api/config/v1/jump-group")
            .bearer_auth(&served.token),
        anna.request(Method::POST, "jump-item-roles"),
    ] {
        let (status, told) = answer(request.body(twice).send().await.unwrap()).await;
        assert_eq!(status, 422, "{told}");
        assert!(named(&told, "name"), "{told}");
    }
    let grant = r#"{"grant_type": "client_credentials", "grant_type": "password"}"#;
    let request = served
        .request(Method::POST, "/oauth2/token")
        .basic_auth(&served.first.client_id, Some(&served.first.secret));
    let (status, told) = answer(request.body(grant).send().await.unwrap()).await;
    assert_eq!((status, &told["error"]), (400, &json!("invalid_request")));
    assert_eq!(served.count("JumpGroupCreated").await, 0);
}

/// AUTH-04
#[tokio::test]
async fn a_byte_order_mark_hides_no_grant() {
    let served = Served::start().await;
    for body in [
        "\u{feff}grant_type=client_credentials",
        "\u{feff}{\"grant_type\": \"client_credentials\"}",
    ] {
        let request = served
            .request(Method::POST, "/oauth2/token")
            .basic_auth(&served.first.client_id, Some(&served.first.secret));
        assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    }
}

/// CMD-02, ITEM-06
#[tokio::test]
async fn a_form_is_stored_in_its_own_charset_or_not_at_all() {
    let served = Served::start().await;
    served
        .post(
            "jump-group",
            json!({"name": "Office", "code_name": "office"}),
        )
        .await;
    let jumpoint = json!({"name": "East", "code_name": "east", "platform": "linux-x86"});
    served.post("jumpoint", jumpoint).await;
    let account = json!({"name": "all", "perm_command": "full_access"});
    let token = served.token_of(&served.account(account).await).await;
    let rest =
        "action=import_jump_shortcut&shelljump_hostname=h&protocol=ssh&group=office&jumpoint=east";
    let latin = "application/x-www-form-urlencoded; charset=ISO-8859-1";
    let plain = "application/x-www-form-urlencoded";
    // content type, name as it is sent, what is said
    let cases: [(&str, &[u8], &str); 6] = [
        (latin, b"B%FCro", "Successfully imported"),
        (latin, b"K\xfcche", "Successfully imported"),
        (plain, b"B%FCro", "The parameter name is not valid UTF-8."),
        (plain, b"K\xfcche", "The parameter name is not valid UTF-8."),
        (
            plain,
            b"a%00b",
            "The parameter name must not hold a NUL character.",
        ),
        (plain, b"a%0Ab", "must not hold control characters"),
    ];
    for (content_type, name, expected) in cases {
        let body = [rest.as_bytes(), b"&name=", name].concat();
        let request = served.request(Method::POST, "/api/command");
        let request = request
            .bearer_auth(&token)
            .header("content-type", content_type);
        let text = request
            .body(body)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(text.contains(expected), "{text}");
    }
    let (_, items) = served.get("jump-item/shell-jump").await;
    let names: Vec<&str> = items
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert_eq!(names, ["Büro", "Küche"]);
}

/// ITEM-07, INST-26
#[tokio::test]
async fn every_way_in_takes_names_that_people_can_read_and_no_others() {
    let served = Served::start().await;
    let fleet = served.fleet("Machines").await;
    let client = fleet.machine(1).await;
    let admin = served.administrator().await;
    let jumpoint = json!({"name": "East", "code_name": "east", "platform": "linux-x86"});
    served.post("jumpoint", jumpoint).await;
    let shell = |name: &str| {
        json!({
            "name": name, "hostname": "h", "protocol": "ssh", "jumpoint_id": 1, "jump_group_id": 1,
        })
    };
    assert_eq!(
        served.post("jump-item/shell-jump", shell("good")).await.0,
        201
    );
    served.post("group-policy", json!({"name": "Policy"})).await;
    let tagged = |tag: &str| {
        let mut body = shell("x");
        body["tag"] = tag.into();
        body
    };
    for hostile in HOSTILE {
        // path, body, field
        let over_the_configuration_api = [
            ("jump-group", json!({"name": hostile}), "name"),
            ("team", json!({"name": hostile}), "name"),
            ("group-policy", json!({"name": hostile}), "name"),
            ("group-policy/1/copy", json!({"name": hostile}), "name"),
            (
                "jump-policy",
                json!({"display_name": hostile}),
                "display_name",
            ),
            (
                "jumpoint",
                json!({"name": hostile, "platform": "linux-x86"}),
                "name",
            ),
            ("jump-item/shell-jump", shell(hostile), "name"),
            ("jump-item/shell-jump", tagged(hostile), "tag"),
            (
                "jump-item/shell-jump/1/copy",
                json!({"name": hostile, "jump_group_id": 1, "jump_group_type": "shared"}),
                "name",
            ),
            (
                "user",
                json!({"username": hostile, "public_display_name": "x"}),
                "username",
            ),
            (
                "user",
                json!({"username": "x", "public_display_name": hostile}),
                "public_display_name",
            ),
            (
                "jump-client/installer",
                json!({"name": hostile, "jump_group_id": 1}),
                "name",
            ),
        ];
        for (path, body, field) in over_the_configuration_api {
            let (status, told) = served.post(path, body).await;
            assert_eq!(status, 422, "{path} {hostile:?}: {told}");
            assert!(named(&told, field), "{path} {hostile:?}: {told}");
        }
        let (status, told) = served
            .patch(&format!("jump-client/{client}"), json!({"name": hostile}))
            .await;
        assert_eq!((status, named(&told, "name")), (422, true), "{told}");
        let over_the_console = [
            ("jump-item-roles", json!({"name": hostile}), "name"),
            (
                "api-accounts",
                json!({"name": hostile, "perm_configuration": true}),
                "name",
            ),
            (
                "custom-fields",
                json!({"display_name": hostile}),
                "display_name",
            ),
            (
                "custom-session-attributes",
                json!({"display_name": hostile}),
                "display_name",
            ),
            (
                "session-policies",
                json!({"display_name": hostile}),
                "display_name",
            ),
            (
                "items/shell_jump-1/copy",
                json!({"name": hostile, "jump_group_id": 1, "jump_group_type": "shared"}),
                "name",
            ),
        ];
        for (path, body, field) in over_the_console {
            let (status, told) = admin.post(path, body).await;
            assert_eq!(status, 422, "{path} {hostile:?}: {told}");
            assert!(named(&told, field), "{path} {hostile:?}: {told}");
        }
    }
    for readable in ["Störung im Werk 3", "日本", "👩\u{200d}💻 support"] {
        assert_eq!(served.post("team", json!({"name": readable})).await.0, 201);
    }
}

/// ITEM-10, ITEM-56
#[tokio::test]
async fn a_tag_of_1024_characters_is_stored_and_only_the_configuration_api_takes_64() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "g"})).await;
    served
        .post(
            "jumpoint",
            json!({"name": "East", "code_name": "east", "platform": "linux-x86"}),
        )
        .await;
    served.post("jumpoint/1/user", json!({"user_id": 1})).await;
    let admin = served.administrator().await;
    let long = "x".repeat(1_024);
    let shell = |tag: &str| {
        json!({
            "name": "a", "hostname": "h", "protocol": "ssh", "jumpoint_id": 1, "jump_group_id": 1, "tag": tag,
        })
    };
    let (status, made) = admin.post("items/shell-jumps", shell(&long)).await;
    assert_eq!((status, &made["tag"]), (201, &json!(long)), "{made}");
    let (status, told) = admin
        .post("items/shell-jumps", shell(&format!("{long}x")))
        .await;
    assert_eq!((status, named(&told, "tag")), (422, true));
    assert_eq!(
        served
            .post("jump-item/shell-jump", shell(&"x".repeat(64)))
            .await
            .0,
        201
    );
    let (status, told) = served
        .post("jump-item/shell-jump", shell(&"x".repeat(65)))
        .await;
    assert_eq!((status, named(&told, "tag")), (422, true));
    // What a client reads it can send back, changed elsewhere, and copy.
    let (_, mut read) = served.get("jump-item/shell-jump/1").await;
    read["comments"] = json!("changed");
    let (status, changed) = served.patch("jump-item/shell-jump/1", read).await;
    assert_eq!(
        (status, &changed["comments"], &changed["tag"]),
        (200, &json!("changed"), &json!(long))
    );
    let copy = json!({"jump_group_id": 1, "jump_group_type": "shared"});
    assert_eq!(
        served.post("jump-item/shell-jump/1/copy", copy).await.0,
        200
    );
    let (status, told) = served
        .patch("jump-item/shell-jump/1", json!({"tag": "y".repeat(65)}))
        .await;
    assert_eq!((status, named(&told, "tag")), (422, true));
    let (_, found) = served
        .get(&format!("jump-item/shell-jump?tag={long}"))
        .await;
    assert_eq!(found.as_array().map(Vec::len), Some(2));
}

/// CONF-11, CONF-12
#[tokio::test]
async fn filters_and_pages_are_taken_as_published() {
    let served = Served::start().await;
    for number in 1..=7 {
        served
            .post("jump-group", json!({"name": format!("Group {number}")}))
            .await;
    }
    let text = "x".repeat(255);
    for path in [
        format!("jump-item/shell-jump?name={text}&hostname={text}"),
        format!("jump-client?name={text}&hostname={text}&fqdn={text}&tag={text}"),
        format!("user?username={text}&email_address={text}"),
        "jump-client?console_user=".to_owned(),
        "jump-item/shell-jump?hostname=db".to_owned(),
    ] {
        assert_eq!(served.get(&path).await, (200, json!([])), "{path}");
    }
    // An unset variable of a script asks for nothing, which must not be everything without a tag.
    let (status, told) = served.get("jump-item/shell-jump?tag=").await;
    assert_eq!((status, named(&told, "tag")), (422, true), "{told}");
    // query, members, page, members of a page, last page
    for (query, members, page, per_page, last) in [
        ("per_page=1", 5, "1", "5", "2"),
        ("per_page=4&current_page=0", 5, "1", "5", "2"),
        ("current_page=-3&per_page=5", 5, "1", "5", "2"),
        ("current_page=2147483647", 0, "2147483647", "100", "1"),
    ] {
        let response = served
            .call(Method::GET, &format!("jump-group?{query}"), None)
            .await;
        for (name, expected) in [
            ("x-bt-pagination-current-page", page),
            ("x-bt-pagination-per-page", per_page),
            ("x-bt-pagination-last-page", last),
        ] {
            assert_eq!(
                header(&response, name).as_deref(),
                Some(expected),
                "{query} {name}"
            );
        }
        let (status, list) = answer(response).await;
        assert_eq!(
            (status, list.as_array().map(Vec::len)),
            (200, Some(members)),
            "{query}"
        );
    }
    let (status, told) = served.get("jump-group?current_page=2147483648").await;
    let words = "The current_page parameter must be an integer between 1 and 2147483647.";
    assert_eq!(
        (status, &told["errors"]["current_page"][0]),
        (422, &json!(words))
    );
    for query in ["name=%FF", "name=%00", "per_page=5&per_page=6"] {
        let (status, told) = served.get(&format!("jump-group?{query}")).await;
        assert_eq!(status, 422, "{query}: {told}");
    }
}

/// POL-55, as decided for the Configuration API
#[tokio::test]
async fn a_policy_with_a_name_alone_is_made_and_lets_nobody_start() {
    let served = Served::start().await;
    let fleet = served.fleet("Machines").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let made = served
        .call(
            Method::POST,
            "jump-policy",
            Some(json!({"display_name": "Bare"})),
        )
        .await;
    let warning = header(&made, "x-gatebook-warning").unwrap_or_default();
    assert!(warning.contains("has no entries"), "{warning}");
    let (status, policy) = answer(made).await;
    assert_eq!(
        (status, &policy["schedule_enabled"]),
        (201, &json!(true)),
        "{policy}"
    );
    let named = json!({"jump_policy_id": policy["id"]});
    assert_eq!(
        served
            .patch(&format!("jump-client/{client}"), named)
            .await
            .0,
        200
    );
    let start = json!({"item": format!("jump_client-{client}")});
    let (_, told) = anna.post("sessions", start).await;
    assert!(
        told.to_string()
            .contains("Its schedule has no time at which sessions are permitted."),
        "{told}"
    );
    let (_, why) = anna
        .get(&format!("items/jump_client-{client}/access"))
        .await;
    assert!(
        why.to_string()
            .contains("no time at which sessions are permitted"),
        "{why}"
    );
    let (status, _) = served
        .patch(
            &format!("jump-policy/{}", policy["id"]),
            json!({"schedule_enabled": false}),
        )
        .await;
    assert_eq!(status, 200);
}

/// GPOL-20, INST-01
#[tokio::test]
async fn members_that_known_clients_send_are_accepted() {
    let served = Served::start().await;
    served.post("group-policy", json!({"name": "Admins"})).await;
    served.post("jump-group", json!({"name": "g"})).await;
    served.post("team", json!({"name": "t"})).await;
    served
        .post("jumpoint", json!({"name": "East", "platform": "linux-x86"}))
        .await;
    // path, body, member of the path
    for (path, mut body, owner) in [
        (
            "group-policy/1/member",
            json!({"user_id": 1}),
            "group_policy_id",
        ),
        (
            "group-policy/1/jump-group",
            json!({"jump_group_id": 1}),
            "group_policy_id",
        ),
        (
            "group-policy/1/team",
            json!({"team_id": 1}),
            "group_policy_id",
        ),
        (
            "group-policy/1/jumpoint",
            json!({"jumpoint_id": 1}),
            "group_policy_id",
        ),
        ("jump-group/1/user", json!({"user_id": 1}), "jump_group_id"),
        ("jumpoint/1/user", json!({"user_id": 1}), "jumpoint_id"),
        ("team/1/user", json!({"user_id": 1}), "team_id"),
    ] {
        for wrong in [json!(2), json!("1"), Value::Null] {
            body[owner] = wrong;
            let (status, told) = served.post(path, body.clone()).await;
            assert_eq!((status, named(&told, owner)), (422, true), "{path}: {told}");
        }
        body[owner] = json!(1);
        let (status, told) = served.post(path, body).await;
        assert_eq!(status, 201, "{path}: {told}");
    }
    let installer = json!({
        "jump_group_id": 1, "is_quiet": true, "attended_session_policy_id": null, "unattended_session_policy_id": 2,
        "customer_client_start_mode": "minimized",
    });
    let (status, made) = served
        .post("jump-client/installer", installer.clone())
        .await;
    assert_eq!(status, 201, "{made}");
    for name in installer
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "jump_group_id")
    {
        assert!(made.get(name).is_none(), "{name}");
    }
    let (status, told) = served
        .post(
            "jump-client/installer",
            json!({"jump_group_id": 1, "colour": "red"}),
        )
        .await;
    assert_eq!((status, named(&told, "colour")), (422, true));
}

/// JPT-02, POL-29
#[tokio::test]
async fn what_a_change_cannot_change_is_named() {
    let served = Served::start().await;
    let jumpoint = json!({"name": "East", "platform": "linux-x86", "clustered": true});
    let (_, made) = served.post("jumpoint", jumpoint).await;
    for (field, value) in [
        ("platform", json!("windows-x86")),
        ("clustered", json!(false)),
    ] {
        let (status, told) = served.patch("jumpoint/1", json!({field: value})).await;
        assert_eq!((status, named(&told, field)), (422, true), "{told}");
    }
    // As clients do: the whole object, with what only the server gives.
    let mut whole = made;
    whole["connected"] = json!(true);
    whole["comments"] = json!("changed");
    let (status, changed) = served.patch("jumpoint/1", whole).await;
    assert_eq!(
        (status, &changed["comments"]),
        (200, &json!("changed")),
        "{changed}"
    );
    served.post("jump-group", json!({"name": "g"})).await;
    served
        .post("jump-group/1/user", json!({"user_id": 1}))
        .await;
    let (status, told) = served
        .patch("jump-group/1/user/1", json!({"user_id": 2}))
        .await;
    assert_eq!((status, named(&told, "user_id")), (422, true), "{told}");
    for (path, field) in [
        ("jump-policy", "notification_email_language"),
        ("jump-policy", "approval_email_language"),
        ("user", "preferred_email_language"),
    ] {
        let body = json!({
            "display_name": "p", "username": "u", "public_display_name": "u", field: "xx-yy",
        });
        let (status, told) = served.post(path, body).await;
        assert_eq!((status, named(&told, field)), (422, true), "{told}");
    }
}

/// ROLE-07
#[tokio::test]
async fn answers_have_published_members_and_no_null_where_there_is_none() {
    let served = Served::start().await;
    let fleet = served.fleet("Machines").await;
    fleet.machine(1).await;
    served
        .post(
            "user",
            json!({"username": "bob", "public_display_name": "Bob", "private_display_name": "B."}),
        )
        .await;
    served.post("group-policy", json!({"name": "Admins"})).await;
    served
        .post("group-policy/1/member", json!({"user_id": 2}))
        .await;
    served
        .post("jump-group/1/user", json!({"user_id": 2}))
        .await;
    served
        .post("jumpoint", json!({"name": "East", "platform": "linux-x86"}))
        .await;
    // path, members that are absent
    let cases: [(&str, &[&str]); 8] = [
        (
            "user/2",
            &[
                "private_display_name",
                "last_authentication",
                "fido2_last_used_date",
            ],
        ),
        ("jump-group/1", &["ecm_group_id"]),
        (
            "jump-client/1",
            &[
                "last_disconnect_timestamp",
                "last_access_timestamp",
                "expiration_timestamp",
            ],
        ),
        (
            "jump-client/installer/1",
            &["jump_policy_id", "jumpoint_proxy"],
        ),
        (
            "jump-group/1/user/2",
            &["jump_item_role_id", "jump_policy_id"],
        ),
        (
            "group-policy/1/member/1",
            &["distinguished_name", "group_name"],
        ),
        (
            "jumpoint/1",
            &[
                "external_jump_item_network_id",
                "docker_deploy_key",
                "key_info",
            ],
        ),
        (
            "api-account/1",
            &["ecm_group_id", "failed_login_expiration"],
        ),
    ];
    for (path, absent) in cases {
        let (status, shown) = served.get(path).await;
        assert_eq!(status, 200, "{path}");
        for member in absent {
            assert!(shown.get(*member).is_none(), "{path} {member}: {shown}");
        }
    }
    // Null still takes a value away.
    served
        .patch("jump-group/1", json!({"ecm_group_id": 7}))
        .await;
    let (status, shown) = served
        .patch("jump-group/1", json!({"ecm_group_id": null}))
        .await;
    assert_eq!((status, shown.get("ecm_group_id")), (200, None));
}
