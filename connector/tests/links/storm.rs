//! Many machines that come, go and come again while people jump: in the end the links, the log and the machines agree.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use connector::Hub;
use domain::ids::{JumpClientId, JumpItemRef};
use domain::session::access_session;
use domain::{Command, World};
use eventstore::testing::TestDatabase;
use link_protocol::{ClientFrame, Facts, Secret, ServerFrame, SessionEndReason};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::played::{Heard, Played, bytes_of_a_link, keeping, resuming};
use crate::site::{SOON, Site, delete_client, start_session};

const MACHINES: u8 = 24;
const ROUNDS: u32 = 12;

/// SplitMix64: a failure can be seen again with its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What a machine holds, seen by the test.
#[derive(Default)]
struct Held {
    sessions: Mutex<BTreeSet<String>>,
    removed: AtomicBool,
}

impl Held {
    fn sessions(&self) -> Vec<String> {
        let held = self.sessions.lock().expect("not poisoned");
        held.iter().cloned().collect()
    }
}

/// Does what it is told until the link ends; answers the code.
async fn obey(agent: &mut Played, held: &Held) -> u16 {
    loop {
        let frame = match agent.hear().await {
            Heard::Frame(frame) => frame,
            Heard::Closed(code) => return code,
        };
        let answer = match frame {
            ServerFrame::Ping { nonce } => ClientFrame::Pong { nonce },
            ServerFrame::StartSession(start) => {
                let lsid = start.lsid;
                held.sessions
                    .lock()
                    .expect("not poisoned")
                    .insert(lsid.clone());
                ClientFrame::SessionStarted { lsid }
            }
            ServerFrame::EndSession(end) => {
                let lsid = end.lsid;
                let held = held.sessions.lock().expect("not poisoned").remove(&lsid);
                let reason = if held {
                    SessionEndReason::Asked
                } else {
                    SessionEndReason::UnknownSession
                };
                ClientFrame::SessionEnded { lsid, reason }
            }
            _ => continue,
        };
        agent.try_say(answer).await;
    }
}

/// One machine's life: it loses its link in every way there is, and stays at last.
async fn live(hub: Hub, number: u8, client: u64, token: Secret, held: Arc<Held>, seed: u64) {
    let mut chance = Chance(seed);
    let mut round = 0;
    let mut before: Option<Played> = None;
    loop {
        let hello = keeping(resuming(number, client, &token), &held.sessions());
        let mut agent = Played::hello(&hub, hello).await;
        // The link before may still be there: this one takes over from it.
        drop(before.take());
        match agent.hear().await {
            Heard::Frame(ServerFrame::Welcome(_)) => {}
            Heard::Frame(ServerFrame::Refused(_)) => {
                held.removed.store(true, Ordering::SeqCst);
                return;
            }
            // Told to come later, or overtaken by itself.
            _ => continue,
        }
        round += 1;
        if round >= ROUNDS {
            if obey(&mut agent, &held).await == 4403 {
                held.removed.store(true, Ordering::SeqCst);
                return;
            }
            continue;
        }
        agent
            .try_say(check_in(&format!("user {}", chance.below(3))))
            .await;
        let while_here = Duration::from_millis(chance.below(20));
        let ended = tokio::time::timeout(while_here, obey(&mut agent, &held)).await;
        if ended == Ok(4403) {
            held.removed.store(true, Ordering::SeqCst);
            return;
        }
        match chance.below(3) {
            // Gone without a word.
            0 => drop(agent),
            1 => {
                agent.try_say(ClientFrame::Goodbye {}).await;
                obey(&mut agent, &held).await;
            }
            // Back before the old link is gone.
            _ => before = Some(agent),
        }
    }
}

fn check_in(console_user: &str) -> ClientFrame {
    ClientFrame::CheckIn(Box::new(link_protocol::CheckIn {
        sequence: 1,
        facts: Facts {
            console_user: Some(console_user.to_owned()),
            ..Facts::default()
        },
        figures: link_protocol::Figures::default(),
    }))
}

/// threat M: what happens once in the life of a link takes no room while it waits; 19,000 of them wait at once.
#[tokio::test]
async fn threat_m_a_link_that_waits_takes_little_room() {
    let site = Site::still().await;
    let bytes = bytes_of_a_link(&site.hub);
    assert!(bytes <= 1_536, "{bytes} bytes");
}

/// CLNT-01, CLNT-05, threat T
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_t_after_a_storm_links_log_and_machines_agree() {
    let seed = 7;
    let site = Site::on(Arc::new(TestDatabase::sqlite()), 1).await;
    site.set(json!({"connection_rate": 10_000})).await;
    let mut machines: Vec<(JumpClientId, Arc<Held>, JoinHandle<()>)> = Vec::new();
    for number in 1..=MACHINES {
        let (agent, welcome, token) = site.registered(number).await;
        agent.lose().await;
        let id = JumpClientId(u32::try_from(welcome.client_id).expect("small"));
        let held = Arc::new(Held::default());
        let life = live(
            site.hub.clone(),
            number,
            welcome.client_id,
            token,
            held.clone(),
            seed + u64::from(number),
        );
        machines.push((id, held, tokio::spawn(life)));
    }

    // People jump and end, and remove two machines on the way.
    let mut chance = Chance(seed);
    for step in 0..600 {
        let client = machines[chance.below(machines.len() as u64) as usize].0;
        let lsid = site
            .engine
            .published()
            .world
            .session_on(JumpItemRef::JumpClient(client));
        // Refused or not: the machine may be away, or the session over by now.
        let _ = match lsid {
            Some(lsid) => {
                let end = access_session::Command::End { lsid };
                site.ask(Command::AccessSession(end)).await
            }
            None => site.ask(start_session(client)).await,
        };
        if step == 200 || step == 400 {
            let _ = site.ask(delete_client(client)).await;
        }
    }

    let deadline = Instant::now() + SOON;
    while let Some(difference) = difference(&site, &machines) {
        assert!(Instant::now() < deadline, "seed {seed}: {difference}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(site.events("JumpClientQuarantined").await.is_empty());
    let published = site.engine.published();
    let (mut folded, mut position) = (World::default(), 0);
    while position < published.tail.position {
        let page = site
            .engine
            .read_recorded(position, published.tail.position)
            .await
            .expect("the log can be read");
        for recorded in page {
            folded.apply(&recorded.event, recorded.decided_at);
            position = recorded.position;
        }
    }
    assert!(folded == published.world);
    for (_, _, machine) in machines {
        machine.abort();
    }
}

/// In what the log, the links and the machines differ, if in anything.
fn difference(
    site: &Site,
    machines: &[(JumpClientId, Arc<Held>, JoinHandle<()>)],
) -> Option<String> {
    let published = site.engine.published();
    let world = &published.world;
    let mut there = 0;
    for (id, held, _) in machines {
        let client = world.jump_clients.get(id);
        let removed = held.removed.load(Ordering::SeqCst);
        let Some(client) = client else {
            if !removed {
                return Some(format!("{id} was removed and does not know"));
            }
            continue;
        };
        there += 1;
        if removed {
            return Some(format!("{id} was told that it was removed"));
        }
        if !world.is_online(client) {
            return Some(format!("{id} is offline"));
        }
        let running = world.session_on(JumpItemRef::JumpClient(*id));
        let running: Vec<String> = running.iter().map(ToString::to_string).collect();
        if held.sessions() != running {
            return Some(format!("{id} holds {:?}, not {running:?}", held.sessions()));
        }
        let starting = running.first().is_some_and(|_| {
            let lsid = world.session_on(JumpItemRef::JumpClient(*id));
            lsid.and_then(|lsid| world.sessions.get(&lsid))
                .is_some_and(|session| !session.established)
        });
        if starting {
            return Some(format!("the session on {id} still starts"));
        }
    }
    let connected = site.hub.connected();
    (connected != there).then(|| format!("{connected} links for {there} clients"))
}
