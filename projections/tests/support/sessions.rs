//! Sessions as events, and what a plain fold of them finds.

use std::time::Duration;

use domain::ids::{JumpClientId, Lsid};
use domain::session::access_session::{
    EndReason, Ended, Established, Event as Session, Failed, Failure,
};
use domain::testing::{
    ANNA, INSTALLER, PC1, SHARED, WEB_SERVERS, client, group, installer, person, starting,
};
use domain::{Event, Timestamp, time};
use eventstore::EventStore;
use projections::{ReportError, ReportIndex, SessionReport};
use tokio::sync::watch;

use super::Log;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// 2016-07-01T00:00:00Z, of the guide's examples.
pub(crate) const JULY: Timestamp = Timestamp::from_unix_seconds(1_467_331_200);

pub(crate) fn established(lsid: Lsid) -> Event {
    Event::AccessSession(lsid, Session::Established(Established {}))
}

pub(crate) fn ended(lsid: Lsid, reason: EndReason) -> Event {
    let detail = String::new();
    Event::AccessSession(lsid, Session::Ended(Ended { reason, detail }))
}

pub(crate) fn failed(lsid: Lsid) -> Event {
    let failure = Failure::TimedOut;
    let detail = String::new();
    Event::AccessSession(lsid, Session::Failed(Failed { failure, detail }))
}

/// A log that stands still at `now`.
pub(crate) fn log_at(now: Timestamp) -> Log {
    let mut log = Log::begun();
    log.now = now;
    log.happen([person(ANNA), group(WEB_SERVERS, "Web Servers")]);
    log
}

/// A session that came up at `from` and, if `until` says so, was over then.
pub(crate) fn lived(
    log: &mut Log,
    lsid: Lsid,
    from: Timestamp,
    until: Option<(Timestamp, EndReason)>,
) {
    log.now = from;
    log.happen([starting(lsid, ANNA, PC1), established(lsid)]);
    if let Some((until, reason)) = until {
        log.now = until;
        log.happen([ended(lsid, reason)]);
    }
}

pub(crate) async fn index_of(store: &EventStore) -> ReportIndex {
    let index = ReportIndex::open(store).await.expect("an index");
    index.catch_up(u64::MAX).await.expect("it folds");
    index
}

pub(crate) fn lsids(sessions: &[SessionReport]) -> Vec<u128> {
    sessions.iter().map(|session| session.lsid.0).collect()
}

/// What reports find, in the plainest way: each event in its order.
pub(crate) fn fold(log: &Log, until: u64) -> Vec<(Lsid, Timestamp, Option<EndReason>)> {
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
            // Who comes and goes, and what happens, neither begins nor ends one.
            _ => {}
        }
    }
    let mut found: Vec<_> = sessions
        .into_iter()
        .filter_map(|(lsid, from, reason)| Some((lsid, from?, reason)))
        .collect();
    found.sort_by_key(|(lsid, from, _)| (*from, *lsid));
    found
}

pub(crate) fn told(sessions: &[SessionReport]) -> Vec<(Lsid, Timestamp, Option<EndReason>)> {
    sessions
        .iter()
        .map(|session| (session.lsid, session.started_at, session.end_reason))
        .collect()
}

/// A story with `count` sessions, of which some run, some are over, some failed, between other events.
pub(crate) fn busy(count: u32) -> Log {
    let mut log = log_at(JULY);
    log.happen([installer(INSTALLER, SHARED, |_| {})]);
    for id in 1..=count {
        let lsid = Lsid((u128::from(id.wrapping_mul(2_654_435_761)) << 64) | u128::from(id));
        let pc = JumpClientId(id);
        log.happen(client(pc, SHARED));
        // Many things happen in the same instant.
        if id % 30 == 0 {
            log.wait(time::MINUTE);
        }
        log.happen([starting(lsid, ANNA, pc)]);
        match id % 5 {
            0 => log.happen([failed(lsid)]),
            1 | 2 => log.happen([established(lsid)]),
            3 => log.happen([established(lsid), ended(lsid, EndReason::AgentLost)]),
            _ => {
                log.happen([established(lsid)]);
                if id % 20 == 4 {
                    log.wait(time::SECOND);
                }
                log.happen([ended(lsid, EndReason::Endpoint)]);
            }
        }
    }
    log
}

/// Starts following; give `true` to stop, and await the rest.
pub(crate) fn follow(
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
