//! The report index on both databases: which sessions a report finds, and what it says of them.

mod support;

use domain::fleet::jump_client;
use domain::ids::{JumpGroupRef, JumpItemRef, LinkId, Lsid};
use domain::session::access_session::{self, EndReason, Event as Session};
use domain::testing::{
    ADMIN, ANNA, BERT, FIRST, INSTALLER, NODE, PC1, SHARED, WEB_SERVERS, client, group, installer,
    starting,
};
use domain::{Actor, Event, time};
use eventstore::testing::TestDatabase;
use projections::{EntityKind, Interval, PageKey, SessionQuery, SessionReport};
use support::Log;
use support::sessions::{
    JULY, busy, ended, established, failed, fold, index_of, lived, log_at, lsids, told,
};

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
        let (first, _) = index.page(&query, None, 2).await.expect("a page");
        let (rest, _) = index
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
        let owner = over.owner().map(|member| member.representative.user_id);
        assert_eq!(owner, Some(ANNA));
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
                .map(|(name, _)| name.as_ref())
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
        assert_eq!(
            over.details[2].data,
            [("owner".into(), owner.name.into_owned())]
        );
        store.close().await;
    }
}

/// REP-32, REP-37, REP-40, REP-41, REP-44, REP-48, REP-54, SESS-21: who came and went, and what happened, in its order.
#[tokio::test]
async fn what_happens_in_a_session_is_told_in_its_order() {
    use access_session::{
        AttributesChanged, Departed, Departure, Joined, OwnerChanged, Representative,
    };
    use domain::session::details::{By, Detail, DetailRecorded, File, Kind};

    let bert = Representative {
        user_id: BERT,
        gsnumber: 9,
        username: "bert".to_owned(),
        private_display_name: "Bert B.".to_owned(),
        ..Representative::default()
    };
    let joined = |invited| {
        Session::Joined(Joined {
            representative: bert.clone(),
            invited,
            grant: None,
            jump_policy_id: None,
            access_request_id: None,
        })
    };
    let departed = |user_id, gsnumber| {
        Session::Departed(Departed {
            user_id,
            gsnumber,
            reason: Departure::Left,
            detail: String::new(),
        })
    };
    let chat = Detail {
        body: Some("hello".to_owned()),
        ..Detail::new(Kind::ChatMessage)
    };
    let upload = Detail {
        files: ["a", "b"]
            .map(|name| File {
                name: name.to_owned(),
                size: 3,
            })
            .into(),
        ..Detail::new(Kind::FileUpload)
    };
    let recorded = |by, detail: &Detail| {
        Session::DetailRecorded(DetailRecorded {
            by,
            detail: detail.clone(),
        })
    };
    for database in TestDatabase::both().await {
        let mut log = log_at(JULY);
        let lsid = Lsid(3);
        let happens = |log: &mut Log, event| {
            log.wait(10 * time::SECOND);
            log.happen([Event::AccessSession(lsid, event)]);
        };
        lived(&mut log, lsid, JULY, None);
        happens(&mut log, joined(true));
        happens(&mut log, recorded(By::Member { gsnumber: 9 }, &chat));
        happens(&mut log, recorded(By::Endpoint, &upload));
        happens(&mut log, departed(BERT, 9));
        happens(&mut log, joined(true));
        happens(&mut log, departed(ANNA, 6));
        happens(
            &mut log,
            Session::OwnerChanged(OwnerChanged {
                user_id: BERT,
                gsnumber: 9,
                public_display_name: "Bert".to_owned(),
                private_display_name: "Bert B.".to_owned(),
            }),
        );
        happens(
            &mut log,
            Session::AttributesChanged(AttributesChanged {
                attributes: [("change".to_owned(), Some("C-1".to_owned()))].into(),
                external_key: Some("K-1".to_owned()),
            }),
        );
        log.wait(10 * time::SECOND);
        log.happen([ended(lsid, EndReason::Owner)]);
        let store = database.open().await;
        log.append_all(&store).await;
        let index = index_of(&store).await;
        let query = SessionQuery::everything();
        let found = index.sessions(&query).await.expect("sessions");
        let [session] = found.as_slice() else {
            panic!("{found:?}");
        };
        let types: Vec<(&str, u32)> = session.details[4..]
            .iter()
            .map(|detail| (detail.event_type, detail.performed_by.gsnumber))
            .collect();
        assert_eq!(
            types,
            [
                ("Conference Member Added", 0),
                ("Chat Message", 9),
                ("File Upload", 7),
                ("Conference Member Departed", 9),
                ("Conference Member Added", 0),
                ("Conference Member Departed", 6),
                ("Conference Owner Changed", 0),
                ("Conference Member Departed", 9),
                ("Conference Member Departed", 7),
                ("Session End", 0),
            ]
        );
        let everyone = session.details[5].destination.as_ref().expect("everyone");
        assert_eq!(everyone.kind, EntityKind::Everyone);
        assert_eq!(session.details[5].body.as_deref(), Some("hello"));
        let members: Vec<(u32, bool, bool, i64)> = session
            .members
            .iter()
            .map(|member| {
                let seconds = member.seconds_involved(log.now);
                (
                    member.representative.gsnumber,
                    member.owner,
                    member.invited,
                    seconds,
                )
            })
            .collect();
        assert_eq!(members, [(6, false, false, 60), (9, true, true, 70)]);
        assert_eq!(session.files.transferred, 2);
        assert_eq!(session.attributes["change"], "C-1");
        assert_eq!(session.external_key, "K-1");
        let listed = index.listing(&query, None, 9).await.expect("a listing");
        assert_eq!(listed[0].external_key, "K-1");
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
                    let (page, _) = index.page(&query, after, size).await.expect("a page");
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

/// APPR-33: a request is a row of the history once its window is over, for whom it asked as well where its list of approvers is
/// that of another request; a rebuild gives the same.
#[tokio::test]
async fn requests_whose_window_is_over_are_found_by_right() {
    use domain::ids::{AccessRequestId, JumpPolicyId};
    use domain::policy::access_request::{
        Answered, Approver, Event as Request, Over, Scope, Submitted,
    };
    use projections::{ReportIndex, RequestQuery};

    let submitted = |approvers: Vec<Approver>, of: Option<u32>| Submitted {
        requester: ANNA,
        requester_name: "Anna".to_owned(),
        item: JumpItemRef::JumpClient(PC1),
        item_name: "web01".to_owned(),
        group: SHARED,
        group_name: "Web Servers".to_owned(),
        jump_policy_id: JumpPolicyId(1),
        jump_policy_name: "Asks".to_owned(),
        approvers_name: "Manager".to_owned(),
        language: "en-us".to_owned(),
        scope: Scope::Requestor,
        reason: "disk".to_owned(),
        start_at: JULY,
        ends_at: JULY.plus(time::HOUR),
        approvers,
        approvers_of: of.map(AccessRequestId),
        except: Vec::new(),
    };
    let bert = Approver {
        index: 0,
        address: String::new(),
        user_id: Some(BERT),
        name: "Bert".to_owned(),
    };
    let answered = Answered {
        by: bert.clone(),
        comment: "no".to_owned(),
    };
    let of = |id: u32, event: Request| Event::AccessRequest(AccessRequestId(id), event);
    for database in TestDatabase::both().await {
        let mut log = log_at(JULY);
        log.happen([
            of(1, Request::Submitted(submitted(vec![bert.clone()], None))),
            of(2, Request::Submitted(submitted(Vec::new(), Some(1)))),
            of(3, Request::Submitted(submitted(Vec::new(), Some(1)))),
            of(2, Request::Denied(answered.clone())),
            of(1, Request::Expired(Over {})),
            of(2, Request::Closed(Over {})),
        ]);
        let store = database.open().await;
        log.append_all(&store).await;
        ReportIndex::rebuild(&store, |_| {}).await.expect("rebuilt");
        let index = index_of(&store).await;
        let found = async |query| {
            let (total, found) = index.past_requests(query, 0, 10).await.expect("found");
            assert_eq!(total, found.len());
            let rows = found.into_iter().map(|row| (row.id.0, row.state));
            rows.collect::<Vec<_>>()
        };
        let both = [(2, "denied".to_owned()), (1, "expired".to_owned())];
        assert_eq!(found(RequestQuery::Of(ANNA)).await, both);
        assert_eq!(found(RequestQuery::Asked(BERT)).await, both);
        assert_eq!(found(RequestQuery::All).await, both);
        assert_eq!(found(RequestQuery::Of(BERT)).await, []);
        assert_eq!(found(RequestQuery::Asked(ANNA)).await, []);
        let one = async |id: u32, user| {
            let found = index.past_request(AccessRequestId(id), user).await;
            found.expect("asked")
        };
        let (request, is_asked) = one(2, BERT).await.expect("there");
        assert!(is_asked);
        assert_eq!(
            request.answer.map(|answer| answer.answered),
            Some(answered.clone())
        );
        assert!(!one(2, ADMIN).await.expect("there").1);
        assert_eq!(one(3, ANNA).await, None, "its window is not over");
        store.close().await;
    }
}
