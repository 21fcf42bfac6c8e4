//! The Command API and the plain health check.

use std::num::NonZeroU32;
use std::time::Duration;

use api::Limits;
use domain::Command;
use domain::ids::ApiAccountId;
use domain::record;
use domain::site::settings::SETTINGS;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::schema_check::Schema;
use crate::served::{Differently, Served, header};
use crate::visit::{Agent, Conduct, object};

const NAMESPACE: &str = "https://www.beyondtrust.com/namespaces/API/command";

async fn ask(served: &Served, token: &str, query: &str) -> Response {
    served
        .request(Method::GET, &format!("/api/command?{query}"))
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer")
}

async fn told(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.text().await.expect("text"))
}

fn error(message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><error xmlns=\"{NAMESPACE}\">{message}</error>"
    )
}

async fn set(served: &Served, settings: Value) {
    let command = record::Command::Change(SETTINGS, object(settings));
    served.run(Command::SiteSettings(command)).await;
}

/// CMD-01 CMD-06 CMD-52 CMD-53 CMD-54 CMD-55 CMD-56 CMD-57 CMD-58
#[tokio::test]
async fn get_api_info_tells_an_account_what_it_may() {
    let served = Served::start().await;
    set(&served, json!({"company_name": "Ac<me> & \"Söhne\""})).await;
    let account = served
        .account(json!({
            "name": "some",
            "perm_command": "read_only",
            "perm_backup": true,
            "perm_reporting_support": true,
        }))
        .await;
    let token = served.token_of(&account).await;
    let expected = format!(
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<api_information xmlns=\"{}\">",
            "<api_version>1.22.2</api_version>",
            "<company_name>Ac&lt;me&gt; &amp; \"Söhne\"</company_name>",
            "<build>0.1.0</build>",
            "<timestamp>1767603600</timestamp>",
            "<permissions>",
            "<permission name=\"perm_backup\">1</permission>",
            "<permission name=\"perm_command\">read_only</permission>",
            "<permission name=\"perm_configuration\">0</permission>",
            "<permission name=\"perm_configuration_vault_account\">0</permission>",
            "<permission name=\"perm_ecm\">0</permission>",
            "<permission name=\"perm_reporting\">1</permission>",
            "<permission name=\"perm_reporting_support\">1</permission>",
            "<permission name=\"perm_reporting_license\">0</permission>",
            "<permission name=\"perm_reporting_vault\">0</permission>",
            "<permission name=\"perm_vault_backup\">0</permission>",
            "<permission name=\"perm_scim\">0</permission>",
            "</permissions></api_information>",
        ),
        NAMESPACE
    );
    let by_get = ask(&served, &token, "action=get_api_info").await;
    assert_eq!(
        header(&by_get, "content-type").as_deref(),
        Some("text/xml; charset=UTF-8")
    );
    assert!(header(&by_get, "x-ratelimit-remaining").is_some());
    assert_eq!(told(by_get).await, (200, expected.clone()));
    let by_form = served
        .request(Method::POST, "/api/command")
        .bearer_auth(&token)
        .form(&[("action", "get_api_info")])
        .send()
        .await
        .expect("an answer");
    assert_eq!(told(by_form).await, (200, expected.clone()));
    let by_query = served
        .request(Method::POST, "/api/command?action=get_api_info")
        .bearer_auth(&token)
        .send()
        .await
        .expect("an answer");
    assert_eq!(told(by_query).await, (200, expected.clone()));

    set(&served, json!({"command_namespace": "field"})).await;
    let field = "http://www.beyondtrust.com/sra/namespaces/API/command";
    let (_, text) = told(ask(&served, &token, "action=get_api_info").await).await;
    assert_eq!(text, expected.replace(NAMESPACE, field));
}

/// CMD-05 CMD-07 CMD-27 CMD-52 HLTH-02: the schema is served to anybody, and every answer keeps it, in both namespaces.
#[tokio::test]
async fn every_answer_of_a_command_keeps_the_schema() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let lsid = served.jumper("anna").await.jump(machine).await;
    let attribute = json!({"display_name": "Note & <more>", "code_name": "note"});
    let admin = served.administrator().await;
    let (status, body) = admin.post("custom-session-attributes", attribute).await;
    assert_eq!(status, 201, "{body}");
    for namespace in ["guide", "field"] {
        set(&served, json!({"command_namespace": namespace})).await;
        let schema = served.request(Method::GET, "/api/command.xsd").send().await;
        let schema = schema.expect("an answer");
        assert_eq!(
            header(&schema, "content-type").as_deref(),
            Some("text/xml; charset=UTF-8")
        );
        let schema = Schema::new(&schema.text().await.expect("text"));
        let mut answers = Vec::new();
        for query in [
            "action=get_api_info".to_owned(),
            "action=check_health".to_owned(),
            format!("action=get_session_attributes&lsid={lsid}"),
            format!(
                "action=set_session_attributes&lsid={lsid}&session.custom.note=%3Cb%3E&session.custom.external_key=T-1"
            ),
            format!("action=get_session_attributes&lsid={lsid}"),
            "action=get_session_attributes&lsid=none".to_owned(),
            "action=get_logged_in_reps".to_owned(),
            String::new(),
        ] {
            let (status, text) = told(ask(&served, &served.token, &query).await).await;
            assert_eq!(status, 200, "{query} {text}");
            answers.push(text);
        }
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        schema.holds_for(&answers);
        assert!(!schema.accepts(&answers[0].replace("api_version", "version")));
    }
}

/// CMD-10 CMD-53
#[tokio::test]
async fn an_account_without_any_command_permission_still_learns_so() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "none", "perm_backup": true}))
        .await;
    let token = served.token_of(&account).await;
    let (status, text) = told(ask(&served, &token, "action=get_api_info").await).await;
    assert_eq!(status, 200);
    assert!(
        text.contains("<permission name=\"perm_command\">deny</permission>"),
        "{text}"
    );
}

/// CMD-02 CMD-03 CMD-04 CMD-05 CMD-07
#[tokio::test]
async fn a_call_that_cannot_be_run_is_an_error_with_status_200() {
    let served = Served::start().await;
    let unknown = error("The action is not known.");
    for (query, expected) in [
        ("", error("The parameter action is required.")),
        ("action=", unknown.clone()),
        ("action=get_support_teams", unknown.clone()),
        ("action=GET_API_INFO", unknown.clone()),
        ("action=%3Cscript%3E", unknown),
        (
            "action=get_api_info%00",
            error("The parameter action must not hold a NUL character."),
        ),
        (
            "action=get_api_info&action=check_health",
            error("The parameter action was given more than once."),
        ),
        (
            "action=set_rep_status&status=away",
            error("The action set_rep_status is not available yet."),
        ),
        (
            "action=get_logged_in_reps",
            error("The action get_logged_in_reps is not available yet."),
        ),
    ] {
        let response = ask(&served, &served.token, query).await;
        assert_eq!(
            header(&response, "content-type").as_deref(),
            Some("text/xml; charset=UTF-8")
        );
        assert_eq!(told(response).await, (200, expected), "{query}");
    }
    for (content_type, body, message) in [
        (
            "multipart/form-data; boundary=x",
            "--x\r\n",
            "Multipart requests are not supported.",
        ),
        (
            "application/json",
            "{\"action\":\"get_api_info\"}",
            "A request body needs the Content-Type application/x-www-form-urlencoded.",
        ),
    ] {
        let response = served
            .request(Method::POST, "/api/command")
            .bearer_auth(&served.token)
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            told(response).await,
            (200, error(message)),
            "{content_type}"
        );
    }
}

/// CMD-08 CMD-09 CMD-10 CMD-11 CMD-12 HLTH-01 HLTH-10 AUTH-22 AUTH-28 ERR-31
#[tokio::test]
async fn each_command_needs_its_permission() {
    let served = Served::start().await;
    let accounts = [
        ("deny", json!({"name": "a", "perm_backup": true})),
        (
            "read_only",
            json!({"name": "b", "perm_command": "read_only"}),
        ),
        (
            "full_access",
            json!({"name": "c", "perm_command": "full_access"}),
        ),
    ];
    let read = [
        "check_health",
        "get_logged_in_reps",
        "get_session_attributes",
        "get_connected_client_list",
        "get_connected_clients",
    ];
    let full = [
        "set_session_attributes",
        "import_jump_shortcut",
        "terminate_session",
        "set_failover_role",
        "set_rep_status",
        "send_chat_message",
        "join_session",
    ];
    for (permission, members) in accounts {
        let account = served.account(members).await;
        let token = served.token_of(&account).await;
        let refused_before = served.count("ActionRefused").await;
        for action in read {
            let (status, text) =
                told(ask(&served, &token, &format!("action={action}")).await).await;
            let expected = if permission == "deny" { 404 } else { 200 };
            assert_eq!(status, expected, "{permission} {action} {text}");
            if permission == "deny" {
                assert!(text.contains("Document Not Found"), "{text}");
            }
        }
        for action in full {
            let (status, text) =
                told(ask(&served, &token, &format!("action={action}")).await).await;
            let expected = match permission {
                "deny" => 404,
                "read_only" => 403,
                _ => 200,
            };
            assert_eq!(status, expected, "{permission} {action} {text}");
        }
        let refused = served.count("ActionRefused").await - refused_before;
        let expected = match permission {
            "deny" => 12,
            "read_only" => 7,
            _ => 0,
        };
        assert_eq!(refused, expected, "{permission}: refusals are in the log");
    }
}

/// AUTH-01 ERR-31
#[tokio::test]
async fn a_switched_off_xml_api_refuses_every_xml_call_and_nothing_else() {
    let served = Served::start().await;
    set(&served, json!({"xml_api_enabled": false})).await;
    for path in [
        "/api/command?action=get_api_info",
        "/api/command",
        "/api/reporting?generate_report=AccessSession&lsid=x",
        "/api/reporting.xsd",
        "/api/command.xsd",
    ] {
        let response = served
            .request(Method::GET, path)
            .bearer_auth(&served.token)
            .send()
            .await
            .expect("an answer");
        let (status, text) = told(response).await;
        assert_eq!(status, 404, "{path}");
        assert!(text.contains("Document Not Found"), "{path} {text}");
    }
    assert_eq!(served.ask_token(&served.first).await.status(), 200);
    assert_eq!(served.status_with(&served.token).await, 200);
}

/// threat M: a body that does not come is given up, with the connection.
#[tokio::test]
async fn threat_m_a_body_that_never_arrives_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let served = Served::start_with(Differently {
        limits: Limits {
            body_within: Duration::from_millis(100),
            ..Limits::default()
        },
        ..Differently::default()
    })
    .await;
    let address = served.url.trim_start_matches("http://");
    for path in ["/api/command", "/api/reporting"] {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\naction=",
            served.token
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{path} {text}");
        assert!(text.contains("connection: close"), "{path} {text}");
        assert!(text.contains("The body did not arrive in time."), "{text}");
    }
}

/// AUTH-12 AUTH-13 AUTH-14 AUTH-32
#[tokio::test]
async fn without_a_good_token_there_is_no_xml() {
    let served = Served::start().await;
    for path in ["/api/command?action=get_api_info", "/api/reporting"] {
        let response = served
            .request(Method::GET, path)
            .bearer_auth("1.wrong")
            .send()
            .await
            .expect("an answer");
        let (status, text) = told(response).await;
        assert_eq!(status, 401, "{path}");
        assert!(text.contains("\"access_denied\""), "{path} {text}");
    }
    for path in [
        "/api/command.ns?username=admin&password=x",
        "/api/reporting.ns",
    ] {
        let response = served.request(Method::GET, path).send().await;
        assert_eq!(response.expect("an answer").status(), 404, "{path}");
    }
}

/// HLTH-02 HLTH-03 HLTH-04 HLTH-05 HLTH-06 HLTH-07
#[tokio::test]
async fn check_health_tells_of_the_appliance() {
    let served = Served::start().await;
    let site_id = served
        .site
        .engine
        .published()
        .world
        .site
        .as_ref()
        .expect("a site")
        .site_id
        .clone();
    let expected = format!(
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<health_check xmlns=\"{}\">",
            "<appliance id=\"{}\">access.example.com</appliance>",
            "<version>0.1.0</version>",
            "<success>1</success>",
            "<failover_role>none</failover_role>",
            "</health_check>",
        ),
        NAMESPACE, site_id
    );
    let response = ask(&served, &served.token, "action=check_health").await;
    assert_eq!(told(response).await, (200, expected));
}

/// HLTH-08 HLTH-09
#[tokio::test]
async fn the_plain_health_check_needs_no_token_and_fails_with_the_log() {
    let limits = Limits {
        address_burst: NonZeroU32::MAX,
        ..Limits::default()
    };
    let served = Served::start_with(Differently {
        limits,
        ..Differently::default()
    })
    .await;
    let look = || async {
        let response = served.request(Method::GET, "/check_health").send().await;
        let response = response.expect("an answer");
        let content_type = header(&response, "content-type");
        let (status, text) = told(response).await;
        (status, text, content_type.expect("a type"))
    };
    let (status, text, content_type) = look().await;
    assert_eq!((status, text.as_str()), (200, "The site is healthy.\n"));
    assert!(content_type.starts_with("text/plain"), "{content_type}");

    served.site.engine.store().clone().close().await;
    // What was found before stands for a moment.
    while look().await.0 == 200 {
        tokio::task::yield_now().await;
    }
    let (status, text, _) = look().await;
    assert_eq!(status, 500);
    assert!(text.len() < 100 && !text.contains('/'), "{text}");
}

/// AUTH-18
#[tokio::test]
async fn calls_of_all_surfaces_take_from_one_budget() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "x", "perm_command": "read_only", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    let response = ask(&served, &token, "action=get_api_info").await;
    assert_eq!(
        header(&response, "x-ratelimit-remaining").as_deref(),
        Some("14999")
    );
    let response = served
        .call_with(&token, Method::GET, "jump-group", None)
        .await;
    assert_eq!(
        header(&response, "x-ratelimit-remaining").as_deref(),
        Some("14998")
    );
    let other = ask(&served, &served.token, "action=get_api_info").await;
    assert_ne!(
        header(&other, "x-ratelimit-remaining").as_deref(),
        Some("14997")
    );
    assert_ne!(account.id, ApiAccountId(1));
}
