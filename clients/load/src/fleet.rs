//! All machines of one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use link_protocol::KeyInfo;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::dial::Dialer;
use crate::half_open;
use crate::identities::{self, Identities, Known};
use crate::machine::{Machine, Origin};
use crate::options::Options;
use crate::role::Role;
use crate::tally::Tally;

/// What is beyond this many is a copy of the machine with the rest of the number.
const COPY: u32 = 1 << 31;

/// A fleet, shared by its machines.
pub struct Fleet {
    options: Options,
    key: KeyInfo,
    dialer: Dialer,
    phase: Mutex<Phase>,
    /// Which client each machine that is online is.
    online: Mutex<BTreeMap<u32, u64>>,
    /// Whether those who begin later may begin.
    more: watch::Sender<bool>,
    storms: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    calm: watch::Sender<bool>,
}

struct Phase {
    number: u64,
    began: Instant,
    tally: Tally,
}

/// Ends when the fleet is told to stop.
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits for it.
    pub async fn told(&mut self) {
        // The sender lives in the fleet, which this belongs to.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// The machines of a fleet that was started.
pub struct Running {
    fleet: Arc<Fleet>,
    machines: JoinSet<(u32, Option<Known>)>,
    strangers: JoinSet<()>,
    part: u32,
}

impl Fleet {
    /// Starts the machines of part `part`.
    ///
    /// # Errors
    /// The key, the server's address or the file of identities can't be used.
    pub async fn start(options: Options, part: u32) -> Result<Running> {
        let key = options.key()?;
        let dialer = Dialer::new(&options, &key).await?;
        let mut known = match state_file(&options, part) {
            Some(path) => identities::read(&path)?,
            None => Identities::new(),
        };
        let numbers = options.numbers(part);
        let fleet = Arc::new(Self {
            key,
            dialer,
            phase: Mutex::new(Phase {
                number: 1,
                began: Instant::now(),
                tally: Tally::default(),
            }),
            online: Mutex::default(),
            more: watch::Sender::new(false),
            storms: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            calm: watch::Sender::new(false),
            options,
        });
        let mut running = Running {
            fleet: fleet.clone(),
            machines: JoinSet::new(),
            strangers: JoinSet::new(),
            part,
        };
        let first = fleet.options.first_of(numbers.len());
        for (place, number) in numbers.clone().enumerate() {
            let begin = if place < first {
                Begin::After(fleet.begin_after(place))
            } else {
                Begin::OnceTold(fleet.begin_after(place - first))
            };
            running.add(number, begin, known.remove(&number));
        }
        let strangers = (numbers.len() as f64 * fleet.options.half_open).round() as u32;
        for stranger in 0..strangers {
            let number = numbers.start + stranger;
            let chance = fleet.chance(u64::from(number) | 1 << 40);
            let opening = half_open::keep_opening(fleet.clone(), number, chance);
            running.strangers.spawn(opening);
        }
        Ok(running)
    }

    fn begin_after(&self, place: usize) -> Duration {
        if self.options.rate == 0 {
            return Duration::ZERO;
        }
        let all = f64::from(self.options.rate) / f64::from(self.options.processes);
        Duration::from_secs_f64(place as f64 / all)
    }

    fn chance(&self, number: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number)
    }

    // --- for the machines ---

    /// The options.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The installer's key.
    #[must_use]
    pub const fn key(&self) -> &KeyInfo {
        &self.key
    }

    /// Makes connections.
    #[must_use]
    pub const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Ends when the fleet is told to stop.
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        Stopping(self.stop.subscribe())
    }

    /// Changes with every storm.
    #[must_use]
    pub fn storms(&self) -> watch::Receiver<u64> {
        self.storms.subscribe()
    }

    /// Whether machines are to stay where they are.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        *self.calm.borrow()
    }

    /// Becomes true when machines are to stay where they are.
    #[must_use]
    pub fn calm(&self) -> watch::Receiver<bool> {
        self.calm.subscribe()
    }

    /// Counts something.
    pub fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.phase().tally);
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        // A poisoned lock only means that another thread panicked between two counters; they stay usable.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn online(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A machine was welcomed; `phase` is the last one it was counted in.
    pub fn welcomed(&self, number: u32, client_id: u64, phase: &mut u64) {
        self.online().insert(number, client_id);
        let mut now = self.phase();
        let since = now.began.elapsed();
        let second = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        let first = *phase != now.number;
        *phase = now.number;
        now.tally.welcomes += 1;
        *now.tally.welcomes_by_second.entry(second).or_default() += 1;
        if first {
            now.tally.first_welcome.add(since);
        }
    }

    /// A machine's link ended.
    pub fn left(&self, number: u32) {
        self.online().remove(&number);
    }

    // --- for the orders ---

    /// Begins a new phase: counts from nothing.
    pub fn mark(&self) {
        let mut phase = self.phase();
        phase.number += 1;
        phase.began = Instant::now();
        phase.tally = Tally::default();
    }

    /// What was counted since the phase began.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = self.phase().tally.clone();
        tally.machines = u32::try_from(self.options.numbers(self.options.part.unwrap_or(0)).len())
            .unwrap_or(u32::MAX);
        tally.online = u32::try_from(self.online().len()).unwrap_or(u32::MAX);
        tally
    }

    /// The clients whose machines are online.
    #[must_use]
    pub fn who(&self) -> Vec<u64> {
        let mut clients: Vec<u64> = self.online().values().copied().collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// Lets those begin who were held back.
    pub fn let_more_begin(&self) {
        self.more.send_replace(true);
    }

    /// Cuts every connection.
    pub fn storm(&self) {
        self.storms.send_modify(|storms| *storms += 1);
    }

    /// From now on nobody comes and goes any more.
    pub fn be_calm(&self) {
        self.calm.send_replace(true);
    }
}

impl Running {
    fn add(&mut self, number: u32, begin: Begin, known: Option<Known>) {
        let fleet = self.fleet.clone();
        let mut chance = fleet.chance(u64::from(number));
        let role = Role::draw(fleet.options.shares(), &mut chance);
        let mut copied = None;
        if role == Role::Cloned {
            let (show, shown) = watch::channel(None);
            copied = Some(show);
            let number = number | COPY;
            let chance = fleet.chance(u64::from(number));
            let copy = Machine::new(
                fleet.clone(),
                number,
                Role::Clone,
                chance,
                Origin::Copy(shown),
            );
            self.machines.spawn(begun(fleet.clone(), copy, begin));
        }
        let origin = Origin::Own { known, copied };
        let machine = Machine::new(fleet.clone(), number, role, chance, origin);
        self.machines.spawn(begun(fleet, machine, begin));
    }

    /// The fleet.
    #[must_use]
    pub const fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Lets every machine say goodbye, and keeps their identities.
    ///
    /// # Errors
    /// The identities can't be kept.
    pub async fn stop(mut self) -> Result<()> {
        self.fleet.stop.send_replace(true);
        let mut identities = Identities::new();
        while let Some(machine) = self.machines.join_next().await {
            let (number, known) = machine.context("a machine of the fleet broke")?;
            if let (Some(known), true) = (known, number < COPY) {
                identities.insert(number, known);
            }
        }
        while let Some(stranger) = self.strangers.join_next().await {
            stranger.context("a connection without a hello broke")?;
        }
        match state_file(&self.fleet.options, self.part) {
            Some(path) => identities::write(&path, &identities),
            None => Ok(()),
        }
    }
}

/// When a machine begins.
#[derive(Clone, Copy)]
enum Begin {
    After(Duration),
    OnceTold(Duration),
}

async fn begun(fleet: Arc<Fleet>, machine: Machine, begin: Begin) -> (u32, Option<Known>) {
    let mut more = fleet.more.subscribe();
    let mut stop = fleet.stopping();
    let may_begin = async {
        let after = match begin {
            Begin::After(after) => after,
            Begin::OnceTold(after) => {
                // The sender lives in the fleet.
                let _ = more.wait_for(|more| *more).await;
                after
            }
        };
        sleep(after).await;
    };
    tokio::select! {
        () = may_begin => {}
        () = stop.told() => {}
    }
    machine.run().await
}

/// Each process has a file of its own.
fn state_file(options: &Options, part: u32) -> Option<std::path::PathBuf> {
    let path = options.state.as_ref()?;
    let mut name = path.clone().into_os_string();
    name.push(format!(".{part}"));
    Some(name.into())
}
