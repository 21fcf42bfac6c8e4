//! Reports under strain: more sessions than a page has, numbers of connections, and what strangers wrote.

use domain::ids::{JumpClientId, JumpItemRef, Lsid, UserId};
use domain::session::access_session;
use domain::time::SECOND;
use domain::{Command, Event};
use futures_util::future::join_all;
use serde_json::json;

use crate::reporting::{all, lsids, report, schema};
use crate::served::Served;
use crate::visit::facts;

/// A report of more sessions than a page has is whole, in order, and a valid document.
///
/// REP-02 REP-24 REP-26 REP-42
#[tokio::test]
async fn a_report_of_many_pages_is_whole() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let mut clients = Vec::new();
    for number in 1..=21 {
        clients.push(fleet.machine(number).await);
    }
    let anna = served.jumper("anna").await.id;
    let mut started = Vec::new();
    for _ in 0..20 {
        let mut round = at_once(&served, anna, &clients).await;
        round.sort_unstable();
        started.append(&mut round);
        served.clock.leap(SECOND);
    }
    let span = "start_time=0&duration=0";
    let sessions = report(&served, &format!("generate_report=AccessSession&{span}")).await;
    assert_eq!(lsids(&sessions), started);
    let mut lseqs: Vec<u32> = all(&sessions, "lseq")
        .into_iter()
        .map(|text| text.parse().expect("a number"))
        .collect();
    lseqs.sort_unstable();
    lseqs.dedup();
    assert_eq!(lseqs.len(), started.len());
    let listing = report(
        &served,
        &format!("generate_report=AccessSessionListing&{span}"),
    )
    .await;
    assert_eq!(lsids(&listing), started);
    schema(&served).await.holds_for(&[&sessions, &listing]);

    // The sessions of a round ran at the same time: no two of their connections shared a number.
    let round = &sessions[..sessions
        .find(&format!("lsid=\"{}\"", started[21]))
        .expect("the second round")];
    let mut numbers: Vec<&str> = round
        .split("<customer gsnumber=\"")
        .chain(round.split("<representative gsnumber=\""))
        .filter(|rest| !rest.starts_with('<'))
        .map(|rest| rest.split('"').next().expect("a number"))
        .collect();
    assert_eq!(numbers.len(), 42);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 42);
}

/// One session on each client, all at the same time.
async fn at_once(served: &Served, user: UserId, clients: &[JumpClientId]) -> Vec<Lsid> {
    let run = |command| served.run(Command::AccessSession(command));
    let starts = clients.iter().map(|client| {
        run(access_session::Command::Start(access_session::Start::new(
            user,
            JumpItemRef::JumpClient(*client),
            "Unknown".to_owned(),
            "Unknown".to_owned(),
        )))
    });
    let started: Vec<Lsid> = join_all(starts)
        .await
        .into_iter()
        .map(|done| match done.events[0] {
            Event::AccessSession(lsid, _) => lsid,
            ref other => panic!("{other:?}"),
        })
        .collect();
    let pairs = || started.iter().copied().zip(clients.iter().copied());
    join_all(
        pairs().map(|(lsid, client)| run(access_session::Command::Establish { lsid, client })),
    )
    .await;
    join_all(pairs().map(|(lsid, client)| {
        run(access_session::Command::EndByEndpoint {
            lsid,
            client,
            reason: String::new(),
        })
    }))
    .await;
    started
}

/// What of a text may be a name: one line that reads one way.
fn as_a_name(text: &str) -> String {
    let is_refused = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FFFE}' | '\u{FFFF}')
    };
    text.replace(is_refused, "")
}

/// What a stranger wrote is text, in XML as in JSON.
///
/// REP-02 threat K
#[tokio::test]
async fn threat_k_hostile_text_comes_out_as_text() {
    let served = Served::start().await;
    let hostile = [
        "<script>alert(1)</script>",
        "]]>&amp;\"'</session>",
        "\u{202E}gnp.exe\u{202C} \u{5E9}",
        "\u{1B}[2J\u{7}\u{1}",
        "\u{FFFE}\u{FFFF}\u{10FFFF}",
        "line\r\nbreak\ttab",
        "{{7*7}}${7*7}",
        "\u{1F600}\u{301}",
    ];
    let fleet = served.fleet("<b>Fleet</b> & \"friends\"").await;
    let anna = served.jumper("anna").await;
    let mut answers = Vec::new();
    for (number, text) in (1..).zip(hostile) {
        let mut facts = facts(number);
        for field in [
            &mut facts.hostname,
            &mut facts.fqdn,
            &mut facts.operating_system,
            &mut facts.private_ip,
            &mut facts.console_user,
        ] {
            text.clone_into(field);
        }
        let client = served.machine(fleet.installer, number, facts).await;
        let name = as_a_name(text);
        let change = json!({"name": name, "comments": text});
        served.change_client(client, change).await;
        let lsid = anna.jump(client).await;
        let (status, item) = anna.get(&format!("items/jump_client-{client}")).await;
        assert_eq!(status, 200);
        for member in [
            "name",
            "comments",
            "hostname",
            "operating_system",
            "console_user",
        ] {
            let expected = if member == "name" { &name } else { text };
            assert_eq!(item[member], json!(expected), "{member}");
        }
        let (_, session) = anna.get(&format!("sessions/{lsid}")).await;
        assert_eq!(session["item"]["name"], json!(name));
        let xml = report(
            &served,
            &format!("generate_report=AccessSession&lsid={lsid}"),
        )
        .await;
        assert!(!xml.contains("<script"), "{xml}");
        assert!(
            !xml.contains(['\u{1B}', '\u{7}', '\u{1}', '\u{FFFE}', '\u{FFFF}']),
            "{xml}"
        );
        answers.push(xml);
    }
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let schema = schema(&served).await;
    schema.holds_for(&answers);
    // What XML can carry comes back as it was.
    for (xml, text) in answers.iter().zip(hostile) {
        let name = schema.first_text(xml, "primary_customer");
        assert_eq!(name, as_a_name(text));
        let read = schema.first_text(xml, "hostname");
        let expected: String = text
            .chars()
            .map(|c| if api::xml::is_legal(c) { c } else { '\u{FFFD}' })
            .collect();
        assert_eq!(read, expected);
    }
    let (_, list) = anna.get("items?search=script").await;
    assert_eq!(list["total"], json!(1), "{list}");
    assert_eq!(
        list["items"][0]["group"]["name"],
        json!("<b>Fleet</b> & \"friends\"")
    );
}
