//! How long an agent lives by itself, what it collects, and how it says that it goes: protocol 2 against a played server.
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

mod far_side;

use std::path::Path;
use std::time::Duration;

use agent::{Agent, Machine, Options, Stopped, Store};
use far_side::running::*;
use far_side::*;
use link_protocol::*;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

const NEVER: usize = usize::MAX / 2;

fn settings(statistics: &[&str], remove_after_minutes: u32) -> Settings {
    Settings {
        check_in_seconds: 3_600,
        statistics: statistics.iter().map(|&code| code.to_owned()).collect(),
        remove_after_minutes,
        passive: false,
    }
}

/// Takes a registration by protocol 2.
async fn take_registration(server: &mut FarSide<DuplexStream>, told: Settings) {
    server.hello().await;
    let mut welcome = welcome(Some(FIRST_TOKEN), system_anchors(1));
    welcome.protocol = 2;
    server.welcome(welcome).await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    server.send(ServerFrame::Settings(told)).await;
    // The answer to a ping shows that what came before it was taken.
    server.send(ServerFrame::Ping { nonce: 1 }).await;
    assert_eq!(server.frame().await, ClientFrame::Pong { nonce: 1 });
}

/// Waits for as long as it takes, and answers how long that was.
async fn expired(running: Running, since: Instant) -> (Stopped, Duration) {
    let year = Duration::from_secs(366 * 86_400);
    let stopped = tokio::time::timeout(year, running.agent).await;
    (stopped.expect("it stops").unwrap(), since.elapsed())
}

/// CLNT-19, CLNT-20: a client that can't reach its site goes at the time it was told last, and not before.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_reach_its_site_goes_at_the_time_it_was_told_last() {
    for minutes in [5, 30 * 1_440] {
        let folder = tempfile::tempdir().unwrap();
        let key = Some(key(URL, system_anchors(1)));
        let mut running = start_by(folder.path(), key, 0, clock()).await;
        let (_, mut server) = running.connected().await;
        take_registration(&mut server, settings(&["cpu"], 900)).await;
        // What it is told later takes the place of what it was told before.
        server
            .send(ServerFrame::Settings(settings(&["cpu"], minutes)))
            .await;
        server.send(ServerFrame::Ping { nonce: 2 }).await;
        assert_eq!(server.frame().await, ClientFrame::Pong { nonce: 2 });
        running
            .dial
            .failing
            .store(NEVER, std::sync::atomic::Ordering::SeqCst);
        let since = Instant::now();
        drop(server);
        let (stopped, after) = expired(running, since).await;
        assert!(
            matches!(stopped, Stopped::Expired { minutes: told, .. } if told == minutes),
            "{stopped:?}"
        );
        let told = Duration::from_secs(u64::from(minutes) * 60);
        assert!(
            (told..told + Duration::from_secs(40)).contains(&after),
            "{after:?} of {told:?}"
        );
    }
}

/// CLNT-19: what the site says again is on disk already; only when the time the site was there is a minute old is it written.
#[tokio::test(start_paused = true)]
async fn settings_that_are_told_again_are_written_once() {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    let told = settings(&["cpu"], 60);
    take_registration(&mut server, told.clone()).await;
    // Every write is another file. The answer to the anchors comes when all before them is done.
    let file = folder.path().join("identity.json");
    let told_again = async |server: &mut FarSide<DuplexStream>, told: &Settings| {
        server.send(ServerFrame::Settings(told.clone())).await;
        server.send(ServerFrame::Anchors(system_anchors(1))).await;
        let held = ClientFrame::AnchorsStored { version: 1 };
        assert_eq!(server.frame().await, held);
        std::fs::read_to_string(&file).unwrap()
    };
    let first = told_again(&mut server, &told).await;
    let written = std::fs::metadata(&file).unwrap().ino();
    for _ in 0..3 {
        assert_eq!(told_again(&mut server, &told).await, first);
        assert_eq!(std::fs::metadata(&file).unwrap().ino(), written);
    }
    let other = settings(&["cpu"], 61);
    assert_ne!(told_again(&mut server, &other).await, first);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let before = std::fs::read_to_string(&file).unwrap();
    assert_ne!(told_again(&mut server, &other).await, before);
    running.stop(server).await;
}

/// CLNT-19: also where the machine was off meanwhile; but first it tries to reach its site, more than once and for more than a
/// moment: it may have started before its network and its clock.
#[tokio::test(start_paused = true)]
async fn a_machine_that_was_off_for_too_long_tries_its_site_for_two_minutes_more() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock.clone()).await;
    let (_, mut server) = running.connected().await;
    take_registration(&mut server, settings(&["cpu"], 60)).await;
    running.stop(server).await;
    tokio::time::advance(Duration::from_secs(3_601)).await;
    // The site is there: the client stays.
    let mut running = start_by(folder.path(), None, 0, clock.clone()).await;
    let (_, mut server) = running.connected().await;
    server.resume(FIRST_TOKEN).await;
    running.stop(server).await;
    // It is not.
    tokio::time::advance(Duration::from_secs(3_601)).await;
    let since = Instant::now();
    let running = start_by(folder.path(), None, NEVER, clock).await;
    let dial = running.dial.clone();
    let (stopped, after) = expired(running, since).await;
    assert!(matches!(stopped, Stopped::Expired { .. }), "{stopped:?}");
    assert!((120..150).contains(&after.as_secs()), "{after:?}");
    let tries = dial.failed_at.lock().unwrap().len();
    assert!((3..20).contains(&tries), "{tries}");
}

/// CLNT-19: a clock that is set ten years ahead removes no client, nor does a server whose certificate seems to be too young:
/// it is this machine's clock that may be wrong.
#[tokio::test(start_paused = true)]
async fn a_wrong_clock_removes_no_client() {
    use std::sync::atomic::{AtomicI64, Ordering};

    let folder = tempfile::tempdir().unwrap();
    let set = std::sync::Arc::new(AtomicI64::new(0));
    let (by, right) = (set.clone(), clock());
    let clock = agent::WallClock::new(move || right.now() + by.load(Ordering::SeqCst));
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock.clone()).await;
    let (_, mut server) = running.connected().await;
    take_registration(&mut server, settings(&["cpu"], 60)).await;
    running.dial.failing.store(NEVER, Ordering::SeqCst);
    let since = Instant::now();
    drop(server);
    tokio::time::sleep(Duration::from_secs(600)).await;
    set.store(10 * 365 * 86_400, Ordering::SeqCst);
    let (stopped, after) = expired(running, since).await;
    assert!(matches!(stopped, Stopped::Expired { .. }), "{stopped:?}");
    assert!((3_600..3_640).contains(&after.as_secs()), "{after:?}");

    // Started anew, its time is over at once by this clock; but it does not get as far as to hear that from anyone.
    tokio::time::advance(Duration::from_secs(86_400)).await;
    let running = start_by(folder.path(), None, NEVER, clock).await;
    running.dial.too_early.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert!(!running.agent.is_finished());
    let tries = running.dial.failed_at.lock().unwrap().len();
    assert!((280..700).contains(&tries), "{tries} tries in a day");
    running.stop.send(true).unwrap();
    assert_eq!(running.agent.await.unwrap(), Stopped::Told);
}

/// CLNT-31: a link that breaks more often than the interval puts off no check-in.
#[tokio::test(start_paused = true)]
async fn links_that_break_put_off_no_check_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    server.hello().await;
    let mut welcome = welcome(Some(FIRST_TOKEN), system_anchors(1));
    welcome.check_in_now = true;
    server.welcome(welcome).await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    assert!(matches!(server.frame().await, ClientFrame::CheckIn(_)));
    let mut last = Instant::now();
    server
        .send(ServerFrame::CheckInRecorded { sequence: 1 })
        .await;
    // The second time it is never recorded, and so due again on the next connection.
    for (within, recorded) in [(3_600..3_680, false), (0..80, true), (3_600..3_680, true)] {
        let check_in = loop {
            drop(server);
            server = running.connected().await.1;
            server.resume(FIRST_TOKEN).await;
            let held = Duration::from_secs(65);
            if let Ok(frame) = tokio::time::timeout(held, server.frame_when_it_comes()).await {
                break frame;
            }
        };
        assert!(matches!(check_in, ClientFrame::CheckIn(_)), "{check_in:?}");
        let after = last.elapsed().as_secs();
        assert!(within.contains(&after), "{after} of {within:?}");
        last = Instant::now();
        if recorded {
            server
                .send(ServerFrame::CheckInRecorded { sequence: 1 })
                .await;
            server.send(ServerFrame::Ping { nonce: 1 }).await;
            assert_eq!(server.frame().await, ClientFrame::Pong { nonce: 1 });
        }
    }
    running.stop(server).await;
}

/// CLNT-32: a passive client comes back for every check-in, also where the site needs none to know it.
#[tokio::test(start_paused = true)]
async fn a_passive_client_checks_in_on_every_visit_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    let mut told = settings(&["cpu", "uptime"], 900);
    told.passive = true;
    take_registration(&mut server, told.clone()).await;
    let mut came_at = Instant::now();
    for visit in 1..=4 {
        let seen = match server.frame().await {
            ClientFrame::CheckIn(check_in) => check_in.figures,
            other => panic!("visit {visit}: a check-in was expected, not {other:?}"),
        };
        assert!(seen.uptime_seconds.is_some(), "visit {visit}");
        server
            .send(ServerFrame::CheckInRecorded { sequence: 1 })
            .await;
        assert_eq!(server.frame().await, ClientFrame::Goodbye {});
        server.close().await;
        let (at, next) = running.connected().await;
        let after = (at - came_at).as_secs();
        assert!((3_590..3_610).contains(&after), "visit {visit}: {after}");
        (came_at, server) = (at, next);
        server.hello().await;
        let mut welcome = welcome(None, system_anchors(1));
        welcome.protocol = 2;
        server.welcome(welcome).await;
        assert_eq!(
            server.frame().await,
            ClientFrame::AnchorsStored { version: 1 }
        );
        server.send(ServerFrame::Settings(told.clone())).await;
    }
}

/// CLNT-03: an active client listens nowhere, also one that was passive before.
#[tokio::test]
async fn a_client_that_is_passive_no_more_listens_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    let mut told = settings(&["cpu"], 900);
    told.passive = true;
    take_registration(&mut server, told.clone()).await;
    let port = match server.frame().await {
        ClientFrame::CheckIn(check_in) => check_in.facts.listen_port.expect("a port"),
        other => panic!("a check-in was expected, not {other:?}"),
    };
    assert!(
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    );
    told.passive = false;
    server.send(ServerFrame::Settings(told)).await;
    server.send(ServerFrame::Ping { nonce: 2 }).await;
    assert_eq!(server.frame().await, ClientFrame::Pong { nonce: 2 });
    let gone = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    running.stop(server).await;
}

/// CLNT-19: a site that answers is there, whatever it says.
#[tokio::test(start_paused = true)]
async fn a_site_that_only_asks_for_patience_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    take_registration(&mut server, settings(&["cpu"], 5)).await;
    drop(server);
    let until = Instant::now() + Duration::from_secs(3_600);
    let mut tries = 0;
    while Instant::now() < until {
        tries += 1;
        let (_, mut server) = running.connected().await;
        server.hello().await;
        server
            .send(ServerFrame::RetryLater { after_ms: 60_000 })
            .await;
        server.closed().await;
    }
    assert!(!running.agent.is_finished());
    // However long its time is over, it comes no sooner than it was asked to.
    assert!(tries <= 61, "{tries} tries in an hour");
    running.stop.send(true).unwrap();
    assert_eq!(running.agent.await.unwrap(), Stopped::Told);
}

/// CLNT-31: what is deselected is not collected, and what was said of it is taken back.
#[tokio::test(start_paused = true)]
async fn only_the_statistics_asked_for_are_collected() {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    let mut told = settings(&["uptime"], 900);
    told.check_in_seconds = 1;
    take_registration(&mut server, told.clone()).await;
    let figures = |frame: ClientFrame| match frame {
        ClientFrame::CheckIn(check_in) => check_in.figures,
        other => panic!("a check-in was expected, not {other:?}"),
    };
    let seen = figures(server.frame().await);
    assert!(seen.uptime_seconds.is_some());
    assert_eq!((seen.cpu_permille, seen.disks.len()), (None, 0));
    told.statistics = vec!["cpu".to_owned()];
    server.send(ServerFrame::Settings(told)).await;
    let seen = loop {
        let seen = figures(server.frame().await);
        if seen.uptime_seconds.is_none() {
            break seen;
        }
    };
    assert!(seen.cpu_permille.is_some());
    running.stop(server).await;
}

/// CLNT-29: switched off by a file beside its state, a client says so and starts no session.
#[tokio::test(start_paused = true)]
async fn a_client_that_its_user_switched_off_says_so_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, server) = registered(folder.path()).await;
    std::fs::write(folder.path().join("disabled"), "").unwrap();
    drop(server);
    let (_, mut server) = running.connected().await;
    let hello = server.resume(FIRST_TOKEN).await;
    assert_eq!(hello.facts.disabled, Some(true));
    let start = StartSession {
        lsid: "lsid-1".to_owned(),
        user_display_name: "Anna".to_owned(),
        answer_within_ms: 1_000,
    };
    server.send(ServerFrame::StartSession(start)).await;
    let refused = ClientFrame::SessionFailed {
        lsid: "lsid-1".to_owned(),
        reason: SessionFailReason::ClientDisabled,
        detail: String::new(),
    };
    assert_eq!(server.frame().await, refused);
    std::fs::remove_file(folder.path().join("disabled")).unwrap();
    let enabled = tokio::time::timeout(SWITCHED_WITHIN, server.frame_when_it_comes());
    match enabled.await.expect("the change is said") {
        ClientFrame::CheckIn(check_in) => assert_eq!(check_in.facts.disabled, Some(false)),
        other => panic!("a check-in was expected, not {other:?}"),
    }
    running.stop(server).await;
}

/// How soon a switch at the machine is said.
const SWITCHED_WITHIN: Duration = Duration::from_secs(5);

/// CLNT-02, CLNT-29: a passive client that waits to be called comes to say that it was switched off.
#[tokio::test]
async fn a_passive_client_comes_when_it_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    let mut told = settings(&["cpu"], 900);
    told.passive = true;
    take_registration(&mut server, told).await;
    assert!(matches!(server.frame().await, ClientFrame::CheckIn(_)));
    server
        .send(ServerFrame::CheckInRecorded { sequence: 1 })
        .await;
    tokio::time::pause();
    assert_eq!(server.frame().await, ClientFrame::Goodbye {});
    tokio::time::resume();
    server.close().await;
    drop(server);
    std::fs::write(folder.path().join("disabled"), "").unwrap();
    let came = tokio::time::timeout(PATIENCE, running.connected()).await;
    let (_, mut server) = came.expect("it does not wait for its next check-in");
    assert_eq!(server.hello().await.facts.disabled, Some(true));
}

/// CLNT-14, CLNT-26: removed while it was away, a client goes where it was away for as long as its site's own rule needs; one that
/// a person removed before that stays.
#[tokio::test(start_paused = true)]
async fn a_client_that_was_deleted_for_being_away_goes_when_it_comes_back() {
    let minutes = 180 * 1_440;
    let hours = Duration::from_secs(3_600);
    for (away, goes) in [(24 * hours, false), (180 * 24 * hours, true)] {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let key = Some(key(URL, system_anchors(1)));
        let mut running = start_by(folder.path(), key, 0, clock.clone()).await;
        let (_, mut server) = running.connected().await;
        take_registration(&mut server, settings(&["cpu"], minutes)).await;
        running.stop(server).await;

        // The machine is switched off meanwhile.
        tokio::time::advance(away).await;
        let mut running = start_by(folder.path(), None, 0, clock).await;
        let (_, mut server) = running.connected().await;
        server.hello().await;
        let refused = Refused {
            code: RefusedCode::ClientRemoved,
            message: "gone".to_owned(),
            retry_after_ms: None,
            is_final: true,
        };
        server.send(ServerFrame::Refused(refused)).await;
        let stopped = running.agent.await.unwrap();
        assert_eq!(
            matches!(stopped, Stopped::Expired { minutes: told, .. } if told == minutes),
            goes,
            "{stopped:?}"
        );
        assert_eq!(matches!(stopped, Stopped::Refused(_)), !goes);
    }
}

async fn about_to_go(state: &Path, failing: usize) -> (Agent<std::sync::Arc<MemoryDial>>, Running) {
    // Beside one that is over, for its dial and the ends of its connections.
    let (dialed, connections) = mpsc::channel(16);
    let dial = std::sync::Arc::new(MemoryDial {
        dialed,
        failing: failing.into(),
        too_early: false.into(),
        failed_at: std::sync::Mutex::default(),
    });
    let agent = Agent::new(
        std::sync::Arc::clone(&dial),
        Store::open(state).unwrap(),
        Machine::new(InstallMode::Service),
        Options::default(),
    )
    .await
    .unwrap();
    let (stop, _) = tokio::sync::watch::channel(false);
    let running = Running {
        state: state.to_owned(),
        dial,
        connections,
        stop,
        agent: tokio::spawn(async { Stopped::Told }),
    };
    (agent, running)
}

/// CLNT-23, CLNT-24, CLNT-27: told where the site is there, and not where it is not.
#[tokio::test(start_paused = true)]
async fn that_it_is_uninstalled_is_said_where_the_site_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (running, server) = registered(folder.path()).await;
    running.stop(server).await;
    let within = Duration::from_secs(60);

    let (mut agent, _gone) = about_to_go(folder.path(), NEVER).await;
    assert!(!agent.say_uninstalling(within).await.unwrap());
    drop(agent);

    let (mut agent, mut running) = about_to_go(folder.path(), 0).await;
    let said = tokio::spawn(async move { agent.say_uninstalling(within).await.unwrap() });
    let (_, mut server) = running.connected().await;
    server.hello().await;
    let mut welcome = welcome(None, system_anchors(1));
    welcome.protocol = 2;
    server.welcome(welcome).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    server
        .send(ServerFrame::Settings(settings(&["cpu"], 900)))
        .await;
    assert_eq!(server.frame().await, ClientFrame::Uninstalling {});
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1000.into(),
        reason: "".into(),
    };
    server.socket.close(Some(close)).await.unwrap();
    assert!(said.await.unwrap());
}

/// CLNT-02: it checks in, leaves, and comes when it is called.
#[tokio::test]
async fn a_passive_client_leaves_and_comes_when_it_is_called() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir().unwrap();
    let key = Some(key(URL, system_anchors(1)));
    let mut running = start_by(folder.path(), key, 0, clock()).await;
    let (_, mut server) = running.connected().await;
    let mut told = settings(&["cpu"], 900);
    told.passive = true;
    take_registration(&mut server, told.clone()).await;
    // Where it listens is a fact, and said before it goes.
    let port = match server.frame().await {
        ClientFrame::CheckIn(check_in) => check_in.facts.listen_port.expect("a port"),
        other => panic!("a check-in was expected, not {other:?}"),
    };
    assert_ne!(port, 0);
    server
        .send(ServerFrame::CheckInRecorded { sequence: 1 })
        .await;
    tokio::time::pause();
    assert_eq!(server.frame().await, ClientFrame::Goodbye {});
    tokio::time::resume();
    server.close().await;
    drop(server);

    let mut call = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    call.write_all(b"{\"call\":7}\n").await.unwrap();
    let mut answer = String::new();
    call.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "{\"client_id\":7,\"coming\":true}\n");
    let (_, mut server) = running.connected().await;
    let hello = server.hello().await;
    assert_eq!(hello.facts.listen_port, Some(port));
    let mut welcome = welcome(None, system_anchors(1));
    welcome.protocol = 2;
    server.welcome(welcome).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    server.send(ServerFrame::Settings(told)).await;
    let start = StartSession {
        lsid: "lsid-1".to_owned(),
        user_display_name: "Anna".to_owned(),
        answer_within_ms: 1_000,
    };
    server.send(ServerFrame::StartSession(start)).await;
    let lsid = "lsid-1".to_owned();
    assert_eq!(server.frame().await, ClientFrame::SessionStarted { lsid });
}
