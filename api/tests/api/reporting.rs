//! Reports as XML: what is in them, which sessions they have, and that the served schema holds for every answer.

use domain::ids::{JumpClientId, Lsid};
use domain::session::access_session;
use domain::site::settings::SETTINGS;
use domain::time::{DAY, HOUR, MINUTE, SECOND};
use domain::{Command, record};
use reqwest::Method;
use serde_json::json;

use crate::schema_check::Schema;
use crate::served::{Served, header};
use crate::visit::{Agent, Conduct, Visitor, object};

const FIELD: &str = "http://www.beyondtrust.com/sra/namespaces/API/reporting";
const GUIDE: &str = "https://www.beyondtrust.com/namespaces/API/reporting";
/// What the test clock shows at first: Monday 2026-01-05 09:00 UTC.
const START: i64 = 1_767_603_600;

/// The report that `query` asks for, with the first account's token.
pub(crate) async fn report(served: &Served, query: &str) -> String {
    let (status, text) = report_with(served, &served.token, query).await;
    assert_eq!(status, 200, "{query} {text}");
    text
}

async fn report_with(served: &Served, token: &str, query: &str) -> (u16, String) {
    let response = served
        .request(Method::GET, &format!("/api/reporting?{query}"))
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    let content_type = header(&response, "content-type");
    assert_eq!(
        content_type.as_deref(),
        Some("text/xml; charset=UTF-8"),
        "{query}"
    );
    (status, response.text().await.expect("text"))
}

/// The schema as the server serves it.
pub(crate) async fn schema(served: &Served) -> Schema {
    let response = served
        .request(Method::GET, "/api/reporting.xsd")
        .send()
        .await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(
        header(&response, "content-type").as_deref(),
        Some("text/xml; charset=UTF-8")
    );
    Schema::new(&response.text().await.expect("text"))
}

async fn end(served: &Served, visitor: &Visitor<'_>, lsid: Lsid) {
    let (status, body) = visitor
        .post(&format!("sessions/{lsid}/end"), json!({}))
        .await;
    assert_eq!(
        (status, body["state"].as_str()),
        (200, Some("ended")),
        "{body}"
    );
    assert!(
        !served
            .site
            .engine
            .published()
            .world
            .sessions
            .contains(&lsid)
    );
}

fn error(namespace: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><error xmlns=\"{namespace}\">{message}</error>"
    )
}

/// The texts between `<name ...>` and `</name>`, attributes not looked at.
pub(crate) fn all<'x>(xml: &'x str, name: &str) -> Vec<&'x str> {
    let open = format!("<{name}");
    let close = format!("</{name}>");
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(&open) {
        let after = &rest[at + open.len()..];
        let Some(end_of_tag) = after.find('>') else {
            break;
        };
        let same_name = after.starts_with([' ', '>', '/']);
        if same_name && after[..end_of_tag].ends_with('/') {
            found.push("");
        } else if same_name {
            let text = &after[end_of_tag + 1..];
            found.push(&text[..text.find(&close).expect("it is closed")]);
        }
        rest = &after[end_of_tag + 1..];
    }
    found
}

pub(crate) fn lsids(xml: &str) -> Vec<Lsid> {
    xml.split("lsid=\"")
        .skip(1)
        .map(|rest| rest[..32].parse().expect("an lsid"))
        .collect()
}

/// REP-01 REP-02 REP-03 REP-24 REP-25 REP-26 REP-27 REP-29 REP-30 REP-37 REP-38 REP-39 REP-40 REP-43 REP-44 REP-45 REP-46
/// REP-31 REP-32 REP-34 REP-35 REP-36 REP-48 REP-49 REP-54 REP-85 REP-86
#[tokio::test]
async fn a_session_is_told_from_start_to_end() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let client = fleet.machine(7).await;
    let anna = served.jumper("anna").await;
    let lsid = anna.jump(client).await;
    served.clock.leap(90 * SECOND);
    end(&served, &anna, lsid).await;
    let text = report(
        &served,
        &format!("generate_report=AccessSession&lsid={lsid}"),
    )
    .await;
    let port = text
        .split("<public_ip>127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .expect("the user's port");
    let id = anna.id;
    let end_at = START + 90;
    let expected = format!(
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<session_list xmlns=\"{namespace}\"><session lsid=\"{lsid}\">",
            "<session_type>support</session_type><lseq>1</lseq>",
            "<start_time timestamp=\"{start}\">2026-01-05T09:00:00+00:00</start_time>",
            "<end_time timestamp=\"{end}\">2026-01-05T09:01:30+00:00</end_time>",
            "<duration>00:01:30</duration><external_key/>",
            "<file_transfer_count>0</file_transfer_count><file_move_count>0</file_move_count><file_delete_count>0</file_delete_count>",
            "<primary_customer gsnumber=\"2\">host-7</primary_customer>",
            "<jump_group type=\"shared\" id=\"1\">Web servers</jump_group><jumpoint/>",
            "<primary_rep gsnumber=\"1\" id=\"{id}\">anna in private</primary_rep>",
            "<customer_list><customer gsnumber=\"2\"><username>root</username><public_ip>192.0.2.7:50000</public_ip>",
            "<private_ip>10.0.0.7</private_ip><hostname>host-7</hostname><os>Debian GNU/Linux 12</os></customer></customer_list>",
            "<rep_list><representative gsnumber=\"1\" id=\"{id}\"><username>anna</username>",
            "<display_name>anna in public</display_name><public_display_name>anna in public</public_display_name>",
            "<private_display_name>anna in private</private_display_name>",
            "<public_ip>127.0.0.1:{port}</public_ip><private_ip>Unknown</private_ip><os>Unknown</os>",
            "<session_owner>1</session_owner><seconds_involved>90</seconds_involved></representative></rep_list>",
            "<session_details>",
            "<event timestamp=\"{start}\" event_type=\"Session Start\">",
            "<performed_by type=\"system\" gsnumber=\"0\">Pre-start Conference</performed_by></event>",
        ),
        namespace = FIELD,
        lsid = lsid,
        start = START,
        end = end_at,
        id = id,
        port = port,
    );
    assert!(text.starts_with(&expected), "{text}\n\n{expected}");
    for event in [
        format!("<event timestamp=\"{START}\" event_type=\"Conference Member Added\">"),
        format!("<event timestamp=\"{START}\" event_type=\"Conference Owner Changed\">"),
        format!("<event timestamp=\"{end_at}\" event_type=\"Conference Member Departed\">"),
        format!("<event timestamp=\"{end_at}\" event_type=\"Session End\">"),
        "<value name=\"hostname\" value=\"host-7\"/>".to_owned(),
        format!("<value name=\"user_id\" value=\"{id}\"/>"),
    ] {
        assert!(text.contains(&event), "{event} in {text}");
    }
    assert!(text.ends_with("</session_details></session></session_list>"));
    for absent in ["custom_attribute", "recording", "invited", "<hostname/>"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }

    let by_form = served
        .request(Method::POST, "/api/reporting")
        .bearer_auth(&served.token)
        .form(&[
            ("generate_report", "AccessSession"),
            ("lsid", &lsid.to_string()),
        ])
        .send()
        .await
        .expect("an answer");
    assert_eq!(by_form.text().await.expect("text"), text);
    schema(&served).await.holds_for(&[&text]);
}

/// REP-02 REP-03
#[tokio::test]
async fn the_served_schema_holds_for_every_answer_in_both_namespaces() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let anna = served.jumper("anna").await;
    let first = anna.jump(fleet.machine(1).await).await;
    end(&served, &anna, first).await;
    anna.jump(fleet.machine(2).await).await;
    for (setting, namespace) in [("field", FIELD), ("guide", GUIDE)] {
        let change =
            record::Command::Change(SETTINGS, object(json!({"reporting_namespace": setting})));
        served.run(Command::SiteSettings(change)).await;
        let mut answers = Vec::new();
        for query in [
            "generate_report=AccessSession&start_time=0&duration=0",
            "generate_report=AccessSession&start_time=1&duration=1",
            "generate_report=AccessSessionListing&start_time=0&duration=0",
            "generate_report=AccessSessionListing&end_time=1&duration=1",
            "generate_report=AccessSession&lsid=nonsense",
            "generate_report=Team",
            "",
        ] {
            let text = report(&served, query).await;
            assert!(text.contains(&format!(" xmlns=\"{namespace}\"")), "{text}");
            answers.push(text);
        }
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let schema = schema(&served).await;
        schema.holds_for(&answers);
        // A check that can't fail proves nothing.
        let wrong_order = answers[0].replace("<lseq>1</lseq>", "");
        assert!(!schema.accepts(&wrong_order));
        let other = if namespace == FIELD { GUIDE } else { FIELD };
        assert!(!schema.accepts(&error(other, "x")));
    }
}

/// Which sessions each parameter set finds.
///
/// REP-09 REP-10 REP-11 REP-12 REP-13 REP-14 REP-15 REP-16 REP-17 REP-18 REP-19 REP-20 REP-21 REP-23 REP-24 REP-28
/// REP-55 REP-56 REP-87
#[tokio::test]
async fn sessions_are_found_by_time_and_by_id() {
    let served = Served::start().await;
    let week = record::Command::Change(SETTINGS, object(json!({"sign_in_hours": 168})));
    served.run(Command::SiteSettings(week)).await;
    let fleet = served.fleet("Fleet").await;
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| fleet.machine(number));
    let (one, two, three, four) = (one.await, two.await, three.await, four.await);
    let anna = served.jumper("anna").await;
    // From 09:00 to 10:00; from 23:30 over midnight; lost on Tuesday; still running.
    let short = anna.jump(one).await;
    served.clock.leap(HOUR);
    end(&served, &anna, short).await;
    served.clock.leap(13 * HOUR + HOUR / 2);
    let night = anna.jump(two).await;
    served.clock.leap(HOUR);
    end(&served, &anna, night).await;
    let lost = lose(&served, &anna, three, 3).await;
    let running = anna.jump(four).await;
    served.clock.leap(DAY + HOUR + 61 * SECOND);
    let token = served.token_of(&served.first).await;
    let report = async |query: &str| {
        let (status, text) = report_with(&served, &token, query).await;
        assert_eq!(status, 200, "{query} {text}");
        text
    };

    let monday = "2026-01-05";
    let tuesday = "2026-01-06";
    let nine = START;
    let cases: Vec<(String, Vec<Lsid>)> = vec![
        // parameters, sessions by start
        (
            format!("start_date={monday}&duration=1"),
            vec![short, night],
        ),
        (
            format!("start_date={monday}&duration=0"),
            vec![short, night, lost, running],
        ),
        (
            format!("start_date={tuesday}&duration=1"),
            vec![lost, running],
        ),
        (format!("end_date={monday}&duration=1"), vec![short]),
        (format!("end_date={tuesday}&duration=1"), vec![night]),
        (format!("end_date={monday}&duration=0"), vec![short, night]),
        (format!("start_time={nine}&duration=1"), vec![short]),
        (format!("start_time={}&duration=3600", nine + 1), vec![]),
        (format!("start_time={}&duration=3600", nine - 3600), vec![]),
        (
            format!("start_time={}&duration=3601", nine - 3600),
            vec![short],
        ),
        (format!("end_time={}&duration=1", nine + 3600), vec![short]),
        (format!("end_time={}&duration=3600", nine), vec![]),
        (
            format!("start_date=2020-01-01&start_time={nine}&duration=0"),
            vec![short, night, lost, running],
        ),
        ("start_date=1999-01-01&duration=31".to_owned(), vec![]),
    ];
    for (query, expected) in cases {
        let sessions = report(&format!("generate_report=AccessSession&{query}")).await;
        assert_eq!(lsids(&sessions), expected, "{query}");
        let listing = report(&format!("generate_report=AccessSessionListing&{query}")).await;
        assert_eq!(lsids(&listing), expected, "{query}");
        assert_eq!(
            listing.matches("has_recording=\"0\"").count(),
            expected.len()
        );
        assert!(!listing.contains("external_key"), "{listing}");
        if expected.is_empty() {
            let empty = |root| {
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root} xmlns=\"{FIELD}\"></{root}>"
                )
            };
            assert_eq!(sessions, empty("session_list"));
            assert_eq!(listing, empty("session_summary_list"));
        }
    }
    let unknown = "0123456789abcdef0123456789abcdef";
    let both = format!("generate_report=AccessSession&lsids={running},{unknown},31digits,{short}");
    assert_eq!(lsids(&report(&both).await), [short, running]);

    for (lsid, ended, duration) in [
        (short, true, "01:00:00"),
        (lost, false, "00:02:00"),
        (running, false, "25:01:01"),
    ] {
        let text = report(&format!("generate_report=AccessSession&lsid={lsid}")).await;
        assert_eq!(all(&text, "end_time")[0].is_empty(), !ended, "{text}");
        assert_eq!(text.contains("<end_time/>"), !ended, "{text}");
        assert_eq!(all(&text, "duration"), [duration], "{text}");
    }
}

/// A session whose agent goes and does not come back.
async fn lose(served: &Served, visitor: &Visitor<'_>, client: JumpClientId, number: u64) -> Lsid {
    let lsid = visitor.jump(client).await;
    served.disconnect(client, number).await;
    served.clock.leap(120 * SECOND);
    served
        .run(Command::AccessSession(access_session::Command::Abandon {
            lsid,
        }))
        .await;
    lsid
}

/// REP-24
#[tokio::test]
async fn a_session_that_never_came_up_is_in_no_report() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let agent = Agent::of(&served.site.engine, Conduct::Fail);
    let item = json!({"item": format!("jump_client-{client}")});
    let (status, _) = anna.post("sessions", item).await;
    drop(agent);
    assert_eq!(status, 409);
    let text = report(
        &served,
        "generate_report=AccessSession&start_time=0&duration=0",
    )
    .await;
    assert_eq!(lsids(&text), []);
}

/// REP-01 REP-04 REP-05 REP-08 REP-10 REP-22 REP-23 REP-55 REP-60
#[tokio::test]
async fn a_call_that_cannot_be_run_is_an_error_with_status_200() {
    let served = Served::start().await;
    let unknown = "0123456789abcdef0123456789abcdef";
    for (query, message) in [
        ("", "The parameter generate_report is required."),
        ("generate_report=Nonsense", "The report is not known."),
        (
            "generate_report=AccessSession",
            "One of start_date, start_time, end_date and end_time is required.",
        ),
        ("generate_report=AccessSession&lsid=31", "Invalid lsid."),
        (
            &format!("generate_report=AccessSession&lsid={unknown}"),
            "Invalid lsid.",
        ),
        (
            "generate_report=AccessSession&start_date=2016-13-01&duration=1",
            "The parameter start_date must be a date of the form YYYY-MM-DD.",
        ),
        (
            "generate_report=AccessSession&start_time=5",
            "The parameter duration is required.",
        ),
        (
            "generate_report=AccessSession&start_time=5&duration=-1",
            "The parameter duration must be an integer of 0 or more.",
        ),
        (
            "generate_report=AccessSession&start_time=5&end_time=5&duration=1",
            "Give either start_date or start_time, or end_date or end_time, not both.",
        ),
        (
            &format!("generate_report=AccessSessionListing&lsid={unknown}"),
            "This report does not accept lsid or lsids.",
        ),
        (
            "generate_report=AccessSession&generate_report=Team",
            "The parameter generate_report was given more than once.",
        ),
        (
            "generate_report=AccessSessionRecording",
            "The report AccessSessionRecording is not available yet.",
        ),
        (
            "generate_report=Team",
            "The report Team is not available yet.",
        ),
        (
            "generate_report=AccessSessionSummary",
            "The report AccessSessionSummary is not available yet.",
        ),
        (
            "generate_report=CommandShellRecording",
            "The report CommandShellRecording is not available yet.",
        ),
        (
            "generate_report=UserRecording",
            "The report UserRecording is not available yet.",
        ),
        (
            "generate_report=EndpointLicenseUsage",
            "The report EndpointLicenseUsage is not available yet.",
        ),
        (
            "generate_report=VaultAccountActivity",
            "The report VaultAccountActivity is not available yet.",
        ),
    ] {
        assert_eq!(
            report(&served, query).await,
            error(FIELD, message),
            "{query}"
        );
    }
    let multipart = served
        .request(Method::POST, "/api/reporting")
        .bearer_auth(&served.token)
        .header("content-type", "multipart/form-data; boundary=x")
        .body("--x")
        .send()
        .await
        .expect("an answer");
    assert_eq!(multipart.status(), 200);
    let text = multipart.text().await.expect("text");
    assert_eq!(text, error(FIELD, "Multipart requests are not supported."));
}

/// REP-07 REP-65 REP-73 AUTH-23 AUTH-28 ERR-31
#[tokio::test]
async fn each_report_needs_its_permission() {
    let served = Served::start().await;
    let sessions = "generate_report=AccessSession&start_time=0&duration=0";
    let vault = "generate_report=VaultAccountActivity";
    let license = "generate_report=EndpointLicenseUsage";
    for (members, statuses) in [
        (
            json!({"name": "a", "perm_configuration": true}),
            [404, 404, 404],
        ),
        (
            json!({"name": "b", "perm_reporting_support": true}),
            [200, 403, 403],
        ),
        (
            json!({"name": "c", "perm_reporting_vault": true}),
            [403, 200, 403],
        ),
        (
            json!({"name": "d", "perm_reporting_license": true}),
            [403, 403, 200],
        ),
    ] {
        let account = served.account(members.clone()).await;
        let token = served.token_of(&account).await;
        let before = served.count("ActionRefused").await;
        for (query, expected) in [sessions, vault, license].into_iter().zip(statuses) {
            // A refusal that repeats one of the same minute is only counted.
            served.clock.leap(MINUTE);
            let (status, text) = report_with(&served, &token, query).await;
            assert_eq!(status, expected, "{members} {query} {text}");
            assert_eq!(status == 404, text.contains("Document Not Found"), "{text}");
        }
        let refused = statuses.iter().filter(|status| **status != 200).count();
        assert_eq!(served.count("ActionRefused").await - before, refused);
    }
}
