//! `cargo xtask run`: a demo site to look at, with two real agents of its fleet, until Ctrl-C.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{Interrupt, end, must, pause, start_apart, succeeds};
use crate::workspace::Workspace;

/// How many agents of the demo's fleet are started for real.
const AGENTS: usize = 2;

/// How long the server may take until it answers.
const READY_MAX: Duration = Duration::from_secs(120);

/// Where the demo is served.
#[derive(Args)]
pub(crate) struct Options {
    /// Address and port of the HTTPS listener.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Make the demo site anew.
    #[arg(long)]
    fresh: bool,
}

/// Builds, makes the demo if it is new, serves it and starts the agents; stops all of them in the end.
pub(crate) fn run(workspace: &Workspace, interrupt: &Interrupt, options: &Options) -> Result<()> {
    must(
        workspace.cargo().args([
            "build",
            "--locked",
            "--bins",
            "--package",
            "gatebook",
            "--package",
            "gatebook-agent",
        ]),
        interrupt,
    )
    .context("building")?;
    let server = workspace.built("debug", "gatebook")?;
    let agent = workspace.built("debug", "gatebook-agent")?;

    let site = workspace.target("demo");
    if options.fresh {
        crate::tools::remove(&site)?;
    }
    // Written last by `gatebook demo`, so a demo that was interrupted is not taken for whole.
    let plan_file = site.join("demo-agents.json");
    if !plan_file.is_file() {
        crate::tools::remove(&site)?;
        must(
            workspace
                .command(&server)
                .arg("demo")
                .arg("--data")
                .arg(&site)
                .args(["--url", &address_of(options)]),
            interrupt,
        )
        .context("making the demo site")?;
    }
    let plan = Plan::read(&plan_file)?;

    let mut household = Household::default();
    let outcome = household.serve(
        workspace,
        interrupt,
        options,
        &Programs { server, agent },
        &site,
        &plan,
    );
    let stopped = household.stop();
    match outcome {
        // Ctrl-C is how this command ends well.
        Err(_) if interrupt.came() => stopped,
        outcome => outcome.and(stopped),
    }
}

/// Where the demo is reached; its first jump and its agents are told the same.
fn address_of(options: &Options) -> String {
    format!("https://localhost:{}", options.listen.port())
}

struct Programs {
    server: PathBuf,
    agent: PathBuf,
}

/// What `gatebook demo` leaves in `demo-agents.json` for us.
struct Plan {
    agents: Vec<Agent>,
    first_jump: String,
    /// How to approve a request that waits; a demo that was made earlier has none.
    approve_first: Option<String>,
}

/// One machine of the demo's fleet: its name, its installer's KEY_INFO and the folder for its identity.
struct Agent {
    name: String,
    key: String,
    state: PathBuf,
}

impl Agent {
    /// Completes the command that runs it. The key goes by the environment: command lines are seen by everybody on the machine.
    fn run_by(&self, command: &mut Command, address: &str) {
        command
            .arg("run")
            .args(["--server", address])
            .arg("--state")
            .arg(&self.state)
            .env("GATEBOOK_AGENT_KEY", &self.key);
    }
}

impl Plan {
    fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let folder = file.parent().context("the file lies in a folder")?;
        Self::from_json(&text, folder).with_context(|| format!("reading {}", file.display()))
    }

    /// `{"agents": [{"name", "key", "state"}], "first_jump": "curl …", "approve_first": "…"}`; a relative `state` is below the demo's folder.
    fn from_json(text: &str, folder: &Path) -> Result<Self> {
        let json: Value = serde_json::from_str(text)?;
        let word = |object: &Value, name: &str| -> Result<String> {
            Ok(object[name]
                .as_str()
                .with_context(|| format!("`{name}` is missing or not a text"))?
                .to_owned())
        };
        let agents = json["agents"]
            .as_array()
            .context("`agents` is missing or not a list")?;
        let agents: Result<Vec<Agent>> = agents
            .iter()
            .map(|agent| {
                Ok(Agent {
                    name: word(agent, "name")?,
                    key: word(agent, "key")?,
                    state: folder.join(word(agent, "state")?),
                })
            })
            .collect();
        Ok(Self {
            agents: agents?,
            first_jump: word(&json, "first_jump")?,
            approve_first: json["approve_first"].as_str().map(str::to_owned),
        })
    }
}

/// The processes that run, in the order of their start.
#[derive(Default)]
struct Household {
    members: Vec<(String, Child)>,
}

impl Household {
    fn serve(
        &mut self,
        workspace: &Workspace,
        interrupt: &Interrupt,
        options: &Options,
        programs: &Programs,
        site: &Path,
        plan: &Plan,
    ) -> Result<()> {
        let address = address_of(options);
        let mut serve = workspace.command(&programs.server);
        serve
            .arg("serve")
            .arg("--data")
            .arg(site)
            .arg("--listen")
            .arg(options.listen.to_string())
            .args(["--url", &address]);
        self.begin("gatebook", &mut serve)?;
        self.wait_until_ready(interrupt, &address, site)?;
        for agent in plan.agents.iter().take(AGENTS) {
            let mut command = workspace.command(&programs.agent);
            agent.run_by(&mut command, &address);
            self.begin(&agent.name, &mut command)?;
        }
        announce(site, &address, plan);
        self.watch(interrupt)
    }

    fn begin(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let child = start_apart(command)?;
        self.members.push((name.to_owned(), child));
        Ok(())
    }

    /// Asks the health page with curl, as a person would; trusts only the site's own authority.
    fn wait_until_ready(
        &mut self,
        interrupt: &Interrupt,
        address: &str,
        site: &Path,
    ) -> Result<()> {
        let began = Instant::now();
        let page = format!("{address}/check_health");
        let mut next_at = began;
        loop {
            interrupt.check()?;
            self.check_alive()?;
            if Instant::now() >= next_at {
                let mut ask = Command::new("curl");
                ask.args(["--silent", "--fail", "--max-time", "5", "--cacert"])
                    .arg(site.join("site-ca.pem"))
                    .arg(&page);
                if succeeds(&mut ask) {
                    return Ok(());
                }
                next_at = Instant::now() + Duration::from_millis(200);
            }
            ensure!(
                began.elapsed() < READY_MAX,
                "{page} gave no answer within {} s (curl is needed to ask it)",
                READY_MAX.as_secs()
            );
            pause();
        }
    }

    fn check_alive(&mut self) -> Result<()> {
        for (name, child) in &mut self.members {
            if let Some(status) = child.try_wait().context("waiting for a child")? {
                bail!("{name} ended with {status}");
            }
        }
        Ok(())
    }

    fn watch(&mut self, interrupt: &Interrupt) -> Result<()> {
        loop {
            interrupt.check()?;
            self.check_alive()?;
            pause();
        }
    }

    /// Ends agents before the server they talk to, each by its process id.
    fn stop(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some((name, mut child)) = self.members.pop() {
            let ended = end(&mut child, &[(Signal::SIGTERM, Duration::from_secs(15))]);
            outcome = outcome.and(ended.map(drop).with_context(|| format!("stopping {name}")));
        }
        outcome
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // Not `eprintln!`: a panic here would leave the rest of them running.
            let _ = writeln!(io::stderr(), "not all processes were stopped: {error:#}");
        }
    }
}

fn announce(site: &Path, address: &str, plan: &Plan) {
    let names: Vec<&str> = plan
        .agents
        .iter()
        .take(AGENTS)
        .map(|agent| agent.name.as_str())
        .collect();
    println!();
    println!("The demo site is served at {address}");
    println!(
        "  its certificate authority, for curl --cacert:  {}",
        site.join("site-ca.pem").display()
    );
    println!(
        "  the administrator and the first API account:   {}",
        site.join("first-run.json").display()
    );
    println!(
        "  agents that run:                               {}",
        names.join(", ")
    );
    println!();
    println!("The first jump:");
    println!();
    println!("{}", plan.first_jump);
    println!();
    if let Some(approve_first) = &plan.approve_first {
        println!("The first request to approve:");
        println!();
        println!("{approve_first}");
        println!();
    }
    println!(
        "Ctrl-C stops all of it; the site stays in {} (--fresh makes it anew).",
        site.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_key_is_not_on_its_command_line() {
        let agent = Agent {
            name: "web-1".to_owned(),
            key: "a-secret".to_owned(),
            state: PathBuf::from("state"),
        };
        let mut command = Command::new("gatebook-agent");
        agent.run_by(&mut command, "https://localhost");
        assert!(command.get_args().all(|word| word != "a-secret"));
        let key = ("GATEBOOK_AGENT_KEY".as_ref(), Some("a-secret".as_ref()));
        assert!(command.get_envs().any(|variable| variable == key));
    }

    #[test]
    fn a_plan_is_read_and_what_is_missing_is_named() {
        let plan = Plan::from_json(
            r#"{"agents": [{"name": "web-1", "key": "abc", "state": "agents/web-1"}], "first_jump": "curl", "approve_first": "a link"}"#,
            Path::new("site"),
        )
        .unwrap();
        assert_eq!(plan.agents[0].state, Path::new("site/agents/web-1"));
        assert_eq!(plan.approve_first.as_deref(), Some("a link"));
        for (json, word) in [
            ("{}", "agents"),
            (r#"{"agents": [{"name": "a", "state": "b"}]}"#, "key"),
            (r#"{"agents": []}"#, "first_jump"),
        ] {
            let error = Plan::from_json(json, Path::new("site")).err().unwrap();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
