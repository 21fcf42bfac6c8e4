//! People who approve, deny, revoke, start and delete in the instant a schedule ends: whatever order the log gives them, a
//! plain reference that reads it afterwards finds nothing that the rules forbid.

use std::collections::{BTreeMap, BTreeSet};

use domain::fleet::jump_client;
use domain::ids::{AccessRequestId, JumpClientId, JumpItemRef, JumpPolicyId, Lsid, UserId};
use domain::policy::access_request::{self, Submit};
use domain::policy::jump_policy;
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::session::access_session::{self, EndReason, Start};
use domain::site::settings::SETTINGS;
use domain::site::user;
use domain::time::{DAY, HOUR, MINUTE};
use domain::{Actor, Cause, Command, Event, Timestamp, record};
use engine::{Done, ExecuteError, Lane, Submission};
use eventstore::testing::TestDatabase;
use futures_util::future::join_all;
use projections::Recorded;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{
    ADMINISTRATOR, How, INSTALLER, SOON, Site, assert_as_the_log, everything, object, on_both,
    register,
};

/// Days that the races go on; each has orders of its own.
const DAYS: i64 = 8;
/// Items that are raced for each day.
const ITEMS: u64 = 60;
/// A colleague of the administrator.
const BERT: UserId = UserId(2);
const POLICY: JumpPolicyId = JumpPolicyId(1);
/// The schedule is open from 08:00 until then.
const CLOSES: i64 = 17 * HOUR;
/// Two in the afternoon, when requests are made; their windows are over at 19:00.
const ASKED_AT: i64 = 14 * HOUR;
const WINDOW_SECONDS: u32 = 5 * 3_600;

/// APPR-13, APPR-14, APPR-22, APPR-30, APPR-34, POL-11, POL-17
#[tokio::test(flavor = "multi_thread")]
async fn slow_every_order_of_a_race_ends_as_the_rules_allow() {
    on_both(async |database| {
        let site = site(database).await;
        let (_lease, held) = watch::channel(true);
        site.engine.serve_due_dates(held);
        let mut chance = StdRng::seed_from_u64(7);
        let midnight = Timestamp(site.engine.clock().now().0 / DAY * DAY);
        for day in 0..DAYS {
            race(&site, midnight.plus(day * DAY), day, &mut chance).await;
        }
        let log = everything(&site.store).await;
        let mut reference = Reference::default();
        for recorded in &log {
            reference.read(recorded);
        }
        reference.assert_all_is_over();
        reference.assert_everything_was_tried();
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

/// A site whose machines are under a policy with approval by two addresses and a schedule that ends sessions.
async fn site(database: &TestDatabase) -> Site {
    let site = Site::with_fleet(database, How::default()).await;
    let both = json!({"schedule_with_approval_allowed": true});
    site.run(Command::SiteSettings(record::Command::Change(
        SETTINGS,
        object(both),
    )))
    .await;
    let bert = json!({
        "username": "bert",
        "public_display_name": "Bert",
        "password": "3".repeat(32),
        "perm_access_allowed": "full_support",
        "perm_jump_client": true,
        "unassigned_jump_item_role_id": 2,
    });
    let bert = record::Command::Create(object(bert));
    site.run(Command::User(user::Command::Record(bert))).await;
    let policy = json!({
        "display_name": "Business hours, approved",
        "schedule_enabled": false,
        "approval_required": true,
        "approval_display_name": "Manager",
        "approval_scope": "anyone",
        "approval_email_addresses": ["boss@example.com", "deputy@example.com"],
    });
    let policy = record::Command::Create(object(policy));
    site.run(Command::JumpPolicy(jump_policy::Command::Record(policy)))
        .await;
    let entries = (0..7).map(|day| ScheduleEntry {
        start_day: day,
        start_minute: 8 * 60,
        end_day: day,
        end_minute: 17 * 60,
    });
    let schedule = Schedule {
        entries: entries.collect(),
        ..Schedule::default()
    };
    site.run(Command::JumpPolicy(jump_policy::Command::SetSchedule(
        POLICY, schedule,
    )))
    .await;
    let strict = json!({"schedule_enabled": true, "schedule_strict": true});
    let strict = record::Command::Change(POLICY, object(strict));
    site.run(Command::JumpPolicy(jump_policy::Command::Record(strict)))
        .await;
    site.run(Command::JumpClientInstaller(record::Command::Change(
        INSTALLER,
        object(json!({"jump_policy_id": POLICY})),
    )))
    .await;
    site
}

/// One day: requests for some machines, everything about them at once while the schedule ends, and the evening.
async fn race(site: &Site, midnight: Timestamp, day: i64, chance: &mut StdRng) {
    site.clock.set(midnight.plus(ASKED_AT));
    let mut orders = Vec::new();
    for number in 1..=ITEMS {
        let done = site.run(register(day as u64 * ITEMS + number)).await;
        let client = registered(&done);
        let item = JumpItemRef::JumpClient(client);
        let submit = access_request::Command::Submit(Submit {
            user: ADMINISTRATOR,
            item,
            reason: "a race".to_owned(),
            start_at: midnight.plus(ASKED_AT),
            duration_seconds: WINDOW_SECONDS,
        });
        let done = ask(site, ADMINISTRATOR_ASKS, Command::AccessRequest(submit))
            .await
            .expect("the request is taken");
        orders.extend(orders_of(client, submitted(&done), number));
    }
    orders.shuffle(chance);
    // The schedule ends in the midst of them; every other day only when those before are done, so that some sessions are up by
    // then on whatever machine this is.
    let late = orders.split_off(orders.len() * 2 / 3);
    site.clock.set(midnight.plus(CLOSES - MINUTE));
    let closes = midnight.plus(CLOSES);
    let all = |orders: Vec<Order>| {
        join_all(
            orders
                .into_iter()
                .map(|order| carry_out(site, order, closes)),
        )
    };
    orders.push(Order::Leap);
    if day % 2 == 0 {
        orders.extend(late);
        all(orders).await;
    } else {
        let leap = orders.pop();
        all(orders).await;
        all(leap.into_iter().chain(late).collect()).await;
    }
    settle(site, "the sessions end", |site| {
        site.engine.published().world.sessions.is_empty()
    })
    .await;
    site.clock.set(midnight.plus(20 * HOUR));
    settle(site, "the requests are over", |site| {
        site.engine.published().world.access_requests.is_empty()
    })
    .await;
}

const ADMINISTRATOR_ASKS: Actor = Actor::User(ADMINISTRATOR);

/// One who races.
enum Order {
    Approve(AccessRequestId),
    Deny(AccessRequestId),
    /// By the requester, or by somebody whom the approval is good for as well.
    Cancel(AccessRequestId, UserId),
    Start(JumpClientId, UserId),
    Delete(JumpClientId),
    /// The clock shows the end of the schedule.
    Leap,
}

fn orders_of(client: JumpClientId, request: AccessRequestId, number: u64) -> Vec<Order> {
    let mut orders = vec![
        Order::Approve(request),
        Order::Start(client, ADMINISTRATOR),
        Order::Start(client, BERT),
        Order::Start(client, ADMINISTRATOR),
    ];
    if number.is_multiple_of(2) {
        orders.push(Order::Deny(request));
    }
    if number.is_multiple_of(3) {
        orders.push(Order::Cancel(request, ADMINISTRATOR));
    }
    if number.is_multiple_of(5) {
        orders.push(Order::Cancel(request, BERT));
    }
    if number.is_multiple_of(4) {
        orders.push(Order::Delete(client));
    }
    orders
}

async fn carry_out(site: &Site, order: Order, closes: Timestamp) {
    let outcome = match order {
        Order::Leap => {
            // Behind what is before it in the lanes, and in front of the rest.
            let nothing = access_request::Command::Cancel {
                request: AccessRequestId(0),
            };
            let refused = ask(site, ADMINISTRATOR_ASKS, Command::AccessRequest(nothing)).await;
            site.clock.set(closes);
            refused
        }
        Order::Approve(request) => {
            let command = access_request::Command::Approve {
                request,
                comment: "go on".to_owned(),
                speaking_for: None,
            };
            ask(
                site,
                Actor::Approver { request, index: 0 },
                Command::AccessRequest(command),
            )
            .await
        }
        Order::Deny(request) => {
            let command = access_request::Command::Deny {
                request,
                comment: String::new(),
                speaking_for: None,
            };
            ask(
                site,
                Actor::Approver { request, index: 1 },
                Command::AccessRequest(command),
            )
            .await
        }
        Order::Cancel(request, user) => {
            let command = access_request::Command::Cancel { request };
            ask(site, Actor::User(user), Command::AccessRequest(command)).await
        }
        Order::Delete(client) => {
            let command = Command::JumpClient(jump_client::Command::Delete(client));
            ask(site, ADMINISTRATOR_ASKS, command).await
        }
        Order::Start(client, user) => start(site, client, user).await,
    };
    if let Err(error) = outcome {
        assert!(
            matches!(error, ExecuteError::Refused { .. }),
            "an order is carried out or refused, but: {error}"
        );
    }
}

/// Starts a session, and brings it up as its agent would.
async fn start(site: &Site, client: JumpClientId, user: UserId) -> Result<Done, ExecuteError> {
    let start = Start::new(
        user,
        JumpItemRef::JumpClient(client),
        "192.0.2.9".to_owned(),
        "Unknown".to_owned(),
    );
    let command = Command::AccessSession(access_session::Command::Start(start));
    let done = ask(site, Actor::User(user), command).await?;
    let lsid = done.events.iter().find_map(|event| match event {
        Event::AccessSession(lsid, access_session::Event::Started(_)) => Some(*lsid),
        _ => None,
    });
    let lsid = lsid.expect("what is accepted has started");
    let command = Command::AccessSession(access_session::Command::Establish { lsid, client });
    ask(site, Actor::JumpClient(client), command).await
}

async fn ask(site: &Site, actor: Actor, command: Command) -> Result<Done, ExecuteError> {
    let submission = Submission::new(command, Cause::program(actor), Lane::People);
    site.engine.execute(submission).await
}

async fn settle(site: &Site, what: &str, is_so: impl Fn(&Site) -> bool) {
    let mut position = site.engine.watch_position();
    let settled = async {
        loop {
            position.borrow_and_update();
            if is_so(site) {
                return;
            }
            position.changed().await.expect("the engine runs");
        }
    };
    tokio::time::timeout(SOON, settled)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

fn registered(done: &Done) -> JumpClientId {
    let client = done.events.iter().find_map(|event| match event {
        Event::JumpClient(id, jump_client::Event::Registered(_)) => Some(*id),
        _ => None,
    });
    client.expect("it is registered")
}

fn submitted(done: &Done) -> AccessRequestId {
    let request = done.events.iter().find_map(|event| match event {
        Event::AccessRequest(id, access_request::Event::Submitted(_)) => Some(*id),
        _ => None,
    });
    request.expect("it is submitted")
}

// --- the reference ---

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    None,
    Approved,
    Denied,
    Cancelled,
}

struct Asked {
    item: JumpItemRef,
    answer: Answer,
    used: bool,
    window: (Timestamp, Timestamp),
}

/// Reads the log in its order and knows the rules in their plainest form.
#[derive(Default)]
struct Reference {
    items: BTreeSet<JumpItemRef>,
    requests: BTreeMap<AccessRequestId, Asked>,
    over: usize,
    running: BTreeMap<Lsid, JumpItemRef>,
    /// A session that began under this request; the next event says so.
    to_be_used: Option<(AccessRequestId, Lsid)>,
    seen: BTreeMap<&'static str, usize>,
}

impl Reference {
    fn read(&mut self, recorded: &Recorded) {
        let at = recorded.decided_at;
        if let Some((request, lsid)) = self.to_be_used.take() {
            assert!(
                matches!(
                    &recorded.event,
                    Event::AccessRequest(id, access_request::Event::Used(used))
                        if *id == request && used.lsid == lsid
                ),
                "the use of request {request} is told with its session"
            );
        }
        match &recorded.event {
            Event::JumpClient(id, jump_client::Event::Registered(_)) => {
                self.items.insert(JumpItemRef::JumpClient(*id));
            }
            Event::JumpClient(id, jump_client::Event::Record(record::Event::Deleted(_))) => {
                self.see("deleted");
                self.items.remove(&JumpItemRef::JumpClient(*id));
            }
            Event::AccessRequest(id, event) => self.read_request(*id, event, at),
            Event::AccessSession(lsid, event) => self.read_session(*lsid, event, at),
            _ => {}
        }
    }

    fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn read_request(&mut self, id: AccessRequestId, event: &access_request::Event, at: Timestamp) {
        use access_request::Event as Told;
        if let Told::Submitted(told) = event {
            let asked = Asked {
                item: told.item,
                answer: Answer::None,
                used: false,
                window: (told.start_at, told.ends_at),
            };
            assert!(self.requests.insert(id, asked).is_none());
            return;
        }
        let asked = self.requests.get_mut(&id).expect("it was made");
        let before = asked.answer;
        let inside = at < asked.window.1;
        let seen = match event {
            Told::Submitted(_) => "submitted",
            Told::Approved(_) => {
                assert_eq!(before, Answer::None, "{id}: only what waits is approved");
                assert!(inside);
                asked.answer = Answer::Approved;
                "approved"
            }
            Told::Denied(_) => {
                assert!(matches!(before, Answer::None | Answer::Approved), "{id}");
                assert!(!asked.used, "{id}: nobody denies what is in use");
                assert!(inside);
                asked.answer = Answer::Denied;
                if before == Answer::Approved {
                    "denied after approval"
                } else {
                    "denied"
                }
            }
            Told::Cancelled(told) => {
                assert!(matches!(before, Answer::None | Answer::Approved), "{id}");
                assert!(
                    told.user == ADMINISTRATOR || before == Answer::Approved,
                    "{id}: another gives up only what is approved"
                );
                asked.answer = Answer::Cancelled;
                if before == Answer::Approved {
                    "revoked"
                } else {
                    "taken back"
                }
            }
            Told::Used(_) => {
                assert_eq!(before, Answer::Approved, "{id}");
                asked.used = true;
                "used"
            }
            Told::Expired(_) | Told::Closed(_) => {
                assert!(!inside, "{id}: its window is not over");
                assert_eq!(
                    matches!(event, Told::Expired(_)),
                    before == Answer::None,
                    "{id}: what was answered is closed, the rest expires"
                );
                self.over += 1;
                "over"
            }
        };
        self.see(seen);
    }

    fn read_session(&mut self, lsid: Lsid, event: &access_session::Event, at: Timestamp) {
        use access_session::Event as Told;
        match event {
            Told::Started(told) => {
                assert!(self.items.contains(&told.item), "{lsid}: its item is gone");
                assert!(
                    at.0.rem_euclid(DAY) < CLOSES,
                    "{lsid}: the schedule is closed"
                );
                let request = told.access_request_id.expect("it needs an approval");
                let asked = &self.requests[&request];
                assert_eq!(asked.item, told.item, "{lsid}");
                assert_eq!(asked.answer, Answer::Approved, "{lsid}");
                assert!(asked.window.0 <= at && at < asked.window.1, "{lsid}");
                let another = self.running.values().any(|item| *item == told.item);
                assert!(!another, "{lsid}: another session runs there");
                self.running.insert(lsid, told.item);
                self.to_be_used = Some((request, lsid));
                self.see("started");
            }
            Told::Failed(_) => {
                assert!(self.running.remove(&lsid).is_some(), "{lsid} fails twice");
            }
            Told::Ended(told) => {
                let item = self.running.remove(&lsid).expect("it ran");
                match told.reason {
                    EndReason::ScheduleClosed => {
                        assert!(at.0.rem_euclid(DAY) >= CLOSES, "{lsid}: ended too early");
                        self.see("ended by the schedule");
                        if !self.items.contains(&item) {
                            self.see("outlived its item");
                        }
                    }
                    other => panic!("{lsid}: nobody ends it so: {other:?}"),
                }
            }
            _ => {}
        }
    }

    fn assert_all_is_over(&self) {
        assert!(self.running.is_empty(), "{:?} still run", self.running);
        assert_eq!(self.requests.len(), self.over, "every request has an end");
        assert_eq!(self.requests.len() as u64, DAYS as u64 * ITEMS);
    }

    /// A race that one side always wins would prove nothing.
    fn assert_everything_was_tried(&self) {
        for what in [
            "approved",
            "denied",
            "denied after approval",
            "taken back",
            "revoked",
            "used",
            "started",
            "deleted",
            "ended by the schedule",
            "outlived its item",
        ] {
            assert!(
                self.seen.contains_key(what),
                "never {what}: {:?}",
                self.seen
            );
        }
    }
}
