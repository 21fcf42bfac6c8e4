//! An agent against a played server, over streams in memory and with time that waits for nobody.
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

mod far_side;

use std::time::Duration;

use agent::{Stopped, Store};
use far_side::running::*;
use far_side::*;
use link_protocol::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// CLNT-04
#[tokio::test(start_paused = true)]
async fn a_new_machine_registers_and_confirms_only_what_is_on_disk() {
    let folder = folder();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    let hello = server.hello().await;
    assert_eq!(hello.protocols, [3, 2, 1]);
    assert_eq!(hello.facts.private_ip.as_deref(), Some("10.0.0.7"));
    assert_eq!(hello.facts.install_mode, Some(InstallMode::Service));
    assert!(hello.facts.hostname.is_some_and(|name| !name.is_empty()));
    let Identity::Register(register) = hello.identity else {
        panic!("it registers")
    };
    assert_eq!(register.secret.expose(), INSTALLER_SECRET);
    assert_eq!(running.token_on_disk(), None);
    server
        .welcome(welcome(Some(FIRST_TOKEN), system_anchors(1)))
        .await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(running.token_on_disk().as_deref(), Some(FIRST_TOKEN));
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_identity_is_resumed_without_a_key() {
    let folder = folder();
    let (running, server) = registered(folder.path()).await;
    running.stop(server).await;
    let mut running = start(folder.path(), None).await;
    let (_, mut server) = running.connected().await;
    server.resume(FIRST_TOKEN).await;
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn the_boot_id_is_kept_between_connections_and_new_after_a_restart() {
    let folder = folder();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    let first = server.register().await.boot_id;
    drop(server);
    let (_, mut server) = running.connected().await;
    assert_eq!(server.resume(FIRST_TOKEN).await.boot_id, first);
    running.stop(server).await;
    let mut running = start(folder.path(), None).await;
    let (_, mut server) = running.connected().await;
    assert_ne!(server.resume(FIRST_TOKEN).await.boot_id, first);
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_was_lost_is_repeated_as_the_same_one() {
    let folder = folder();
    let attempt = |hello: Hello| match hello.identity {
        Identity::Register(register) => register.attempt,
        Identity::Resume(_) => panic!("it registers"),
    };
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    let first = attempt(server.hello().await);
    drop(server);
    let (_, mut server) = running.connected().await;
    assert_eq!(attempt(server.hello().await), first);
    running.agent.abort();
    assert!(running.agent.await.unwrap_err().is_cancelled());
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    assert_eq!(attempt(server.hello().await), first);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_is_on_disk_before_it_is_confirmed_and_used_from_then_on() {
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    server
        .send(ServerFrame::RotateToken {
            token: Secret::new(SECOND_TOKEN),
        })
        .await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(running.token_on_disk().as_deref(), Some(SECOND_TOKEN));
    drop(server);
    let (_, mut server) = running.connected().await;
    server.resume(SECOND_TOKEN).await;
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_kept_is_not_confirmed_and_the_present_one_stays() {
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    let in_the_way = folder.path().join("identity.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    server
        .send(ServerFrame::RotateToken {
            token: Secret::new(SECOND_TOKEN),
        })
        .await;
    server.send(ServerFrame::Ping { nonce: 1 }).await;
    assert_eq!(server.frame().await, ClientFrame::Pong { nonce: 1 });
    assert_eq!(running.token_on_disk().as_deref(), Some(FIRST_TOKEN));
    drop(server);
    let (_, mut server) = running.connected().await;
    server.resume(FIRST_TOKEN).await;
    std::fs::remove_dir(&in_the_way).unwrap();
    running.stop(server).await;
}

/// A disk that takes its time keeps no ping waiting, and nothing is confirmed before it is there.
#[test]
fn pings_are_answered_while_the_disk_is_slow() {
    // One thread for all that blocks, which the test holds: a disk that takes nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = folder();
        let (running, mut server) = registered(folder.path()).await;
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let disk = tokio::task::spawn_blocking(move || held.recv());
        server
            .send(ServerFrame::RotateToken {
                token: Secret::new(SECOND_TOKEN),
            })
            .await;
        server.send(ServerFrame::Anchors(system_anchors(2))).await;
        for nonce in 0..3 {
            server.send(ServerFrame::Ping { nonce }).await;
            assert_eq!(server.frame().await, ClientFrame::Pong { nonce });
        }
        assert_eq!(running.token_on_disk().as_deref(), Some(FIRST_TOKEN));
        release.send(()).unwrap();
        disk.await.unwrap().unwrap();
        assert_eq!(server.frame().await, ClientFrame::TokenStored {});
        assert_eq!(running.token_on_disk().as_deref(), Some(SECOND_TOKEN));
        assert_eq!(
            server.frame().await,
            ClientFrame::AnchorsStored { version: 2 }
        );
        running.stop(server).await;
    });
}

/// What was told before the link broke is on disk when the next one begins.
#[tokio::test(start_paused = true)]
async fn what_was_told_last_is_kept_though_the_link_breaks() {
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    server
        .send(ServerFrame::RotateToken {
            token: Secret::new(SECOND_TOKEN),
        })
        .await;
    server.send(ServerFrame::Ping { nonce: 1 }).await;
    // The confirmation may come before the answer or after it.
    while server.frame().await != (ClientFrame::Pong { nonce: 1 }) {}
    drop(server);
    let (_, mut server) = running.connected().await;
    server.resume(SECOND_TOKEN).await;
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn newer_anchors_are_kept_and_older_ones_never() {
    let folder = folder();
    let (running, mut server) = registered(folder.path()).await;
    for (sent, held) in [(3, 3), (2, 3), (3, 3), (4, 4)] {
        server
            .send(ServerFrame::Anchors(system_anchors(sent)))
            .await;
        assert_eq!(
            server.frame().await,
            ClientFrame::AnchorsStored { version: held }
        );
    }
    running.stop(server).await;
    assert_eq!(
        Store::open(folder.path())
            .unwrap()
            .state()
            .unwrap()
            .anchors
            .version,
        4
    );
}

#[tokio::test(start_paused = true)]
async fn check_ins_bring_real_figures_at_once_and_then_every_interval() {
    let folder = folder();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    server.hello().await;
    let mut welcome = welcome(Some(FIRST_TOKEN), system_anchors(1));
    welcome.check_in_now = true;
    // Longer than the interval, so that silence does not end the link.
    (welcome.check_in_seconds, welcome.heartbeat_seconds) = (100, 300);
    server.welcome(welcome).await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    let mut came_at = Instant::now();
    for sequence in 1..=3 {
        let message =
            tokio::time::timeout(Duration::from_secs(200), server.frame_when_it_comes()).await;
        let ClientFrame::CheckIn(check_in) = message.expect("a check-in") else {
            panic!("a check-in")
        };
        assert_eq!(check_in.sequence, sequence);
        assert!(
            check_in
                .figures
                .memory_total_bytes
                .is_some_and(|bytes| bytes > 1_000_000)
        );
        assert!(
            check_in
                .figures
                .cpu_permille
                .is_some_and(|load| load <= 1_000)
        );
        assert!(check_in.figures.uptime_seconds.is_some());
        assert_eq!(
            check_in.facts.hostname, None,
            "what has not changed is not said again"
        );
        let pause = came_at.elapsed();
        assert!(
            sequence == 1 || (100..=102).contains(&pause.as_secs()),
            "{pause:?}"
        );
        came_at = Instant::now();
        server.send(ServerFrame::CheckInRecorded { sequence }).await;
    }
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn sessions_start_and_end_when_told_and_outlive_a_lost_connection() {
    let start = |lsid: &str| {
        let (lsid, user_display_name) = (lsid.to_owned(), "Anna".to_owned());
        ServerFrame::StartSession(StartSession {
            lsid,
            user_display_name,
            answer_within_ms: 20_000,
        })
    };
    let end = |lsid: &str| {
        ServerFrame::EndSession(EndSession {
            lsid: lsid.to_owned(),
            reason: "Ended.".to_owned(),
        })
    };
    let started = |lsid: &str| ClientFrame::SessionStarted {
        lsid: lsid.to_owned(),
    };
    let ended = |lsid: &str, reason| ClientFrame::SessionEnded {
        lsid: lsid.to_owned(),
        reason,
    };
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    for (order, answer) in [
        (start("one"), started("one")),
        (start("two"), started("two")),
        (start("one"), started("one")),
        (
            end("three"),
            ended("three", SessionEndReason::UnknownSession),
        ),
    ] {
        server.send(order).await;
        assert_eq!(server.frame().await, answer);
    }
    drop(server);
    let (_, mut server) = running.connected().await;
    assert_eq!(server.resume(FIRST_TOKEN).await.sessions, ["one", "two"]);
    server.send(end("two")).await;
    assert_eq!(server.frame().await, ended("two", SessionEndReason::Asked));
    running.stop.send(true).unwrap();
    assert_eq!(
        server.frame().await,
        ended("one", SessionEndReason::Stopping)
    );
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_with_pings_stays_and_a_silent_one_is_given_up_after_two_and_a_half_heartbeats() {
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    for nonce in 0..20 {
        tokio::time::sleep(Duration::from_secs(70)).await;
        server.send(ServerFrame::Ping { nonce }).await;
        assert_eq!(server.frame().await, ClientFrame::Pong { nonce });
    }
    let silent_from = Instant::now();
    assert_eq!(server.closed().await, Some(4408));
    assert_eq!(silent_from.elapsed().as_secs(), 75);
    let (_, mut server) = running.connected().await;
    server.resume(FIRST_TOKEN).await;
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_hello_without_an_answer_is_given_up_after_thirty_seconds() {
    let folder = folder();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    server.hello().await;
    let asked_at = Instant::now();
    assert_eq!(server.closed().await, Some(4408));
    assert_eq!(asked_at.elapsed().as_secs(), 30);
    let (_, mut server) = running.connected().await;
    server.register().await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_nobody_answers_and_begin_anew_after_a_link_that_lasted() {
    let folder = folder();
    let mut running = start_failing(folder.path(), Some(key(URL, system_anchors(1))), 12).await;
    let (at, mut server) = running.connected().await;
    let mut times = std::mem::take(&mut *running.dial.failed_at.lock().unwrap());
    times.push(at);
    for (index, pair) in times.windows(2).enumerate() {
        let longest = 2_f64.powi(index as i32).min(300.0);
        let pause = (pair[1] - pair[0]).as_secs_f64();
        // Reading the machine takes real time, which a paused clock shows as a little of its own.
        assert!(
            pause >= longest / 2.0 - 0.01 && pause <= longest + 1.0,
            "pause {index}: {pause}"
        );
    }
    server.register().await;
    let nonce = 1;
    tokio::time::sleep(Duration::from_secs(61)).await;
    server.send(ServerFrame::Ping { nonce }).await;
    assert_eq!(server.frame().await, ClientFrame::Pong { nonce });
    let lost_at = Instant::now();
    drop(server);
    let (at, _server) = running.connected().await;
    assert!(at - lost_at <= Duration::from_secs(2), "{:?}", at - lost_at);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_keeps_breaking_at_once_does_not_begin_anew() {
    let folder = folder();
    let (mut running, server) = registered(folder.path()).await;
    drop(server);
    let mut broke_at = Instant::now();
    for failure in 1..8 {
        let (at, mut server) = running.connected().await;
        let longest = 2_f64.powi(failure - 1);
        let pause = (at - broke_at).as_secs_f64();
        assert!(
            pause >= longest / 2.0 - 0.01 && pause <= longest + 1.0,
            "failure {failure}: {pause}"
        );
        server.resume(FIRST_TOKEN).await;
        broke_at = Instant::now();
    }
}

/// CLNT-36
#[tokio::test(start_paused = true)]
async fn the_servers_hints_are_obeyed() {
    let busy = |retry_after_ms| {
        let (code, message) = (RefusedCode::Busy, "Too many clients.".to_owned());
        ServerFrame::Refused(Refused {
            code,
            message,
            retry_after_ms,
            is_final: false,
        })
    };
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    server
        .send(ServerFrame::RetryLater { after_ms: 600_000 })
        .await;
    let mut told_at = Instant::now();
    for (frame, seconds_max) in [
        (busy(Some(1_800_000)), 900..=901),
        (
            ServerFrame::RetryLater {
                after_ms: 86_400_000,
            },
            2_700..=2_701,
        ),
        (busy(Some(0)), 129_600..=129_601),
    ] {
        let (at, mut server) = running.connected().await;
        let pause = (at - told_at).as_secs();
        let hint = seconds_max.start() * 2 / 3;
        assert!(
            pause >= hint && pause <= *seconds_max.end(),
            "{pause} after a hint of {hint}"
        );
        server.hello().await;
        server.send(frame).await;
        told_at = Instant::now();
    }
    let (at, stream) = running.dialed().await;
    let pause = (at - told_at).as_secs_f64();
    assert!(
        (4.0..=9.0).contains(&pause),
        "a hint of nothing is no short cut: {pause}"
    );
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_the_upgrade_is_obeyed() {
    let folder = folder();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let (at, mut stream) = running.dialed().await;
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
    assert!(
        request.starts_with("get /link/v1 http/1.1\r\n"),
        "{request}"
    );
    assert!(!request.contains("\r\norigin:"), "an agent is no browser");
    let answer =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (again_at, _) = running.dialed().await;
    assert!(
        (300..=451).contains(&(again_at - at).as_secs()),
        "{:?}",
        again_at - at
    );
}

/// CLNT-60
#[tokio::test(start_paused = true)]
async fn a_final_refusal_stops_the_agent() {
    for code in [
        RefusedCode::ClientRemoved,
        RefusedCode::Quarantined,
        RefusedCode::Other("newer".to_owned()),
    ] {
        let folder = folder();
        let (running, mut server) = registered(folder.path()).await;
        let refused = Refused {
            code,
            message: "No.".to_owned(),
            retry_after_ms: None,
            is_final: true,
        };
        server.send(ServerFrame::Refused(refused.clone())).await;
        assert_eq!(server.closed().await, Some(1000));
        assert_eq!(running.agent.await.unwrap(), Stopped::Refused(refused));
        assert_eq!(
            token_on_disk(folder.path()).as_deref(),
            Some(FIRST_TOKEN),
            "the identity is kept"
        );
    }
}

/// threat L
#[tokio::test(start_paused = true)]
async fn threat_l_malformed_server_frames_end_the_link_with_the_documented_code_and_nothing_else() {
    let long = format!(
        r#"{{"type":"ping","nonce":1,"x":"{}"}}"#,
        "x".repeat(65_536)
    );
    let cases = [
        (Message::text("hello"), 4400),
        (Message::text("{}"), 4400),
        (Message::text(r#"{"type":"ping"}"#), 4400),
        (Message::text(r#"{"type":"reboot"}"#), 4404),
        (
            Message::text(
                r#"{"type":"start_session","lsid":"../x","user_display_name":"","answer_within_ms":1}"#,
            ),
            4400,
        ),
        (
            Message::text(r#"{"type":"ping","nonce":9007199254740992}"#),
            4413,
        ),
        (
            Message::text(r#"{"type":"rotate_token","token":"short"}"#),
            4400,
        ),
        (
            Message::text(r#"{"type":"anchors","version":9,"list":[]}"#),
            4400,
        ),
        (
            Message::text(
                ServerFrame::Welcome(Box::new(welcome(None, system_anchors(1))))
                    .to_text()
                    .unwrap(),
            ),
            4405,
        ),
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::text(long), 1009),
    ];
    let folder = folder();
    let (mut running, mut server) = registered(folder.path()).await;
    for (message, code) in cases {
        let shown = format!("{message:.80}");
        futures_util::SinkExt::send(&mut server.socket, message)
            .await
            .unwrap();
        assert_eq!(server.closed().await, Some(code), "{shown}");
        (_, server) = running.connected().await;
        server.resume(FIRST_TOKEN).await;
    }
    running.stop(server).await;
}

#[tokio::test(start_paused = true)]
async fn a_welcome_that_makes_no_sense_is_not_taken() {
    let folder = folder();
    let mut running = start(folder.path(), Some(key(URL, system_anchors(1)))).await;
    let good = || welcome(Some(FIRST_TOKEN), system_anchors(1));
    for (case, welcome) in [
        ("without a token", welcome(None, system_anchors(1))),
        (
            "of a protocol not offered",
            Welcome {
                protocol: 4,
                ..good()
            },
        ),
    ] {
        let (_, mut server) = running.connected().await;
        server.hello().await;
        server.welcome(welcome).await;
        assert_eq!(server.closed().await, Some(4400), "{case}");
        assert_eq!(running.token_on_disk(), None, "{case}");
    }
    let (_, mut server) = running.connected().await;
    server.register().await;
    drop(server);
    let (_, mut server) = running.connected().await;
    server.hello().await;
    server
        .welcome(Welcome {
            client_id: 8,
            token: Some(Secret::new(SECOND_TOKEN)),
            ..good()
        })
        .await;
    assert_eq!(server.closed().await, Some(4400), "another client's id");
    assert_eq!(running.token_on_disk().as_deref(), Some(FIRST_TOKEN));
    let (_, mut server) = running.connected().await;
    server.hello().await;
    server.send(ServerFrame::Ping { nonce: 1 }).await;
    assert_eq!(server.closed().await, Some(4405), "a ping before welcome");
}

#[tokio::test(start_paused = true)]
async fn an_agent_stops_at_once_while_it_waits_to_come_back() {
    let folder = folder();
    let running = start_failing(folder.path(), Some(key(URL, system_anchors(1))), usize::MAX).await;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    let told_at = Instant::now();
    running.stop.send(true).unwrap();
    assert_eq!(running.agent.await.unwrap(), Stopped::Told);
    assert!(told_at.elapsed() < Duration::from_secs(1));
}

/// INST-06
#[tokio::test(start_paused = true)]
async fn until_its_first_success_a_new_client_keeps_trying() {
    let folder = folder();
    let mut running = start_failing(folder.path(), Some(key(URL, system_anchors(1))), 200).await;
    let (_, mut server) = running.connected().await;
    server.register().await;
}
