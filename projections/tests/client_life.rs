//! A year of Jump Clients: settings that change, offline spells and returns, under a virtual clock that goes from due date
//! to due date. What the timers and the domain make of it is compared with a reference that knows no log, no queue and no
//! index: it looks at every client in every hour of the year.

mod support;

use std::collections::BTreeMap;

use domain::fleet::jump_client::{self, Properties};
use domain::ids::{JumpClientId, LinkId, NodeEpoch};
use domain::site::settings::{SETTINGS, SiteSettings};
use domain::testing::{ADMIN, INSTALLER, MONDAY, NODE, change, register};
use domain::{Actor, Event, Timestamp, node, time};
use projections::Views;
use proptest::prelude::*;
use serde_json::json;
use support::Log;
use support::site::{fold_batch, story};

const CLIENTS: usize = 4;
const HOURS: usize = 365 * 24;

/// What is done in one hour of the year; a client is one of [`CLIENTS`].
#[derive(Clone, Copy, Debug)]
enum Act {
    Come(usize),
    Go(usize),
    NodeFails,
    /// Days until lost, and more days until deleted.
    Days(u32, u32),
    /// Hours offline, 0 for the site's setting.
    OfflineHours(usize, u32),
    Remove(usize),
    Uninstall(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let one = 0..CLIENTS;
    prop_oneof![
        5 => one.clone().prop_map(Act::Come),
        6 => one.clone().prop_map(Act::Go),
        1 => Just(Act::NodeFails),
        2 => (1..40_u32, 1..60_u32).prop_map(|(lost, more)| Act::Days(lost, more)),
        2 => (one.clone(), 0..400_u32).prop_map(|(one, hours)| Act::OfflineHours(one, hours)),
        1 => one.clone().prop_map(Act::Remove),
        1 => one.prop_map(Act::Uninstall),
    ]
}

/// What happened to whom by itself, in which hour.
type Happened = Vec<(usize, JumpClientId, &'static str)>;

/// What is left at the end of the year: who is there, and when it would be deleted.
type Left = BTreeMap<JumpClientId, Option<usize>>;

// --- the reference ---

#[derive(Clone, Copy)]
struct Known {
    id: JumpClientId,
    offline_since: Option<usize>,
    own_hours: u32,
    /// Hours it may be offline, told when it went.
    told_hours: u32,
    lost: bool,
}

/// Lives through the year hour by hour.
fn by_the_hour(acts: &BTreeMap<usize, Act>) -> (Happened, Left) {
    let (mut lost_days, mut deletion_days) = (15, 180);
    let mut clients: [Option<Known>; CLIENTS] = [None; CLIENTS];
    let mut ids = 0;
    let mut happened = Vec::new();
    for hour in 0..=HOURS {
        happened.extend(due(&mut clients, hour, lost_days));
        if let Some(act) = acts.get(&hour) {
            let go = |client: &mut Known| {
                client.offline_since = Some(hour);
                client.told_hours = match client.own_hours {
                    0 => deletion_days * 24,
                    own => own,
                };
            };
            match *act {
                Act::Come(n) => match &mut clients[n] {
                    Some(client) => {
                        client.offline_since = None;
                        client.lost = false;
                    }
                    place => {
                        ids += 1;
                        *place = Some(Known {
                            id: JumpClientId(ids),
                            offline_since: None,
                            own_hours: 0,
                            told_hours: 0,
                            lost: false,
                        });
                    }
                },
                Act::Go(n) => {
                    if let Some(client) = clients[n].as_mut().filter(|c| c.offline_since.is_none())
                    {
                        go(client);
                    }
                }
                Act::NodeFails => clients
                    .iter_mut()
                    .flatten()
                    .filter(|client| client.offline_since.is_none())
                    .for_each(go),
                Act::Days(lost, more) => (lost_days, deletion_days) = (lost, lost + more),
                Act::OfflineHours(n, hours) => {
                    if let Some(client) = &mut clients[n] {
                        client.own_hours = hours;
                    }
                }
                Act::Remove(n) => clients[n] = None,
                Act::Uninstall(n) => {
                    if clients[n].is_some_and(|client| client.offline_since.is_none()) {
                        clients[n] = None;
                    }
                }
            }
        }
        // Days that were made shorter count at once.
        happened.extend(due(&mut clients, hour, lost_days));
    }
    let left = clients
        .into_iter()
        .flatten()
        .map(|client| {
            let at = client
                .offline_since
                .map(|since| since + client.told_hours as usize);
            (client.id, at)
        })
        .collect();
    (happened, left)
}

/// What happens by itself in this hour.
fn due(clients: &mut [Option<Known>; CLIENTS], hour: usize, lost_days: u32) -> Happened {
    let mut happened = Vec::new();
    for place in clients {
        let Some(client) = place else { continue };
        let Some(since) = client.offline_since else {
            continue;
        };
        if !client.lost && hour >= since + lost_days as usize * 24 {
            client.lost = true;
            happened.push((hour, client.id, "lost"));
        }
        if hour >= since + client.told_hours as usize {
            happened.push((hour, client.id, "deleted"));
            *place = None;
        }
    }
    happened
}

// --- the real thing ---

struct Year {
    log: Log,
    views: Views,
    clients: [Option<JumpClientId>; CLIENTS],
    node: NodeEpoch,
    connection: u64,
    happened: Happened,
}

fn hour_of(at: Timestamp) -> usize {
    let hours = at.since(MONDAY) / time::HOUR;
    usize::try_from(hours).expect("in the year")
}

fn at_hour(hour: usize) -> Timestamp {
    MONDAY.plus(i64::try_from(hour).expect("small") * time::HOUR)
}

impl Year {
    fn begun() -> Self {
        let mut log = story();
        let body = json!({"uninstalled_client_behavior": "remove"});
        log.ask(ADMIN, change::<SiteSettings>(SETTINGS, body));
        let views = Views::default();
        fold_batch(&views, &log);
        Self {
            log,
            views,
            clients: [None; CLIENTS],
            node: NODE,
            connection: 0,
            happened: Vec::new(),
        }
    }

    /// The clock goes from due date to due date, up to `hour`.
    fn live_until(&mut self, hour: usize) {
        let until = at_hour(hour);
        while let Some(next) = self
            .views
            .timers
            .next(&self.log.world.settings)
            .filter(|next| *next <= until)
        {
            self.log.now = self.log.now.max(next);
            let due = self
                .views
                .timers
                .due(self.log.now, &self.log.world.settings, 2);
            assert!(!due.is_empty(), "what is next is due then");
            let before = self.happened.len();
            for due in due {
                let events = self.log.ask(Actor::System, due.command);
                fold_batch(&self.views, &self.log);
                self.note(&events);
            }
            assert!(self.happened.len() > before, "what is due happens");
        }
        self.log.now = until;
    }

    fn note(&mut self, events: &[Event]) {
        let hour = hour_of(self.log.now);
        for event in events {
            match event {
                Event::JumpClient(id, jump_client::Event::Lost(_)) => {
                    self.happened.push((hour, *id, "lost"));
                }
                Event::JumpClient(id, jump_client::Event::Expired(_)) => {
                    self.happened.push((hour, *id, "deleted"));
                }
                _ => {}
            }
        }
    }

    fn link(&mut self) -> LinkId {
        self.connection += 1;
        LinkId {
            node: self.node,
            connection: self.connection,
        }
    }

    fn take(&mut self, act: Act) {
        match act {
            Act::Come(n) => self.come(n),
            Act::Go(n) => {
                if let Some((client, link)) = self.connected(n) {
                    let disconnect = jump_client::Command::Disconnect {
                        client,
                        link,
                        reason: "left".to_owned(),
                    };
                    self.log.ask(client, disconnect);
                }
            }
            Act::NodeFails => {
                let stop = node::Command::Stop {
                    epoch: self.node,
                    reason: node::StopReason::Silent,
                };
                self.log.ask(Actor::System, stop);
                self.node = NodeEpoch(self.node.0 + 1);
                let start = node::Command::Start {
                    epoch: self.node,
                    name: "node-1".to_owned(),
                    url: None,
                };
                self.log.ask(Actor::System, start);
            }
            Act::Days(lost, more) => {
                let body = json!({"lost_days": lost, "deletion_days": lost + more});
                self.log.ask(ADMIN, change::<SiteSettings>(SETTINGS, body));
            }
            Act::OfflineHours(n, hours) => {
                if let Some(client) = self.there(n) {
                    let body = json!({"max_offline_minutes": hours * 60});
                    self.log.ask(ADMIN, change::<Properties>(client, body));
                }
            }
            Act::Remove(n) => {
                if let Some(client) = self.there(n) {
                    self.log.ask(ADMIN, jump_client::Command::Delete(client));
                }
            }
            Act::Uninstall(n) => {
                if let Some((client, link)) = self.connected(n) {
                    self.log
                        .ask(client, jump_client::Command::Uninstall { client, link });
                }
            }
        }
        fold_batch(&self.views, &self.log);
    }

    fn there(&self, n: usize) -> Option<JumpClientId> {
        self.clients[n].filter(|client| self.log.world.jump_clients.contains(client))
    }

    fn connected(&self, n: usize) -> Option<(JumpClientId, LinkId)> {
        let id = self.there(n)?;
        let client = self.log.world.jump_clients.get(&id)?;
        match client.presence {
            jump_client::Presence::Connected(link) if self.log.world.is_online(client) => {
                Some((id, link))
            }
            _ => None,
        }
    }

    /// A machine whose client was deleted is refused and becomes a new one.
    fn come(&mut self, n: usize) {
        let link = self.link();
        if let Some(client) = self.there(n) {
            let connect = jump_client::Command::Connect {
                client,
                link,
                public_ip: "198.51.100.7:4000".to_owned(),
                boot_id: "boot".to_owned(),
            };
            self.log.ask(client, connect);
            return;
        }
        let mut register = register(INSTALLER, link.connection);
        register.link = link;
        let events = self.log.ask(Actor::NewJumpClient, register);
        self.clients[n] = events.iter().find_map(|event| match event {
            Event::JumpClient(id, jump_client::Event::Registered(_)) => Some(*id),
            _ => None,
        });
        assert!(self.clients[n].is_some(), "a machine can always register");
    }

    fn left(&self) -> Left {
        let world = &self.log.world;
        world
            .jump_clients
            .iter()
            .map(|(id, client)| (*id, world.deletion_at(client).map(hour_of)))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// CLNT-05, CLNT-12, CLNT-13, CLNT-14, CLNT-18, CLNT-20, CLNT-21
    #[test]
    fn a_year_of_clients_is_lived_as_a_plain_reference_says(
        // At most one an hour: what happens in the same instant is told apart by the log's order alone.
        acts in prop::collection::btree_map(0..HOURS, act(), 0..120),
    ) {
        let mut year = Year::begun();
        for (hour, act) in &acts {
            year.live_until(*hour);
            year.take(*act);
        }
        year.live_until(HOURS);
        let (happened, left) = by_the_hour(&acts);
        let mut lived = year.happened.clone();
        lived.sort();
        let mut expected = happened;
        expected.sort();
        prop_assert_eq!(lived, expected);
        prop_assert_eq!(year.left(), left);
        prop_assert_eq!(&Views::of(&year.log.world, year.views.bookmark()).timers, &year.views.timers);
    }
}
