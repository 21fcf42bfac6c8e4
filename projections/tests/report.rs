//! The report index on both databases: which sessions a report finds, what it says of them, and that rows and bookmark agree
//! whatever happens.

mod support;

use std::time::Duration;

use domain::fleet::jump_client;
use domain::ids::{JumpClientId, JumpGroupRef, JumpItemRef, LinkId, Lsid};
use domain::session::access_session::{
    self, EndReason, Ended, Established, Event as Session, Failed, Failure,
};
use domain::testing::{
    ADMIN, ANNA, FIRST, INSTALLER, NODE, PC1, SHARED, WEB_SERVERS, client, group, installer,
    person, starting,
};
use domain::{Actor, Event, Timestamp, time};
use eventstore::testing::TestDatabase;
use eventstore::{EventStore, ExpectedRevision, NewEvent, StreamAppend};
use projections::{
    EntityKind, Interval, PageKey, ReportError, ReportIndex, SessionQuery, SessionReport,
};
use support::Log;
use tokio::sync::watch;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

/// 2016-07-01T00:00:00Z, of the guide's examples.
const JULY: Timestamp = Timestamp::from_unix_seconds(1_467_331_200);

fn established(lsid: Lsid) -> Event {
    Event::AccessSession(lsid, Session::Established(Established {}))
}

fn ended(lsid: Lsid, reason: EndReason) -> Event {
    let detail = String::new();
    Event::AccessSession(lsid, Session::Ended(Ended { reason, detail }))
}

fn failed(lsid: Lsid) -> Event {
    let failure = Failure::TimedOut;
    let detail = String::new();
    Event::AccessSession(lsid, Session::Failed(Failed { failure, detail }))
}

/// A log that stands still at `now`.
fn log_at(now: Timestamp) -> Log {
    let mut log = Log::begun();
    log.now = now;
    log.happen([person(ANNA), group(WEB_SERVERS, "Web Servers")]);
    log
}

/// A session that came up at `from` and, if `until` says so, was over then.
fn lived(log: &mut Log, lsid: Lsid, from: Timestamp, until: Option<(Timestamp, EndReason)>) {
    log.now = from;
    log.happen([starting(lsid, ANNA, PC1), established(lsid)]);
    if let Some((until, reason)) = until {
        log.now = until;
        log.happen([ended(lsid, reason)]);
    }
}

async fn index_of(store: &EventStore) -> ReportIndex {
    let index = ReportIndex::open(store).await.expect("an index");
    index.catch_up(u64::MAX).await.expect("it folds");
    index
}

fn lsids(sessions: &[SessionReport]) -> Vec<u128> {
    sessions.iter().map(|session| session.lsid.0).collect()
}

/// What reports find, in the plainest way: each event in its order.
fn fold(log: &Log, until: u64) -> Vec<(Lsid, Timestamp, Option<EndReason>)> {
    let mut sessions: Vec<(Lsid, Option<Timestamp>, Option<EndReason>)> = Vec::new();
    for recorded in log
        .recorded
        .iter()
        .filter(|recorded| recorded.position <= until)
    {
        let Event::AccessSession(lsid, event) = &recorded.event else {
            continue;
        };
        let of = sessions.iter().position(|(other, ..)| other == lsid);
        match (event, of) {
            (Session::Started(_), _) => sessions.push((*lsid, None, None)),
            (Session::Established(_), Some(of)) => sessions[of].1 = Some(recorded.recorded_at),
            (Session::Ended(ended), Some(of)) => sessions[of].2 = Some(ended.reason),
            (Session::Failed(_), Some(of)) => {
                sessions.remove(of);
            }
            (_, None) => {}
        }
    }
    let mut found: Vec<_> = sessions
        .into_iter()
        .filter_map(|(lsid, from, reason)| Some((lsid, from?, reason)))
        .collect();
    found.sort_by_key(|(lsid, from, _)| (*from, *lsid));
    found
}

fn told(sessions: &[SessionReport]) -> Vec<(Lsid, Timestamp, Option<EndReason>)> {
    sessions
        .iter()
        .map(|session| (session.lsid, session.started_at, session.end_reason))
        .collect()
}

/// REP-11, REP-12, REP-13, REP-14, REP-16, REP-17, REP-20, REP-21
#[tokio::test]
async fn intervals_begin_inclusive_and_end_exclusive() {
    let august = JULY.plus(31 * time::DAY);
    let owner = EndReason::Owner;
    for database in TestDatabase::both().await {
        let mut log = log_at(JULY.plus(-10 * time::DAY));
        let before = JULY.plus(-time::HOUR);
        lived(&mut log, Lsid(1), before, Some((JULY.plus(-1), owner)));
        lived(&mut log, Lsid(2), before, Some((JULY, owner)));
        lived(
            &mut log,
            Lsid(3),
            JULY,
            Some((august.plus(-1), EndReason::Endpoint)),
        );
        lived(
            &mut log,
            Lsid(4),
            august.plus(-1),
            Some((august, EndReason::Api)),
        );
        lived(&mut log, Lsid(5), august, None);
        lived(&mut log, Lsid(6), JULY.plus(time::DAY), None);
        let lost = (JULY.plus(3 * time::DAY), EndReason::AgentLost);
        lived(&mut log, Lsid(7), JULY.plus(2 * time::DAY), Some(lost));
        let store = database.open().await;
        // The story is told session by session; the log does not mind the times.
        log.append_all(&store).await;
        let index = index_of(&store).await;
        let started = |interval| SessionQuery::StartedIn(interval);
        let ended = |interval| SessionQuery::EndedIn(interval);
        let eight = JULY.plus(8 * time::HOUR);
        // rule, query, sessions by start
        let table: [(&str, SessionQuery, &[u128]); 9] = [
            (
                "REP-17: July by start",
                started(Interval::of_days(JULY, 31)),
                &[3, 6, 7, 4],
            ),
            (
                "REP-16: since July",
                started(Interval::of_days(JULY, 0)),
                &[3, 6, 7, 4, 5],
            ),
            (
                "REP-12: one second",
                started(Interval::of_seconds(JULY, 1)),
                &[3],
            ),
            (
                "REP-18: 08:00 to 18:00",
                started(Interval::of_seconds(eight, 36_000)),
                &[],
            ),
            (
                "REP-13, REP-20: July by end",
                ended(Interval::of_days(JULY, 31)),
                &[2, 3],
            ),
            (
                "REP-14: one second by end",
                ended(Interval::of_seconds(JULY, 1)),
                &[2],
            ),
            (
                "REP-16, REP-21: ended since July",
                ended(Interval::of_days(JULY, 0)),
                &[2, 3, 4],
            ),
            (
                "REP-13: none ended",
                ended(Interval::of_days(august.plus(time::DAY), 9)),
                &[],
            ),
            (
                "everything",
                SessionQuery::everything(),
                &[1, 2, 3, 6, 7, 4, 5],
            ),
        ];
        for (rule, query, expected) in table {
            let found = index.sessions(&query).await.expect("sessions");
            assert_eq!(lsids(&found), expected, "{rule} on {}", database.kind());
            let listed = index.listing(&query, None, 100).await.expect("a listing");
            let listed: Vec<u128> = listed.iter().map(|summary| summary.lsid.0).collect();
            assert_eq!(listed, expected, "{rule} on {}", database.kind());
        }
        store.close().await;
    }
}

/// REP-23
#[tokio::test]
async fn sessions_are_found_by_id_and_unknown_ids_are_left_out() {
    for database in TestDatabase::both().await {
        let mut log = log_at(JULY);
        for id in 1..=4_u8 {
            let from = JULY.plus(i64::from(10 - id) * time::HOUR);
            lived(&mut log, Lsid(u128::from(id)), from, None);
        }
        log.happen([starting(Lsid(9), ANNA, PC1)]);
        let store = database.open().await;
        log.append_all(&store).await;
        let index = index_of(&store).await;
        let query = SessionQuery::Lsids([1, 9, 3, 77, 3, 4].map(Lsid).to_vec());
        let found = index.sessions(&query).await.expect("sessions");
        assert_eq!(
            lsids(&found),
            [4, 3, 1],
            "by start, each once, on {}",
            database.kind()
        );
        let first = index.page(&query, None, 2).await.expect("a page");
        let rest = index
            .page(&query, first.last().map(SessionReport::page_key), 2)
            .await
            .expect("a page");
        assert_eq!((lsids(&first), lsids(&rest)), (vec![4, 3], vec![1]));
        let none = SessionQuery::Lsids(vec![Lsid(77)]);
        assert_eq!(index.sessions(&none).await.expect("sessions"), []);
        store.close().await;
    }
}

/// REP-26, REP-28, REP-30, REP-38, REP-39, REP-40, REP-44, REP-48, REP-49, REP-54, REP-87
#[tokio::test]
async fn a_report_tells_a_session_as_it_was() {
    for database in TestDatabase::both().await {
        let mut log = log_at(JULY);
        log.happen([starting(FIRST, ANNA, PC1)]);
        let Some(Event::AccessSession(_, Session::Started(started))) =
            log.recorded.last().map(|recorded| recorded.event.clone())
        else {
            panic!("it began to start");
        };
        log.wait(3 * time::SECOND);
        log.happen([established(FIRST)]);
        let store = database.open().await;
        log.append_all(&store).await;
        let index = index_of(&store).await;
        let everything = SessionQuery::everything();
        let running = index.sessions(&everything).await.expect("sessions");
        let [running] = running.as_slice() else {
            panic!("one session runs");
        };
        let up = JULY.plus(3 * time::SECOND);
        assert_eq!(
            (running.started_at, running.ended_at, running.over_at),
            (up, None, None)
        );
        assert_eq!(running.seconds(up.plus(25 * time::HOUR)), 90_000);
        assert!(!running.is_abnormal());
        assert_eq!(running.details.len(), 4);

        log.wait(time::HOUR);
        log.happen([ended(FIRST, EndReason::Owner)]);
        log.append_all(&store).await;
        index.catch_up(u64::MAX).await.expect("it folds");
        let over = index.sessions(&everything).await.expect("sessions");
        let [over] = over.as_slice() else {
            panic!("one session ended");
        };
        let end = up.plus(time::HOUR);
        assert_eq!(
            (over.started_at, over.ended_at, over.over_at),
            (up, Some(end), Some(end))
        );
        assert_eq!(over.seconds(end.plus(time::DAY)), 3_600);
        assert_eq!(
            (over.lseq, over.item),
            (started.lseq, JumpItemRef::JumpClient(PC1))
        );
        assert_eq!(
            (over.group, &over.group_name),
            (started.group, &started.group_name)
        );
        assert_eq!(over.customer, started.customer);
        assert_eq!(over.owner_id(), Some(ANNA));
        let [member] = over.members.as_slice() else {
            panic!("one took part");
        };
        assert_eq!(member.representative, started.representative);
        assert_eq!(member.seconds_involved(end.plus(time::DAY)), 3_600);

        let told: Vec<(&str, &str, u32, Option<&str>)> = over
            .details
            .iter()
            .map(|detail| {
                let to = detail.destination.as_ref().map(|entity| entity.kind.word());
                let by = &detail.performed_by;
                (detail.event_type, by.kind.word(), by.gsnumber, to)
            })
            .collect();
        let customer = started.customer.gsnumber;
        let user = started.representative.gsnumber;
        assert_eq!(
            told,
            [
                ("Session Start", "system", 0, None),
                (
                    "Conference Member Added",
                    "system",
                    0,
                    Some("representative")
                ),
                (
                    "Conference Owner Changed",
                    "system",
                    0,
                    Some("representative")
                ),
                ("Conference Member Added", "system", 0, Some("customer")),
                ("Conference Member Departed", "representative", user, None),
                ("Conference Member Departed", "customer", customer, None),
                ("Session End", "system", 0, None),
            ]
        );
        assert!(over.details.is_sorted_by_key(|detail| detail.at));
        let names = |index: usize| -> Vec<&str> {
            over.details[index]
                .data
                .iter()
                .map(|(name, _)| *name)
                .collect()
        };
        assert_eq!(
            names(1),
            [
                "private_name",
                "username",
                "private_ip",
                "public_ip",
                "os",
                "user_id"
            ]
        );
        assert_eq!(names(2), ["owner"]);
        assert_eq!(
            names(3),
            ["name", "private_ip", "public_ip", "hostname", "os"]
        );
        let owner = over.details[2].destination.clone().expect("someone");
        assert_eq!(owner.kind, EntityKind::Representative);
        assert_eq!(over.details[2].data, [("owner", owner.name.into_owned())]);
        store.close().await;
    }
}

/// REP-28
#[tokio::test]
async fn a_session_whose_agent_was_lost_has_no_end_time() {
    let database = TestDatabase::sqlite();
    let mut log = log_at(JULY);
    let lost = (JULY.plus(time::HOUR), EndReason::AgentLost);
    lived(&mut log, FIRST, JULY, Some(lost));
    let store = database.open().await;
    log.append_all(&store).await;
    let index = index_of(&store).await;
    let sessions = index
        .sessions(&SessionQuery::everything())
        .await
        .expect("sessions");
    assert_eq!(sessions[0].ended_at, None);
    assert_eq!(sessions[0].over_at, Some(JULY.plus(time::HOUR)));
    assert!(sessions[0].is_abnormal());
    assert_eq!(sessions[0].seconds(JULY.plus(time::DAY)), 3_600);
    store.close().await;
}

#[tokio::test]
async fn what_never_came_up_is_no_session() {
    for database in TestDatabase::both().await {
        let mut log = log_at(JULY);
        log.happen([starting(Lsid(1), ANNA, PC1), failed(Lsid(1))]);
        log.happen([
            starting(Lsid(2), ANNA, PC1),
            ended(Lsid(2), EndReason::ItemDeleted),
        ]);
        log.happen([starting(Lsid(3), ANNA, PC1)]);
        let store = database.open().await;
        log.append_all(&store).await;
        let index = index_of(&store).await;
        assert_eq!(
            index
                .sessions(&SessionQuery::everything())
                .await
                .expect("sessions"),
            []
        );
        // Over two batches as well.
        log.happen([failed(Lsid(3))]);
        log.append_all(&store).await;
        index.catch_up(u64::MAX).await.expect("it folds");
        assert_eq!(
            index
                .sessions(&SessionQuery::everything())
                .await
                .expect("sessions"),
            []
        );
        store.close().await;
    }
}

/// A story with `count` sessions, of which some run, some are over, some failed, between other events.
fn busy(count: u32) -> Log {
    let mut log = log_at(JULY);
    log.happen([installer(INSTALLER, SHARED, |_| {})]);
    for id in 1..=count {
        let lsid = Lsid(u128::from(id.wrapping_mul(2_654_435_761)) << 64 | u128::from(id));
        let pc = JumpClientId(id);
        log.happen(client(pc, SHARED));
        log.wait(time::SECOND);
        log.happen([starting(lsid, ANNA, pc)]);
        log.wait(time::SECOND);
        match id % 5 {
            0 => log.happen([failed(lsid)]),
            1 => log.happen([established(lsid)]),
            // Many begin in the same instant.
            2 => {
                log.now = JULY.plus(time::DAY);
                log.happen([established(lsid)]);
            }
            3 => log.happen([established(lsid), ended(lsid, EndReason::AgentLost)]),
            _ => {
                log.happen([established(lsid)]);
                log.wait(time::MINUTE);
                log.happen([ended(lsid, EndReason::Endpoint)]);
            }
        }
    }
    log
}

#[tokio::test]
async fn pages_give_each_session_once_in_the_order_of_the_whole() {
    for database in TestDatabase::both().await {
        let mut log = busy(120);
        let store = database.open().await;
        log.append_all(&store).await;
        let index = index_of(&store).await;
        let everything = SessionQuery::everything();
        let all = index.sessions(&everything).await.expect("sessions");
        assert_eq!(told(&all), fold(&log, log.position()));
        let ended = SessionQuery::EndedIn(Interval::of_days(JULY, 0));
        let all_ended = index.sessions(&ended).await.expect("sessions");
        assert_eq!(all_ended.len(), 24);
        for (query, whole) in [(everything, all), (ended, all_ended)] {
            for size in [1, 7, 500] {
                let mut after: Option<PageKey> = None;
                let mut read = Vec::new();
                let mut listed = Vec::new();
                loop {
                    let page = index.page(&query, after, size).await.expect("a page");
                    let list = index.listing(&query, after, size).await.expect("a listing");
                    after = page.last().map(SessionReport::page_key);
                    assert_eq!(list.last().map(|summary| summary.page_key()), after);
                    let last = page.len() < size;
                    read.extend(page);
                    listed.extend(list.into_iter().map(|summary| summary.lsid.0));
                    if last {
                        break;
                    }
                }
                assert_eq!(read, whole, "pages of {size} on {}", database.kind());
                assert_eq!(
                    listed,
                    lsids(&whole),
                    "pages of {size} on {}",
                    database.kind()
                );
            }
        }
        store.close().await;
    }
}

/// Starts following; give `true` to stop, and await the rest.
fn follow(
    index: &ReportIndex,
) -> (
    watch::Sender<bool>,
    tokio::task::JoinHandle<Result<(), ReportError>>,
) {
    let (stop, shutdown) = watch::channel(false);
    let index = index.clone();
    let task = tokio::spawn(async move { index.follow(shutdown).await });
    (stop, task)
}

#[tokio::test]
async fn two_nodes_follow_at_once_and_each_reads_what_was_written_before() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        // In SQLite a second node is a second index on the one log.
        let other_store = match database.kind() {
            "PostgreSQL" => database.open().await,
            _ => store.clone(),
        };
        let one = ReportIndex::open(&store).await.expect("an index");
        let other = ReportIndex::open(&other_store).await.expect("an index");
        let following = [follow(&one), follow(&other)];
        let mut log = busy(60);
        while log.position() > *store.watch_head().borrow() {
            log.append(&store, 7).await;
            let head = *store.watch_head().borrow();
            for index in [&one, &other] {
                index.wait_for(head, SOON).await.expect("both get there");
                let sessions = index
                    .sessions(&SessionQuery::everything())
                    .await
                    .expect("sessions");
                assert_eq!(
                    told(&sessions),
                    fold(&log, head),
                    "at {head} on {}",
                    database.kind()
                );
            }
        }
        for (stop, task) in following {
            stop.send_replace(true);
            task.await
                .expect("no panic")
                .expect("it followed to the end");
        }
        assert_eq!(one.bookmark().await.expect("a bookmark"), log.position());
        store.close().await;
        if database.kind() == "PostgreSQL" {
            other_store.close().await;
        }
    }
}

#[tokio::test]
async fn rows_and_bookmark_agree_wherever_a_fold_breaks_off() {
    for database in TestDatabase::both().await {
        let mut log = busy(1_200);
        let store = database.open().await;
        log.append_all(&store).await;
        for round in 0..12_u64 {
            let index = ReportIndex::open(&store).await.expect("an index");
            let folding = {
                let index = index.clone();
                tokio::spawn(async move { index.catch_up(u64::MAX).await })
            };
            tokio::time::sleep(Duration::from_micros(700 * round * round)).await;
            folding.abort();
            let _ = folding.await;
            let index = ReportIndex::open(&store).await.expect("an index");
            let bookmark = index.bookmark().await.expect("a bookmark");
            let sessions = index
                .sessions(&SessionQuery::everything())
                .await
                .expect("sessions");
            assert_eq!(
                told(&sessions),
                fold(&log, bookmark),
                "at {bookmark} on {}",
                database.kind()
            );
        }
        let index = index_of(&store).await;
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!(told(&sessions), fold(&log, log.position()));
        store.close().await;
    }
}

#[tokio::test]
async fn a_rebuild_equals_what_it_replaces_and_is_switched_to() {
    for database in TestDatabase::both().await {
        let mut log = busy(80);
        let store = database.open().await;
        log.append(&store, 200).await;
        let index = ReportIndex::open(&store).await.expect("an index");
        let (stop, task) = follow(&index);
        index.wait_for(200, SOON).await.expect("it gets there");
        let before = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");

        let mut steps = Vec::new();
        let reached = ReportIndex::rebuild(&store, |position| steps.push(position)).await;
        assert_eq!(reached.expect("rebuilt"), 200);
        assert_eq!(steps.last(), Some(&200));
        let anew = ReportIndex::open(&store).await.expect("an index");
        assert_eq!(anew.bookmark().await.expect("a bookmark"), 200);
        assert_eq!(
            anew.sessions(&SessionQuery::everything())
                .await
                .expect("sessions"),
            before
        );

        // The one that follows goes on, and switches without a gap.
        log.append_all(&store).await;
        index
            .wait_for(log.position(), SOON)
            .await
            .expect("it gets there");
        let whole = fold(&log, log.position());
        let switched = async {
            loop {
                let sessions = index
                    .sessions(&SessionQuery::everything())
                    .await
                    .expect("sessions");
                assert_eq!(told(&sessions), whole);
                if index.generation() > 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, switched)
            .await
            .expect("it switches");
        stop.send_replace(true);
        task.await
            .expect("no panic")
            .expect("it followed to the end");
        let stopped_site = ReportIndex::rebuild(&store, |_| {}).await.expect("rebuilt");
        assert_eq!(stopped_site, log.position());
        let index = ReportIndex::open(&store).await.expect("an index");
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!((index.generation(), told(&sessions)), (3, whole));
        store.close().await;
    }
}

#[tokio::test]
async fn a_rebuild_that_broke_off_is_not_read() {
    for database in TestDatabase::both().await {
        let mut log = busy(1_200);
        let store = database.open().await;
        log.append_all(&store).await;
        let whole = told(
            &index_of(&store)
                .await
                .sessions(&SessionQuery::everything())
                .await
                .expect("sessions"),
        );
        let breaking = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut first = true;
                ReportIndex::rebuild(&store, move |_| {
                    assert!(
                        std::mem::take(&mut first),
                        "the power fails after the first batch"
                    );
                })
                .await
            })
        };
        assert!(breaking.await.is_err(), "it broke off");
        let index = ReportIndex::open(&store).await.expect("an index");
        assert_eq!(index.generation(), 1);
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!(told(&sessions), whole);
        ReportIndex::rebuild(&store, |_| {}).await.expect("rebuilt");
        let index = ReportIndex::open(&store).await.expect("an index");
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!((index.generation(), told(&sessions)), (3, whole));
        store.close().await;
    }
}

#[tokio::test]
async fn waiting_ends_with_how_far_it_is() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let mut log = busy(3);
    log.append_all(&store).await;
    let index = ReportIndex::open(&store).await.expect("an index");
    let behind = index
        .wait_for(5, Duration::from_millis(1))
        .await
        .expect_err("nobody folds");
    assert_eq!(
        (behind.reached, behind.wanted, behind.stopped),
        (0, 5, None)
    );
    let (stop, task) = follow(&index);
    index
        .wait_for(log.position(), SOON)
        .await
        .expect("it gets there");
    drop(stop);
    task.await
        .expect("no panic")
        .expect("nobody wants it any more");
    store.close().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stops_the_index_before_it() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut log = log_at(JULY);
        lived(&mut log, FIRST, JULY, None);
        log.append_all(&store).await;
        let index = ReportIndex::open(&store).await.expect("an index");
        let (_stop, task) = follow(&index);
        index
            .wait_for(log.position(), SOON)
            .await
            .expect("it gets there");
        let unknown = StreamAppend {
            stream: format!("access_session-{FIRST}"),
            expected: ExpectedRevision::Any,
            events: vec![NewEvent {
                id: Uuid::from_u128(1),
                event_type: "AccessSessionDreamt".into(),
                data: b"{}".to_vec(),
                meta: serde_json::to_vec(&domain::Cause::timer()).expect("a cause"),
            }],
        };
        store
            .append(vec![unknown], Vec::new(), JULY.0)
            .await
            .expect("appended");
        let position = log.position() + 1;
        let error = task.await.expect("no panic").expect_err("it stops");
        assert!(matches!(&error, ReportError::Unreadable(event) if event.position == position));
        let behind = index
            .wait_for(position, SOON)
            .await
            .expect_err("it has stopped");
        assert_eq!(behind.reached, log.position());
        let words = behind.to_string();
        assert!(
            words.contains("AccessSessionDreamt") && words.contains(&position.to_string()),
            "{words}"
        );
        assert_eq!(index.bookmark().await.expect("a bookmark"), log.position());
        assert!(ReportIndex::rebuild(&store, |_| {}).await.is_err());
        assert_eq!(
            ReportIndex::open(&store)
                .await
                .expect("an index")
                .generation(),
            1
        );
        store.close().await;
    }
}

#[tokio::test]
async fn an_index_of_another_log_begins_anew() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let mut log = busy(20);
    log.append_all(&store).await;
    index_of(&store).await;
    store.close().await;
    let eventstore::Location::Sqlite { directory } = database.location() else {
        panic!("a directory");
    };
    for file in ["log.db", "log.db-wal", "log.db-shm"] {
        let _ = std::fs::remove_file(directory.join(file));
    }
    let store = database.open().await;
    let mut other = log_at(JULY.plus(time::DAY));
    lived(&mut other, FIRST, JULY.plus(2 * time::DAY), None);
    while other.position() < log.position() {
        other.happen([person(ANNA)]);
    }
    other.append_all(&store).await;
    let index = index_of(&store).await;
    let sessions = index
        .sessions(&SessionQuery::everything())
        .await
        .expect("sessions");
    assert_eq!(lsids(&sessions), [FIRST.0]);
    store.close().await;
}

#[tokio::test]
async fn an_index_that_is_dropped_under_a_running_node_comes_back() {
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    let mut log = busy(30);
    log.append(&store, 60).await;
    let index = ReportIndex::open(&store).await.expect("an index");
    let (stop, task) = follow(&index);
    index.wait_for(60, SOON).await.expect("it gets there");
    for (name, number) in store.list_views().await.expect("a list") {
        store.drop_view(&name, number).await.expect("dropped");
    }
    log.append_all(&store).await;
    index
        .wait_for(log.position(), SOON)
        .await
        .expect("it gets there again");
    let sessions = index
        .sessions(&SessionQuery::everything())
        .await
        .expect("sessions");
    assert_eq!(told(&sessions), fold(&log, log.position()));
    stop.send_replace(true);
    task.await
        .expect("no panic")
        .expect("it followed to the end");
    store.close().await;
}

/// The whole way: decided, appended, folded, told.
#[tokio::test]
async fn a_jump_that_was_decided_is_told() {
    for database in TestDatabase::both().await {
        let mut log = Log::begun();
        log.happen([
            group(WEB_SERVERS, "Web Servers"),
            installer(INSTALLER, SHARED, |_| {}),
        ]);
        log.happen(client(PC1, SHARED));
        let events = log.ask(ADMIN, domain::testing::start(ADMIN, PC1));
        let Some(Event::AccessSession(lsid, _)) = events.first().cloned() else {
            panic!("it starts: {events:?}");
        };
        let establish = access_session::Command::Establish { lsid, client: PC1 };
        log.ask(PC1, establish);
        let link = LinkId {
            node: NODE,
            connection: 1,
        };
        let reason = "left".to_owned();
        log.ask(
            PC1,
            jump_client::Command::Disconnect {
                client: PC1,
                link,
                reason,
            },
        );
        log.wait(time::HOUR);
        log.ask(Actor::System, access_session::Command::Abandon { lsid });
        let store = database.open().await;
        log.append_all(&store).await;
        let index = index_of(&store).await;
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!(lsids(&sessions), [lsid.0]);
        assert_eq!(sessions[0].group, JumpGroupRef::Shared(WEB_SERVERS));
        assert_eq!(sessions[0].group_name, "Web Servers");
        assert_eq!(sessions[0].end_reason, Some(EndReason::AgentLost));
        store.close().await;
    }
}
