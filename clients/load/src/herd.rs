//! Several processes as one, and the orders they take: a line each on the standard input, answered by lines of JSON.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::cost::Cost;
use crate::fleet::{Fleet, Running};
use crate::options::Options;
use crate::tally::{Report, Spent, Tally};

/// How long another process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What can be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A new phase begins, with this name.
    Mark(String),
    /// Print the report of the phase.
    Report,
    /// Print the bare tally: asked of the processes of a herd.
    Tally,
    /// Cut every connection.
    Storm,
    /// Those begin who were held back.
    More,
    /// Nobody comes and goes any more.
    Calm,
    /// Print which clients are online.
    Who,
    /// Say goodbye and end.
    Stop,
}

impl Order {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        Some(match word {
            "mark" => Self::Mark(rest.trim().to_owned()),
            "report" => Self::Report,
            "tally" => Self::Tally,
            "storm" => Self::Storm,
            "more" => Self::More,
            "calm" => Self::Calm,
            "who" => Self::Who,
            "stop" => Self::Stop,
            _ => return None,
        })
    }
}

/// The machines, in this process or in others.
enum Herd {
    Here(Running),
    Apart(Vec<Part>),
}

/// One of several processes.
struct Part {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Runs the fleet as the options say.
///
/// # Errors
/// The options make no sense, or the fleet could not go on.
pub async fn run(options: Options) -> Result<()> {
    options.check()?;
    let herd = match (options.part, options.processes) {
        (None, 2..) => Herd::Apart(split(&options)?),
        (part, _) => Herd::Here(Fleet::start(options.clone(), part.unwrap_or(0)).await?),
    };
    let mut drover = Drover {
        phase: "begin".to_owned(),
        began: Instant::now(),
        own_before: herd.cost(),
        server_before: options.server_pid.and_then(Cost::of),
        herd,
        options,
    };
    let driven = drover.drive().await;
    driven.and(drover.herd.stop().await)
}

fn split(options: &Options) -> Result<Vec<Part>> {
    let program = std::env::current_exe().context("this program has no path")?;
    (0..options.processes)
        .map(|part| {
            let mut child = Command::new(&program)
                .args(std::env::args_os().skip(1))
                .args(["--part", &part.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("starting another process")?;
            let orders = child.stdin.take().context("no standard input")?;
            let answers = child.stdout.take().context("no standard output")?;
            Ok(Part {
                child,
                orders,
                answers: BufReader::new(answers).lines(),
            })
        })
        .collect()
}

impl Part {
    async fn tell(&mut self, order: &str) -> Result<()> {
        let line = format!("{order}\n");
        let told = self.orders.write_all(line.as_bytes()).await;
        told.context("another process takes no orders")
    }

    async fn ask(&mut self, order: &str) -> Result<String> {
        self.tell(order).await?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.answers.next_line()).await;
        let answer = answer.context("another process does not answer")??;
        answer.context("another process has ended")
    }
}

impl Herd {
    /// What all its processes cost.
    fn cost(&self) -> Option<Cost> {
        let own = Cost::of(std::process::id())?;
        let parts = match self {
            Self::Here(_) => &[][..],
            Self::Apart(parts) => parts,
        };
        let costs = parts.iter().filter_map(|part| Cost::of(part.child.id()?));
        Some(costs.fold(own, Cost::and))
    }

    async fn tally(&mut self) -> Result<Tally> {
        match self {
            Self::Here(running) => Ok(running.fleet().tally()),
            Self::Apart(parts) => {
                let mut all = Tally::default();
                for part in parts {
                    all.merge(&serde_json::from_str(&part.ask("tally").await?)?);
                }
                Ok(all)
            }
        }
    }

    async fn who(&mut self) -> Result<Vec<u64>> {
        match self {
            Self::Here(running) => Ok(running.fleet().who()),
            Self::Apart(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    let answer: Value = serde_json::from_str(&part.ask("who").await?)?;
                    let online = answer["online"].as_array().context("no list")?;
                    all.extend(online.iter().filter_map(Value::as_u64));
                }
                all.sort_unstable();
                Ok(all)
            }
        }
    }

    /// Passes on what needs no answer.
    async fn pass_on(&mut self, order: &str, here: impl FnOnce(&Fleet)) -> Result<()> {
        match self {
            Self::Here(running) => here(running.fleet()),
            Self::Apart(parts) => {
                for part in parts {
                    part.tell(order).await?;
                }
            }
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        match self {
            Self::Here(running) => running.stop().await,
            Self::Apart(mut parts) => {
                for part in &mut parts {
                    part.tell("stop").await?;
                }
                for mut part in parts {
                    // What it still says at its end is of no use.
                    while part.answers.next_line().await?.is_some() {}
                    let status = part.child.wait().await?;
                    if !status.success() {
                        bail!("another process ended with {status}");
                    }
                }
                Ok(())
            }
        }
    }
}

/// Drives a herd by orders and by the clock.
struct Drover {
    options: Options,
    herd: Herd,
    phase: String,
    began: Instant,
    own_before: Option<Cost>,
    server_before: Option<Cost>,
}

impl Drover {
    async fn drive(&mut self) -> Result<()> {
        let mut orders = orders();
        let mut listening = true;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let is_first = self.options.part.is_none();
        let at = |seconds: Option<u64>| {
            let seconds = seconds.filter(|_| is_first)?;
            Some(Instant::now() + Duration::from_secs(seconds))
        };
        let end = at(self.options.duration);
        let mut storm = at(self.options.storm_after);
        let mut progress = at(self.options.progress);
        loop {
            tokio::select! {
                order = orders.recv(), if listening => match order {
                    Some(Order::Stop) => break,
                    Some(order) => self.obey(&order).await?,
                    None if end.is_none() => break,
                    None => listening = false,
                },
                () = until(end) => break,
                () = until(storm) => {
                    storm = None;
                    self.obey(&Order::Mark("storm".to_owned())).await?;
                    self.obey(&Order::Storm).await?;
                }
                () = until(progress) => {
                    progress = at(self.options.progress);
                    let tally = self.herd.tally().await?;
                    output::result(json!({"progress": {
                        "seconds": self.began.elapsed().as_secs_f64(),
                        "online": tally.online,
                        "welcomes": tally.welcomes,
                        "retry_later": tally.retry_later,
                    }}))?;
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        if is_first {
            self.obey(&Order::Report).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, order: &Order) -> Result<()> {
        match order {
            Order::Mark(name) => {
                self.herd.pass_on("mark", Fleet::mark).await?;
                self.phase.clone_from(name);
                self.began = Instant::now();
                self.own_before = self.herd.cost();
                self.server_before = self.options.server_pid.and_then(Cost::of);
            }
            Order::Report => output::result(serde_json::to_string(&self.report().await?)?)?,
            Order::Tally => output::result(serde_json::to_string(&self.herd.tally().await?)?)?,
            Order::Storm => self.herd.pass_on("storm", Fleet::storm).await?,
            Order::More => self.herd.pass_on("more", Fleet::let_more_begin).await?,
            Order::Calm => self.herd.pass_on("calm", Fleet::be_calm).await?,
            Order::Who => output::result(json!({"online": self.herd.who().await?}))?,
            Order::Stop => {}
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<Report> {
        let tally = self.herd.tally().await?;
        let mut report = Report::new(&self.phase, self.began.elapsed(), &tally);
        report.own = spent(self.own_before, self.herd.cost());
        let server = self.options.server_pid.and_then(Cost::of);
        report.server = spent(self.server_before, server);
        Ok(report)
    }
}

fn spent(before: Option<Cost>, now: Option<Cost>) -> Option<Spent> {
    let now = now?;
    Some(Spent {
        now,
        cpu_seconds_in_phase: now.cpu_seconds - before.map_or(0.0, |before| before.cpu_seconds),
    })
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reads orders on a thread of its own, for a read of the standard input can't be given up.
fn orders() -> mpsc::Receiver<Order> {
    let (send, orders) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            match Order::parse(&line) {
                Some(order) => {
                    if send.blocking_send(order).is_err() {
                        return;
                    }
                }
                None => output::message(format_args!("gatebook-load: no such order: {line}")),
            }
        }
    });
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_words() {
        for (line, order) in [
            ("report", Some(Order::Report)),
            (" stop \n", Some(Order::Stop)),
            (
                "mark after the kill",
                Some(Order::Mark("after the kill".to_owned())),
            ),
            ("mark", Some(Order::Mark(String::new()))),
            ("dance", None),
            ("", None),
        ] {
            assert_eq!(Order::parse(line), order, "{line}");
        }
    }
}
