//! A site with a group, a policy, an installer and a user, and its views.

use domain::access::role;
use domain::fleet::jump_client;
use domain::ids::{JumpClientId, LinkId};
use domain::policy::schedule::ScheduleEntry;
use domain::testing::{
    ANNA, INSTALLER, NODE, SHARED, THURSDAYS, WEB_SERVERS, group, installer, member_under, person,
    policy, schedule,
};
use domain::{Event, Timestamp, node};
use projections::Views;

use super::Log;

/// Open every day from `start`, for `hours`, of at most 20.
pub(crate) fn open_daily(start: u16, hours: u16) -> Vec<ScheduleEntry> {
    (0..7)
        .map(|day| ScheduleEntry {
            start_day: day,
            start_minute: start,
            end_day: day,
            end_minute: start + hours.min(20) * 60,
        })
        .collect()
}

pub(crate) fn story() -> Log {
    let mut log = Log::begun();
    log.happen([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
        schedule(THURSDAYS, "Europe/Berlin", &open_daily(60, 20)),
        installer(INSTALLER, SHARED, |installer| {
            installer.allow_override_tag = true;
            installer.expiration_timestamp = Timestamp(i64::MAX);
        }),
        member_under(WEB_SERVERS, ANNA, role::ADMINISTRATOR, THURSDAYS),
    ]);
    log
}

pub(crate) fn fold_batch(views: &Views, log: &Log) {
    let from = usize::try_from(views.bookmark()).expect("small");
    for recorded in &log.recorded[from..] {
        views.apply(recorded, &log.world);
    }
}

/// A log with these events behind a begun one, and the views of it.
pub(crate) fn with(events: impl IntoIterator<Item = Event>) -> (Log, Views) {
    let mut log = story();
    log.happen(events);
    let views = Views::default();
    fold_batch(&views, &log);
    (log, views)
}

pub(crate) fn happen(log: &mut Log, views: &Views, events: impl IntoIterator<Item = Event>) {
    log.happen(events);
    fold_batch(views, log);
}

pub(crate) fn disconnected(client: JumpClientId) -> Event {
    let link = LinkId {
        node: NODE,
        connection: u64::from(client.0),
    };
    let reason = "left".to_owned();
    Event::JumpClient(
        client,
        jump_client::Event::Disconnected(jump_client::Disconnected { link, reason }),
    )
}

pub(crate) fn stopped() -> Event {
    let reason = node::StopReason::Silent;
    Event::Node(NODE, node::Event::Stopped(node::Stopped { reason }))
}
