//! Snapshots: a snapshot and the rest of the log are the same as the whole log, whatever has happened, and a snapshot that
//! does not fit is passed over.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use domain::access::jump_group::{self, Membership};
use domain::fleet::jump_client;
use domain::ids::{JumpClientId, JumpGroupId, JumpItemRoleId, Lsid, NodeEpoch, UserId};
use domain::session::access_session;
use domain::site::user;
use domain::site::user::sign_in::{Origin, SignIn};
use domain::{Command, Event, node, record};
use engine::{FINGERPRINT, SnapshotError};
use eventstore::SnapshotFile;
use eventstore::testing::TestDatabase;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::support::{
    ADMINISTRATOR, How, Site, api_account_signs_in, assert_as_the_log, check_in, create_group,
    delete_group, link, object, on_both, register, start_session,
};

fn with_snapshots(database: &TestDatabase) -> How {
    How {
        snapshots: Some(directory(database)),
        ..How::default()
    }
}

fn directory(database: &TestDatabase) -> PathBuf {
    database.directory().join("snapshots")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_the_snapshot_and_the_rest_of_the_log() {
    on_both(async |database| {
        let how = with_snapshots(database);
        let site = Site::with_fleet(database, how.clone()).await;
        for number in 1..=50 {
            site.run(register(number)).await;
        }
        let written = site.engine.write_snapshot().await.expect("written");
        assert_eq!(written.position, site.engine.published().tail.position);
        site.run(start_session(JumpClientId(7))).await;
        let before = site.engine.published();
        site.close().await;

        let site = Site::open(database, how).await;
        let after = site.engine.published();
        assert!(after.world == before.world);
        assert_eq!(
            (after.tail, after.recorded_at),
            (before.tail, before.recorded_at)
        );
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_alone_is_enough_where_nothing_came_after_it() {
    let database = TestDatabase::sqlite();
    let how = with_snapshots(&database);
    let site = Site::with_fleet(&database, how.clone()).await;
    site.engine.write_snapshot().await.expect("written");
    site.close().await;
    let site = Site::open(&database, how).await;
    assert_as_the_log(&site).await;
    site.run(register(1)).await;
    assert_as_the_log(&site).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_damaged_or_of_another_build_is_passed_over() {
    type Spoil = fn(&mut Vec<u8>);
    let spoils: [(&str, Spoil); 4] = [
        ("a byte of the World", |bytes| {
            let middle = bytes.len() - 100;
            bytes[middle] ^= 1;
        }),
        ("cut short", |bytes| bytes.truncate(bytes.len() / 2)),
        ("empty", Vec::clear),
        ("another build", |bytes| {
            let at = bytes
                .windows(FINGERPRINT.len())
                .position(|window| window == FINGERPRINT)
                .expect("the fingerprint is in the header");
            bytes[at] ^= 1;
        }),
    ];
    for (what, spoil) in spoils {
        let database = TestDatabase::sqlite();
        let how = with_snapshots(&database);
        let site = Site::with_fleet(&database, how.clone()).await;
        site.run(register(1)).await;
        let written = site.engine.write_snapshot().await.expect("written");
        site.run(register(2)).await;
        site.close().await;
        let mut bytes = fs::read(&written.path).expect("a file");
        spoil(&mut bytes);
        fs::write(&written.path, bytes).expect("written");

        let site = Site::open(&database, how).await;
        assert_eq!(
            site.engine.published().world.jump_clients.len(),
            2,
            "{what}"
        );
        assert_as_the_log(&site).await;
        site.close().await;
    }
}

/// The places of the sections of a snapshot's content, as `docs/log-format.md` says; behind them begins what says so.
fn sections(content: &[u8]) -> (Vec<Range<usize>>, usize) {
    let number = |at: usize| {
        let bytes = content[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_be_bytes(bytes)).expect("it fits")
    };
    let count = number(content.len() - 8);
    let end = content.len() - 8 * (count + 1);
    let mut at = 0_usize;
    let sections = (0..count)
        .map(|index| {
            let start = at.next_multiple_of(64);
            at = start + number(end + 8 * index);
            start..at
        })
        .collect();
    (sections, end)
}

/// Hashes tell of damage on the disk; this is what another program or a defect of this one may have written.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_passed_over_if_any_section_is_not_what_it_says() {
    let database = TestDatabase::sqlite();
    let how = with_snapshots(&database);
    let site = Site::with_fleet(&database, how.clone()).await;
    for number in 1..=300 {
        site.run(register(number)).await;
    }
    site.engine.write_snapshot().await.expect("written");
    let before = site.engine.published();
    site.close().await;
    let (header, content) =
        SnapshotFile::read_newest(&directory(&database), &FINGERPRINT).expect("it is whole");
    let (places, end) = sections(&content);
    let mut spoilt: Vec<(String, Vec<u8>)> = (0..places.len())
        // The first is a time, which any eight bytes are.
        .skip(1)
        .map(|index| {
            let mut content = content.to_vec();
            content[places[index].clone()].fill(0xff);
            (format!("section {index} of {}", places.len()), content)
        })
        .collect();
    let mut fewer = content[..places[places.len() - 2].end].to_vec();
    fewer.extend_from_slice(&content[end..end + 8 * (places.len() - 1)]);
    fewer.extend_from_slice(&(places.len() as u64 - 1).to_be_bytes());
    spoilt.push(("the last is missing".to_owned(), fewer));
    let last = places.last().expect("there are some").clone();
    let before_last = places[places.len() - 2].clone();
    let mut twice = content[..last.start].to_vec();
    twice.extend_from_slice(&content[before_last.clone()]);
    twice.extend_from_slice(&content[end..end + 8 * (places.len() - 1)]);
    twice.extend_from_slice(&(before_last.len() as u64).to_be_bytes());
    twice.extend_from_slice(&(places.len() as u64).to_be_bytes());
    spoilt.push(("the last is of another number of rows".to_owned(), twice));

    for (what, content) in spoilt {
        SnapshotFile::write(&directory(&database), &header, &content).expect("written");
        let (_, read) =
            SnapshotFile::read_newest(&directory(&database), &FINGERPRINT).expect("it is whole");
        assert_eq!(*read, *content, "{what}");
        let site = Site::open(&database, how.clone()).await;
        assert!(site.engine.published().world == before.world, "{what}");
        assert_as_the_log(&site).await;
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_no_snapshot_is_written() {
    let database = TestDatabase::sqlite();
    let site = Site::new(&database).await;
    let refused = site.engine.write_snapshot().await;
    assert!(
        matches!(refused, Err(SnapshotError::NoDirectory)),
        "{refused:?}"
    );
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_one_moment_while_others_write() {
    on_both(async |database| {
        let how = with_snapshots(database);
        let site = Site::with_fleet(database, how.clone()).await;
        let engine = site.engine.clone();
        let writing = tokio::spawn(async move {
            for number in 1..=200 {
                engine
                    .execute(crate::support::submission(register(number)))
                    .await
                    .expect("registered");
            }
        });
        while !writing.is_finished() {
            site.engine.write_snapshot().await.expect("written");
        }
        writing.await.expect("it ends");
        site.close().await;
        let site = Site::open(database, how).await;
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

/// What a random history consists of. Numbers name things that may be there or not.
#[derive(Clone, Debug)]
enum Step {
    CreateGroup(u8),
    DeleteGroup(u32),
    AddMember(u32, bool),
    RemoveMember(u32),
    CreateUser(u8),
    DeleteUser(u32),
    SignIn(bool),
    Register(u64),
    CheckIn(u32, u8),
    Connect(u32, u64),
    Disconnect(u32, u64),
    Rename(u32, u8),
    DeleteClient(u32),
    Start(u32),
    Establish(usize),
    End(usize),
    StartNode(i64),
    StopNode(i64),
    ApiAccount,
    Settings(u8),
    Leap(u32),
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_u8).prop_map(Step::CreateGroup),
        1 => (1..4_u32).prop_map(Step::DeleteGroup),
        1 => (1..4_u32, any::<bool>()).prop_map(|(group, role)| Step::AddMember(group, role)),
        1 => (1..4_u32).prop_map(Step::RemoveMember),
        1 => (0..3_u8).prop_map(Step::CreateUser),
        1 => (2..4_u32).prop_map(Step::DeleteUser),
        1 => any::<bool>().prop_map(Step::SignIn),
        4 => (1..8_u64).prop_map(Step::Register),
        2 => (1..8_u32, 0..3_u8).prop_map(|(client, who)| Step::CheckIn(client, who)),
        2 => (1..8_u32, 10..14_u64).prop_map(|(client, link)| Step::Connect(client, link)),
        2 => (1..8_u32, 10..14_u64).prop_map(|(client, link)| Step::Disconnect(client, link)),
        1 => (1..8_u32, 0..3_u8).prop_map(|(client, name)| Step::Rename(client, name)),
        1 => (1..8_u32).prop_map(Step::DeleteClient),
        4 => (1..8_u32).prop_map(Step::Start),
        2 => (0..4_usize).prop_map(Step::Establish),
        2 => (0..4_usize).prop_map(Step::End),
        1 => (1..3_i64).prop_map(Step::StartNode),
        1 => (1..3_i64).prop_map(Step::StopNode),
        1 => Just(Step::ApiAccount),
        1 => (0..3_u8).prop_map(Step::Settings),
        2 => (0..100_000_u32).prop_map(Step::Leap),
        2 => Just(Step::Snapshot),
    ]
}

fn command(step: &Step, sessions: &[Lsid]) -> Option<Command> {
    let session = |index: usize| sessions.get(index).copied().unwrap_or(Lsid(0));
    let group = |command| Command::JumpGroup(command);
    let client = |command| Command::JumpClient(command);
    Some(match step {
        Step::CreateGroup(name) => create_group(&format!("group {name}")),
        Step::DeleteGroup(number) => delete_group(JumpGroupId(*number)),
        Step::AddMember(number, role) => group(jump_group::Command::AddMember(
            JumpGroupId(*number),
            ADMINISTRATOR,
            Membership {
                jump_item_role_id: role.then_some(JumpItemRoleId(2)),
                jump_policy_id: None,
            },
        )),
        Step::RemoveMember(number) => group(jump_group::Command::RemoveMember(
            JumpGroupId(*number),
            ADMINISTRATOR,
        )),
        Step::CreateUser(name) => Command::User(user::Command::Record(record::Command::Create(
            object(json!({ "username": format!("user{name}"), "public_display_name": "U" })),
        ))),
        Step::DeleteUser(number) => Command::User(user::Command::Record(record::Command::Delete(
            UserId(*number),
        ))),
        Step::SignIn(password_matches) => Command::User(user::Command::SignIn(SignIn::new(
            ADMINISTRATOR,
            *password_matches,
            Origin::default(),
        ))),
        Step::Register(number) => register(*number),
        Step::CheckIn(number, who) => check_in(JumpClientId(*number), &format!("who{who}")),
        Step::Connect(number, connection) => client(jump_client::Command::Connect {
            client: JumpClientId(*number),
            link: link(*connection),
            public_ip: "192.0.2.3:1".to_owned(),
            boot_id: "b".to_owned(),
        }),
        Step::Disconnect(number, connection) => client(jump_client::Command::Disconnect {
            client: JumpClientId(*number),
            link: link(*connection),
            reason: "gone".to_owned(),
        }),
        Step::Rename(number, name) => client(jump_client::Command::Change(
            JumpClientId(*number),
            object(json!({ "name": format!("client {name}") })),
        )),
        Step::DeleteClient(number) => client(jump_client::Command::Delete(JumpClientId(*number))),
        Step::Start(number) => start_session(JumpClientId(*number)),
        Step::Establish(index) => Command::AccessSession(access_session::Command::Establish {
            lsid: session(*index),
            client: JumpClientId(1),
        }),
        Step::End(index) => Command::AccessSession(access_session::Command::End {
            lsid: session(*index),
        }),
        Step::StartNode(epoch) => Command::Node(node::Command::Start {
            epoch: NodeEpoch(*epoch),
            name: format!("node{epoch}"),
            url: None,
        }),
        Step::StopNode(epoch) => Command::Node(node::Command::Stop {
            epoch: NodeEpoch(*epoch),
            reason: node::StopReason::Silent,
        }),
        Step::ApiAccount => api_account_signs_in(),
        Step::Settings(name) => Command::SiteSettings(record::Command::Change(
            domain::site::settings::SETTINGS,
            object(json!({ "company_name": format!("company {name}") })),
        )),
        Step::Leap(_) | Step::Snapshot => return None,
    })
}

/// Plays a history, with snapshots on the way; then the published World is what the log folds into, and what a snapshot and
/// the rest of the log fold into.
async fn play(database: &TestDatabase, steps: &[Step]) {
    let how = with_snapshots(database);
    let site = Site::with_fleet(database, how.clone()).await;
    let mut sessions = Vec::new();
    let mut accepted = 0;
    for step in steps {
        match (command(step, &sessions), step) {
            (Some(command), _) => {
                // A refusal is as good as an acceptance here.
                if let Ok(done) = site.ask(command).await {
                    accepted += done.events.len();
                    sessions.extend(done.events.iter().filter_map(|event| match event {
                        Event::AccessSession(lsid, access_session::Event::Started(_)) => {
                            Some(*lsid)
                        }
                        _ => None,
                    }));
                }
            }
            (None, Step::Leap(seconds)) => site.clock.leap(i64::from(*seconds) * 1_000_000),
            (None, _) => {
                site.engine.write_snapshot().await.expect("written");
            }
        }
    }
    assert_as_the_log(&site).await;
    let before = site.engine.published();
    site.close().await;
    let site = Site::open(database, how).await;
    let after = site.engine.published();
    assert!(
        after.world == before.world,
        "after {accepted} events of {steps:?}"
    );
    assert_eq!(after.tail, before.tail);
    assert_as_the_log(&site).await;
    site.close().await;
}

fn any_history(database: impl AsyncFn() -> TestDatabase, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&vec(step(), 20..120), |steps| {
            runtime.block_on(async {
                let database = database().await;
                play(&database, &steps).await;
            });
            Ok(())
        })
        .expect("every history comes back");
}

#[test]
fn any_history_comes_back_from_snapshot_and_log_on_sqlite() {
    any_history(async || TestDatabase::sqlite(), 24);
}

#[test]
fn any_history_comes_back_from_snapshot_and_log_on_postgresql() {
    any_history(async || TestDatabase::postgres().await, 8);
}
