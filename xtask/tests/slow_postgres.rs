//! The PostgreSQL of the tests never outlives the xtask that started it.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// An `xtask postgres` that said where its server listens.
struct Holder {
    child: Child,
    port: u16,
    _output: BufReader<ChildStdout>,
}

impl Holder {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("postgres")
            .env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"))
            .env_remove("GATEBOOK_TEST_DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("xtask starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output
            .read_line(&mut line)
            .expect("it says where the server listens");
        let port = line
            .rsplit_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(port, _)| port);
        let port = port
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("no address in `{line}`"));
        Self {
            child,
            port,
            _output: output,
        }
    }

    fn send(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).expect("ids fit")),
            signal,
        )
        .expect("xtask runs");
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn it_is_stopped_when_xtask_is_asked_to_stop() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut holder = Holder::start();
        assert!(
            listens(holder.port),
            "PostgreSQL is ready when its address is printed"
        );
        holder.send(signal);
        assert!(
            holder.child.wait().expect("xtask ends").success(),
            "after {signal}"
        );
        assert!(!listens(holder.port), "after {signal}");
    }
}

#[test]
fn the_next_xtask_ends_what_a_killed_one_left() {
    let mut killed = Holder::start();
    killed.send(Signal::SIGKILL);
    killed.child.wait().expect("xtask ends");
    assert!(listens(killed.port), "nobody was there to stop it");
    let mut next = Holder::start();
    let began = Instant::now();
    while listens(killed.port) {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the server that was left behind still listens"
        );
    }
    next.send(Signal::SIGTERM);
    assert!(next.child.wait().expect("xtask ends").success());
}
