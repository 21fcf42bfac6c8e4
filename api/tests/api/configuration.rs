//! The form all resources share: lists, filters, pages, methods, bodies, errors, repeats.

use domain::record;
use domain::site::settings::SETTINGS;
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Differently, Served, answer, header};

async fn groups(served: &Served, count: usize) {
    for number in 1..=count {
        let (status, _) = served
            .post("jump-group", json!({"name": format!("Group {number:03}")}))
            .await;
        assert_eq!(status, 201);
    }
}

fn names(list: &Value) -> Vec<&str> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap()).collect()
}

async fn set(served: &Served, settings: Value) {
    let body = settings.as_object().unwrap().clone();
    let command = domain::Command::SiteSettings(record::Command::Change(SETTINGS, body));
    served.submit(command, None).await.unwrap();
}

/// CONF-01, CONF-17, GRP-01, GRP-02
#[tokio::test]
async fn a_jump_group_is_made_read_changed_and_deleted() {
    let served = Served::start().await;
    let made = served
        .call(
            Method::POST,
            "jump-group",
            Some(json!({"name": "Web Servers"})),
        )
        .await;
    assert_eq!(
        header(&made, "content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(
        header(&made, "location"),
        Some(format!("{}/api/config/v1/jump-group/1", served.url))
    );
    let position = header(&made, "x-gatebook-position").unwrap();
    let whole =
        json!({"id": 1, "name": "Web Servers", "code_name": "web_servers", "comments": null});
    assert_eq!(answer(made).await, (201, whole.clone()));
    let read = served.call(Method::GET, "jump-group/1", None).await;
    assert_eq!(header(&read, "x-gatebook-position"), Some(position));
    assert_eq!(answer(read).await, (200, whole.clone()));
    // The whole object comes back with read-only members, as the vendor's provider sends it.
    let mut changed = whole;
    changed["comments"] = json!("");
    changed["name"] = json!("Web");
    assert_eq!(
        served.patch("jump-group/1", changed.clone()).await,
        (200, changed.clone())
    );
    assert_eq!(
        served.patch("jump-group/1", json!({})).await,
        (200, changed)
    );
    assert_eq!(
        served
            .patch("jump-group/1", json!({"comments": null}))
            .await
            .1["comments"],
        Value::Null
    );
    let gone = served.call(Method::DELETE, "jump-group/1", None).await;
    assert_eq!(answer(gone).await, (204, Value::Null));
    let missing = json!({"message": "Jump Group not found.", "code": "not_found"});
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let body = (method == Method::PATCH).then(|| json!({"name": "x"}));
        let response = served.call(method, "jump-group/1", body).await;
        assert_eq!(answer(response).await, (404, missing.clone()));
    }
    let again = served
        .post("jump-group", json!({"name": "Web Servers"}))
        .await
        .1;
    assert_eq!(
        (&again["id"], &again["code_name"]),
        (&json!(2), &json!("web_servers"))
    );
}

/// CONF-01
#[tokio::test]
async fn lists_come_in_pages_with_the_headers_that_clients_follow() {
    let served = Served::start().await;
    groups(&served, 12).await;
    let base = format!("{}/api/config/v1/jump-group", served.url);
    let link = |page: u32, per_page: u32, relation: &str| {
        format!("<{base}?current_page={page}&per_page={per_page}>; rel=\"{relation}\"")
    };
    // query, rows, current page, last page, per page, links
    let cases = [
        (
            "",
            12,
            "1",
            "1",
            "100",
            vec![link(1, 100, "first"), link(1, 100, "last")],
        ),
        (
            "?per_page=5",
            5,
            "1",
            "3",
            "5",
            vec![link(1, 5, "first"), link(2, 5, "next"), link(3, 5, "last")],
        ),
        (
            "?per_page=5&current_page=2",
            5,
            "2",
            "3",
            "5",
            vec![
                link(1, 5, "first"),
                link(1, 5, "previous"),
                link(3, 5, "next"),
                link(3, 5, "last"),
            ],
        ),
        (
            "?current_page=3&per_page=5",
            2,
            "3",
            "3",
            "5",
            vec![
                link(1, 5, "first"),
                link(2, 5, "previous"),
                link(3, 5, "last"),
            ],
        ),
        (
            "?current_page=9&per_page=5",
            0,
            "9",
            "3",
            "5",
            vec![
                link(1, 5, "first"),
                link(3, 5, "previous"),
                link(3, 5, "last"),
            ],
        ),
    ];
    for (query, rows, current, last, per_page, links) in cases {
        let response = served
            .call(Method::GET, &format!("jump-group{query}"), None)
            .await;
        let of = |name: &str| header(&response, &format!("x-bt-pagination-{name}")).unwrap();
        assert_eq!(
            [
                of("current-page"),
                of("last-page"),
                of("per-page"),
                of("total")
            ],
            [current, last, per_page, "12"],
            "{query}"
        );
        assert_eq!(header(&response, "link"), Some(links.join(", ")), "{query}");
        let (status, body) = answer(response).await;
        assert_eq!(
            (status, body.as_array().unwrap().len()),
            (200, rows),
            "{query}"
        );
    }
    let (_, second) = served.get("jump-group?per_page=5&current_page=2").await;
    assert_eq!(
        names(&second),
        [
            "Group 006",
            "Group 007",
            "Group 008",
            "Group 009",
            "Group 010"
        ]
    );
    let empty = served.call(Method::GET, "jump-policy", None).await;
    assert_eq!(
        header(&empty, "x-bt-pagination-total").as_deref(),
        Some("0")
    );
    assert_eq!(
        header(&empty, "x-bt-pagination-last-page").as_deref(),
        Some("1")
    );
    assert_eq!(answer(empty).await, (200, json!([])));
}

#[tokio::test]
async fn links_use_the_sites_own_address_where_one_is_given() {
    let served = Served::start_with(Differently {
        public_url: Some("https://access.example.com/".to_owned()),
        ..Differently::default()
    })
    .await;
    let made = served
        .call(Method::POST, "jump-group", Some(json!({"name": "a b"})))
        .await;
    let location = header(&made, "location").unwrap();
    assert_eq!(
        location,
        "https://access.example.com/api/config/v1/jump-group/1"
    );
    let list = served
        .call(Method::GET, "jump-group?name=a%20b%3E", None)
        .await;
    let links = header(&list, "link").unwrap();
    assert!(links.starts_with("<https://access.example.com/api/config/v1/jump-group?name=a+b%3E&current_page=1&per_page=100>"), "{links}");
}

/// CONF-11, CONF-12
#[tokio::test]
async fn filters_are_exact_without_regard_to_case_and_all_must_hold() {
    let served = Served::start().await;
    for (name, code_name) in [
        ("Alpha", "a1"),
        ("Alpha Two", "a2"),
        ("Ärger", "a3"),
        ("*", "a4"),
    ] {
        served
            .post("jump-group", json!({"name": name, "code_name": code_name}))
            .await;
    }
    // query, names
    let cases: [(&str, &[&str]); 7] = [
        ("name=Alpha", &["Alpha"]),
        ("name=aLPHA", &["Alpha"]),
        ("name=Alph", &[]),
        ("name=%C3%84RGER", &["Ärger"]),
        ("name=*", &["*"]),
        ("name=alpha&code_name=A1", &["Alpha"]),
        ("name=alpha&code_name=a2", &[]),
    ];
    for (query, expected) in cases {
        let (status, list) = served.get(&format!("jump-group?{query}")).await;
        assert_eq!((status, names(&list)), (200, expected.to_vec()), "{query}");
    }
}

/// CONF-12: a parameter that is not known never widens a list.
#[tokio::test]
async fn a_parameter_that_is_not_known_or_not_right_is_named() {
    let served = Served::start().await;
    let long = "x".repeat(256);
    // path, field
    let cases = [
        ("jump-group?colour=red".to_owned(), "colour"),
        ("jump-group?comments=x".to_owned(), "comments"),
        ("jump-group?per_page=0".to_owned(), "per_page"),
        ("jump-group?per_page=101".to_owned(), "per_page"),
        ("jump-group?per_page=ten".to_owned(), "per_page"),
        ("jump-group?current_page=one".to_owned(), "current_page"),
        ("jump-group?name=".to_owned(), "name"),
        ("jump-group?name=a&name=b".to_owned(), "name"),
        (format!("jump-group?name={long}"), "name"),
        ("jump-client?jump_group_id=x".to_owned(), "jump_group_id"),
        ("jump-client?jump_group_id=0".to_owned(), "jump_group_id"),
        (
            "jump-client?jump_group_type=team".to_owned(),
            "jump_group_type",
        ),
        ("jump-group/1/user?user_id=1".to_owned(), "user_id"),
    ];
    for (path, field) in &cases {
        let (status, body) = served.get(path).await;
        assert_eq!(status, 422, "{path}");
        assert_eq!(body["message"], "The given data was invalid.");
        assert!(
            body["errors"][field][0].as_str().unwrap().contains(field),
            "{path}: {body}"
        );
    }
    set(&served, json!({"strict_compatibility": true})).await;
    let (status, body) = served.get("jump-group?colour=red").await;
    assert_eq!((status, body["errors"]["colour"].is_array()), (401, true));
    assert_eq!(served.get("jump-group?per_page=101").await.0, 422);
    let (status, body) = served
        .post("jump-group", json!({"name": "a", "colour": "red"}))
        .await;
    assert_eq!((status, body["errors"]["colour"].is_array()), (401, true));
    assert_eq!(served.get("jump-group").await.1, json!([]));
}

/// CONF-18, LIM-11
#[tokio::test]
async fn a_body_that_is_not_right_is_refused_by_field_and_changes_nothing() {
    let served = Served::start().await;
    groups(&served, 1).await;
    let at = |length| "x".repeat(length);
    // body, field
    let cases = [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": 7}), "name"),
        (json!({"name": ["a"]}), "name"),
        (json!({"name": at(256)}), "name"),
        (json!({"name": "nul\u{0}"}), "name"),
        (json!({"name": "group 001"}), "name"),
        (json!({"name": "a", "code_name": "GROUP_001"}), "code_name"),
        (json!({"name": "a", "code_name": "a b"}), "code_name"),
        (json!({"name": "a", "code_name": at(65)}), "code_name"),
        (json!({"name": "a", "comments": at(4097)}), "comments"),
        (json!({"name": "a", "ecm_group_id": "1"}), "ecm_group_id"),
        (json!({"name": "a", "ecm_group_id": 0}), "ecm_group_id"),
        (json!({"name": "a", "ecm_group_id": 1.5}), "ecm_group_id"),
        (json!({"name": "a", "colour": "red"}), "colour"),
    ];
    for (body, field) in cases {
        let (status, answer) = served.post("jump-group", body.clone()).await;
        assert_eq!(status, 422, "{body}");
        assert!(answer["errors"][field].is_array(), "{body}: {answer}");
    }
    let several = served
        .post(
            "jump-group",
            json!({"name": 1, "colour": 2, "code_name": "-!"}),
        )
        .await
        .1;
    assert_eq!(several["errors"].as_object().unwrap().len(), 3);
    let at_limit = json!({"name": at(255), "code_name": at(64), "comments": at(4096)});
    assert_eq!(served.post("jump-group", at_limit).await.0, 201);
    assert_eq!(served.count("JumpGroupCreated").await, 2);
}

/// CONF-01, threat M
#[tokio::test]
async fn threat_m_a_body_that_is_no_json_object_is_refused_and_bounded() {
    let served = Served::start().await;
    let deep = format!("{{\"name\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    // body, status
    let cases: [(Vec<u8>, u16); 8] = [
        (b"{\"name\":\"a\"".to_vec(), 400),
        (b"name=a".to_vec(), 400),
        (b"{\"name\":\"\xff\xfe\"}".to_vec(), 400),
        (b"{\"name\":\"\\ud800\"}".to_vec(), 400),
        (deep.into_bytes(), 400),
        (b"[{\"name\":\"a\"}]".to_vec(), 422),
        (b"".to_vec(), 422),
        (huge.into_bytes(), 413),
    ];
    for (body, expected) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let request = served
            .request(Method::POST, "/api/config/v1/jump-group")
            .bearer_auth(&served.token);
        let (status, body) = answer(request.body(body).send().await.unwrap()).await;
        assert_eq!(status, expected, "{shown}");
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(served.get("jump-group").await.1, json!([]));
    let typed = served
        .request(Method::POST, "/api/config/v1/jump-group")
        .bearer_auth(&served.token)
        .header("content-type", "text/plain")
        .body("{\"name\":\"any type\"}");
    assert_eq!(typed.send().await.unwrap().status(), 201);
}

/// CONF-01
#[tokio::test]
async fn head_options_and_wrong_methods_are_answered_everywhere() {
    let served = Served::start().await;
    groups(&served, 1).await;
    let got = served.call(Method::GET, "jump-group", None).await;
    let head = served.call(Method::HEAD, "jump-group", None).await;
    assert_eq!(head.status(), 200);
    for name in [
        "link",
        "x-bt-pagination-total",
        "content-type",
        "content-length",
    ] {
        assert_eq!(header(&head, name), header(&got, name), "{name}");
    }
    assert_eq!(head.text().await.unwrap(), "");
    // path, methods
    let cases = [
        ("jump-group", "GET,HEAD,POST"),
        ("jump-group/1", "GET,HEAD,PATCH,DELETE"),
        ("jump-client/installer", "GET,HEAD,POST"),
        ("jump-client/installer/1", "GET,HEAD,DELETE"),
        ("api-account", "GET,HEAD"),
        ("jump-policy/1/schedule", "GET,HEAD"),
    ];
    for (path, allowed) in cases {
        let options = served.call(Method::OPTIONS, path, None).await;
        assert_eq!(options.status(), 200);
        assert_eq!(
            header(&options, "allow").as_deref(),
            Some(allowed),
            "{path}"
        );
        let put = served.call(Method::PUT, path, Some(json!({}))).await;
        assert!(
            header(&put, "allow").unwrap().starts_with(allowed),
            "{path}"
        );
        let (status, body) = answer(put).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (405, Some("method_not_allowed")),
            "{path}"
        );
    }
}

/// threat B
#[tokio::test]
async fn threat_b_paths_that_are_none_lead_nowhere() {
    let served = Served::start().await;
    groups(&served, 1).await;
    let paths = [
        "jump-group/x",
        "jump-group/0",
        "jump-group/-1",
        "jump-group/+1",
        "jump-group/1.0",
        "jump-group/1/",
        "jump-group/4294967297",
        "jump-group/2147483648",
        "jump-group/%31%00",
        "jump-group/%ff",
        "jump-group//1",
        "jump-group/..%2f1",
        "JUMP-GROUP",
        "jump-group.json",
        "",
        "init",
        "jump-group/1/user/x",
    ];
    for path in paths {
        let (status, body) = served.get(path).await;
        assert_eq!((status, body["message"].is_string()), (404, true), "{path}");
    }
    // Without a token none of them says whether it is there.
    for path in ["", "jump-group/x", "nothing"] {
        let response = served
            .request(Method::GET, &format!("/api/config/v1/{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 401, "{path}");
    }
    let outside = served.request(Method::GET, "/setup").send().await.unwrap();
    assert_eq!(outside.status(), 404);
}

#[tokio::test]
async fn a_repeat_with_an_idempotency_key_gets_the_first_answer() {
    let served = Served::start().await;
    let post = |key: &'static str, name: &'static str| {
        served
            .request(Method::POST, "/api/config/v1/jump-group")
            .bearer_auth(&served.token)
            .header("idempotency-key", key)
            .body(json!({"name": name}).to_string())
    };
    let first = post("k1", "One").send().await.unwrap();
    let (position, location) = (
        header(&first, "x-gatebook-position"),
        header(&first, "location"),
    );
    let first = answer(first).await;
    assert_eq!(first.0, 201);
    served.delete("jump-group/1").await;
    let second = post("k1", "One").send().await.unwrap();
    assert_eq!(
        (
            header(&second, "x-gatebook-position"),
            header(&second, "location")
        ),
        (position, location)
    );
    assert_eq!(answer(second).await, first);
    let other_body = post("k1", "Two").send().await.unwrap();
    let (status, body) = answer(other_body).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (422, Some("idempotency_key_reused"))
    );
    assert_eq!(served.count("JumpGroupCreated").await, 1);
    // Another account's key is another key.
    let account = served
        .account(json!({"name": "other", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    let theirs = served
        .request(Method::POST, "/api/config/v1/jump-group")
        .bearer_auth(token)
        .header("idempotency-key", "k1")
        .body(json!({"name": "Two"}).to_string());
    assert_eq!(theirs.send().await.unwrap().status(), 201);
    let empty = served
        .request(Method::DELETE, "/api/config/v1/jump-group/2")
        .bearer_auth(&served.token)
        .header("idempotency-key", " ");
    assert_eq!(empty.send().await.unwrap().status(), 400);
}

/// Facts 2 and 9 of config-api.md, section 0.
#[tokio::test]
async fn the_kind_of_site_is_told_to_anybody() {
    let served = Served::start().await;
    let told = json!({"mechs": ["local"], "default_mech": "local", "cache": "1", "company": "acme", "product": "bpam"});
    for path in ["/get_mech_list?version=3", "/get_mech_list"] {
        let response = served.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer(response).await, (200, told.clone()));
    }
}

/// CONF-06
#[tokio::test]
async fn the_openapi_document_describes_every_route_and_needs_a_token() {
    let served = Served::start().await;
    let without = served
        .request(Method::GET, "/api/openapi.json")
        .send()
        .await
        .unwrap();
    assert_eq!(without.status(), 401);
    let response = served
        .request(Method::GET, "/api/openapi.json")
        .bearer_auth(&served.token)
        .send()
        .await
        .unwrap();
    let (status, document) = answer(response).await;
    assert_eq!(status, 200);
    let routes = api::routes(&served.site);
    for route in routes.table() {
        let method = route.method.as_str().to_lowercase();
        let operation = &document["paths"][&route.path][&method];
        assert!(operation["summary"].is_string(), "{method} {}", route.path);
    }
    let name = &document["components"]["schemas"]["JumpGroup"]["properties"]["name"];
    assert_eq!(
        (name["minLength"].as_u64(), name["maxLength"].as_u64()),
        (Some(1), Some(255))
    );
    let user = &document["components"]["schemas"]["User"]["properties"];
    assert_eq!(user["password"]["writeOnly"], json!(true));
    assert!(
        document["components"]["schemas"]["JumpClientInstaller"]["properties"]
            .get("secret_hash")
            .is_none()
    );
    let text = document.to_string();
    let mut references = text
        .match_indices("#/components/schemas/")
        .map(|(at, found)| text[at + found.len()..].split('"').next().unwrap());
    assert!(references.all(|name| document["components"]["schemas"].get(name).is_some()));
    let mut ids: Vec<&str> = text
        .match_indices("\"operationId\":\"")
        .map(|(at, found)| text[at + found.len()..].split('"').next().unwrap())
        .collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids are unique");
}

/// CONF-02, CONF-06
#[tokio::test]
async fn the_configuration_api_describes_itself_in_yaml() {
    let served = Served::start().await;
    let path = "/api/config/v1/openapi.yaml";
    let without = served.request(Method::GET, path).send().await.unwrap();
    assert_eq!(without.status(), 401);
    let response = served
        .request(Method::GET, path)
        .bearer_auth(&served.token)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let text = response.text().await.unwrap();
    let document: serde_json::Value = yaml_serde::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.keys().all(|path| path.starts_with("/api/config/v1/")));
    assert!(document["paths"]["/api/config/v1/jump-group"]["post"]["summary"].is_string());
}
