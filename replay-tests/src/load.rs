//! `gatebook-load` as a process that is ordered about, and what the log must say of its machines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use domain::Event;
use domain::fleet::jump_client;
use domain::ids::{JumpClientId, LinkId};
use domain::{node, record};
use eventstore::EventStore;
use projections::Recorded;
use serde_json::Value;

use crate::program::built;

/// A fleet of simulated machines in processes of its own.
pub struct Load {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Load {
    /// Starts it with the key and these arguments.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(key: &str, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(built("gatebook-load", "GATEBOOK_LOAD_BIN")?)
            .args(["--key-info", key])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("gatebook-load does not start")?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers).lines(),
        })
    }

    /// Gives an order that has no answer.
    ///
    /// # Errors
    /// When it has ended.
    pub fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").context("gatebook-load takes no orders")
    }

    /// Gives an order and answers what it says.
    ///
    /// # Errors
    /// When it has ended or says no JSON.
    pub fn ask(&mut self, order: &str) -> Result<Value> {
        self.order(order)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value> {
        let line = self.answers.next().context("gatebook-load has ended")??;
        serde_json::from_str(&line).with_context(|| format!("gatebook-load says {line}"))
    }

    /// What was counted since the last mark.
    ///
    /// # Errors
    /// When it has ended.
    pub fn report(&mut self) -> Result<Value> {
        self.ask("report")
    }

    /// The clients whose machines are online.
    ///
    /// # Errors
    /// When it has ended.
    pub fn who(&mut self) -> Result<BTreeSet<u64>> {
        let who = self.ask("who")?;
        let online = who["online"].as_array().context("no list")?;
        Ok(online.iter().filter_map(Value::as_u64).collect())
    }

    /// Lets every machine say goodbye; answers the last report.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(mut self) -> Result<Value> {
        self.order("stop")?;
        let report = self.answer()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "gatebook-load ended with {status}");
        Ok(report)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself; waiting tells.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the log says of connections.
#[derive(Debug, Default)]
pub struct Presences {
    /// Who is online, and on which link.
    pub online: BTreeMap<JumpClientId, LinkId>,
    /// Who is in quarantine.
    pub quarantined: BTreeSet<JumpClientId>,
    /// How many links there ever were.
    pub links: usize,
    seen: BTreeSet<(i64, u64)>,
    /// Nodes that run.
    nodes: BTreeSet<i64>,
}

impl Presences {
    /// Reads the log from its begin, and holds every event of a connection against those before it: none may be missing and
    /// none there twice.
    ///
    /// # Errors
    /// What does not fit.
    pub async fn read(store: &EventStore) -> Result<Self> {
        let head = store.head().await?.position;
        let mut presences = Self::default();
        let mut replay = store.replay(0, head);
        while let Some(page) = replay.next().await {
            for event in page? {
                let recorded = Recorded::from_stored(&event)?;
                presences
                    .apply(&recorded.event)
                    .with_context(|| format!("event {}", recorded.position))?;
            }
        }
        Ok(presences)
    }

    fn apply(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Node(epoch, node::Event::Started(_)) => {
                ensure!(self.nodes.insert(epoch.0), "{epoch:?} starts twice");
            }
            // One event takes all its clients offline.
            Event::Node(epoch, node::Event::Stopped(_)) => {
                ensure!(self.nodes.remove(&epoch.0), "{epoch:?} stops twice");
                self.online.retain(|_, link| link.node != *epoch);
            }
            Event::JumpClient(client, jump_client::Event::Connected(connected)) => {
                let link = connected.link;
                ensure!(
                    self.nodes.contains(&link.node.0),
                    "{client}: {link:?} of no node"
                );
                if !self.seen.insert((link.node.0, link.connection)) {
                    bail!("{client} connects twice on {link:?}");
                }
                self.links += 1;
                // A newer link takes the place of the one before.
                self.online.insert(*client, link);
            }
            Event::JumpClient(client, jump_client::Event::Disconnected(disconnected)) => {
                let before = self.online.remove(client);
                ensure!(
                    before == Some(disconnected.link),
                    "{client} disconnects from {:?}, being on {before:?}",
                    disconnected.link
                );
            }
            Event::JumpClient(client, jump_client::Event::Quarantined(_)) => {
                ensure!(self.quarantined.insert(*client), "{client} twice");
            }
            Event::JumpClient(client, jump_client::Event::Record(record::Event::Deleted(_))) => {
                self.online.remove(client);
            }
            _ => {}
        }
        Ok(())
    }
}
