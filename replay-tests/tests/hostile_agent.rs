//! A hostile agent at the real program, over TLS: whatever it says gets the close code that docs/client-link.md tells, and a
//! well-behaved machine beside it is served as if nothing were.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use replay_tests::attacker::{
    BINARY, COMPRESSED, FINAL, Heard, PING, TEXT, Wire, frame, head, hello, memory_of, pause,
    register_hello,
};
use replay_tests::fleet::{Fleet, until};
use replay_tests::program::Site;
use serde_json::{Value, json};

/// How long a well-behaved machine may wait for an answer, whatever others do.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// By how much an attack may make the server grow: far less than what it was sent.
const GROWTH_MAX: u64 = 64 << 20;

/// A machine that keeps to the page, on a thread of its own.
struct Neighbour {
    client: u64,
    asks: SyncSender<SyncSender<Duration>>,
    thread: Option<JoinHandle<Result<()>>>,
    acknowledged: usize,
}

impl Neighbour {
    fn move_in(fleet: &Fleet) -> Result<Self> {
        let facts = json!({"hostname": "neighbour", "console_user": "nobody yet"});
        let (mut wire, welcome) = Wire::register(&fleet.site, &fleet.key, &json!({}), &facts)?;
        let client = welcome["client_id"].as_u64().context("a client")?;
        wire.say(&json!({"type": "token_stored"}))?;
        let (asks, asked) = sync_channel(1);
        Ok(Self {
            client,
            asks,
            thread: Some(std::thread::spawn(move || live(wire, &asked))),
            acknowledged: 0,
        })
    }

    /// Says something new, and waits until it is recorded.
    fn check_in(&mut self) -> Result<()> {
        let (done, wait) = sync_channel(1);
        self.asks.send(done).context("the neighbour lives")?;
        let Ok(took) = wait.recv_timeout(ACKNOWLEDGED_WITHIN) else {
            let ended = self.thread.take_if(|thread| thread.is_finished());
            let why = ended.map(JoinHandle::join);
            bail!("the neighbour is not served: {why:?}");
        };
        ensure!(took < ACKNOWLEDGED_WITHIN, "after {took:?}");
        self.acknowledged += 1;
        Ok(())
    }

    /// Nothing of what was acknowledged is missing in the log, and its link never broke.
    async fn lost_nothing(mut self, fleet: &Fleet) -> Result<()> {
        self.check_in()?;
        let events = fleet.client_events(self.client).await?;
        let count = |wanted: &str| events.iter().filter(|(name, _)| name == wanted).count();
        ensure!(
            count("JumpClientCheckedIn") == self.acknowledged,
            "{} were acknowledged: {events:?}",
            self.acknowledged
        );
        ensure!(count("JumpClientDisconnected") == 0, "{events:?}");
        ensure!(count("JumpClientQuarantined") == 0, "{events:?}");
        Ok(())
    }
}

/// What the neighbour does: answers, and checks in when asked.
fn live(mut wire: Wire, asked: &Receiver<SyncSender<Duration>>) -> Result<()> {
    let mut sequence = 0;
    let mut waiting: Option<(Instant, SyncSender<Duration>)> = None;
    loop {
        if waiting.is_none()
            && let Ok(done) = asked.try_recv()
        {
            sequence += 1;
            let facts = json!({"console_user": format!("user {sequence}")});
            wire.say(&json!({"type": "check_in", "sequence": sequence, "facts": facts}))?;
            waiting = Some((Instant::now(), done));
        }
        match wire.hear(Duration::from_millis(20))? {
            Heard::Nothing => {}
            Heard::Closed(code) => bail!("the neighbour was closed with {code:?}"),
            Heard::Frame(frame) => match frame["type"].as_str().context("a type")? {
                "ping" => wire.say(&json!({"type": "pong", "nonce": frame["nonce"]}))?,
                "start_session" => {
                    wire.say(&json!({"type": "session_started", "lsid": frame["lsid"]}))?;
                }
                "end_session" => {
                    let ended =
                        json!({"type": "session_ended", "lsid": frame["lsid"], "reason": "asked"});
                    wire.say(&ended)?;
                }
                "check_in_recorded" => {
                    if let Some((since, done)) = waiting.take() {
                        // Whoever asked may have stopped waiting.
                        let _ = done.send(since.elapsed());
                    }
                }
                _ => {}
            },
        }
    }
}

/// An identity that an attacker got by the book.
struct Identity {
    client: u64,
    token: String,
}

impl Identity {
    fn get(fleet: &Fleet) -> Result<Self> {
        let (mut wire, welcome) = Wire::register(
            &fleet.site,
            &fleet.key,
            &json!({}),
            &json!({"hostname": "evil"}),
        )?;
        let identity = Self {
            client: welcome["client_id"].as_u64().context("a client")?,
            token: welcome["token"].as_str().context("a token")?.to_owned(),
        };
        wire.say(&json!({"type": "token_stored"}))?;
        wire.say(&json!({"type": "goodbye"}))?;
        ensure!(wire.closed()? == Some(1000));
        Ok(identity)
    }

    /// A link that was welcomed.
    fn online(&self, site: &Site) -> Result<Wire> {
        let facts = json!({"hostname": "evil"});
        let (wire, welcome) = Wire::resume(site, self.client, &self.token, &facts)?;
        ensure!(welcome["type"] == "welcome", "{welcome}");
        Ok(wire)
    }
}

fn said(value: &Value) -> Vec<u8> {
    frame(FINAL | TEXT, value.to_string().as_bytes())
}

fn figures(figures: &str) -> Vec<u8> {
    let text = format!(r#"{{"type":"check_in","sequence":1,"figures":{figures}}}"#);
    frame(FINAL | TEXT, text.as_bytes())
}

fn facts(facts: &Value) -> Vec<u8> {
    said(&json!({"type": "check_in", "sequence": 1, "facts": facts}))
}

/// What breaks the page, with its close code.
fn breaches() -> Vec<(&'static str, Vec<u8>, u16)> {
    let pong = said(&json!({"type": "pong", "nonce": 0}));
    let check_in = |sequence: u64| said(&json!({"type": "check_in", "sequence": sequence}));
    let disk = |mount: &str| json!({"mount": mount, "total_bytes": 1, "free_bytes": 1});
    let large = json!({"disks": vec![disk(&"\u{1f5ff}".repeat(255)); 32]}).to_string();
    let many = json!({"disks": vec![disk("/"); 33]}).to_string();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let second = hello(
        json!({"resume": {"client_id": 1, "token": "a".repeat(43)}}),
        &json!({}),
    );
    let lsid = |lsid: &str| said(&json!({"type": "session_started", "lsid": lsid}));
    let halves = [
        frame(TEXT, b"{\"type\":\"\xf0\x9f"),
        frame(FINAL, b"\x92\"}"),
    ]
    .concat();
    vec![
        ("a flood of frames", pong.repeat(101), 4429),
        (
            "a flood of pings",
            frame(FINAL | PING, b"?").repeat(101),
            4429,
        ),
        (
            "check-ins without waiting",
            (1..=9).flat_map(check_in).collect(),
            4429,
        ),
        ("a second hello", said(&second), 4405),
        (
            "a check-in again",
            [check_in(1), check_in(1)].concat(),
            4405,
        ),
        ("a check-in left out", check_in(2), 4405),
        ("check-in 0", check_in(0), 4400),
        (
            "an unknown type",
            said(&json!({"type": "open_shell"})),
            4404,
        ),
        (
            "a frame of the server",
            said(&json!({"type": "ping", "nonce": 1})),
            4404,
        ),
        ("no type", said(&json!({"nonce": 1})), 4400),
        ("no object", frame(FINAL | TEXT, b"[]"), 4400),
        ("too deep", figures(&deep), 4400),
        (
            "more than all processors",
            figures(r#"{"cpu_permille":1001}"#),
            4413,
        ),
        (
            "a number over 2^53",
            figures(r#"{"uptime_seconds":9007199254740992}"#),
            4413,
        ),
        (
            "a number over 2^64",
            figures(r#"{"uptime_seconds":99999999999999999999999}"#),
            4400,
        ),
        (
            "a negative number",
            figures(r#"{"memory_used_bytes":-1}"#),
            4400,
        ),
        ("half a byte", figures(r#"{"memory_used_bytes":0.5}"#), 4400),
        ("infinity", figures(r#"{"memory_used_bytes":1e999}"#), 4400),
        ("too many disks", figures(&many), 4413),
        ("figures over 32 KiB", figures(&large), 4413),
        (
            "a long name",
            facts(&json!({"hostname": "h".repeat(256)})),
            4413,
        ),
        (
            "a line break in a name",
            facts(&json!({"hostname": "a\r\nBcc: b"})),
            4400,
        ),
        (
            "a zero in a name",
            facts(&json!({"console_user": "a\0b"})),
            4400,
        ),
        (
            "no address",
            facts(&json!({"private_ip": "<script>"})),
            4400,
        ),
        ("no session", lsid("../../etc/passwd"), 4400),
        ("a long session", lsid(&"a".repeat(65)), 4413),
        ("binary", frame(FINAL | BINARY, b"{}"), 1003),
        (
            "not UTF-8",
            frame(FINAL | TEXT, b"{\"type\":\"\xff\"}"),
            1007,
        ),
        ("not UTF-8 in two parts", halves, 1007),
        (
            "compressed",
            frame(FINAL | COMPRESSED | TEXT, b"\xaa\x56\x4a"),
            1002,
        ),
        ("an unknown kind of frame", frame(FINAL | 3, b"{}"), 1002),
        ("a ping in parts", frame(PING, b"?"), 1002),
        ("a long ping", frame(FINAL | PING, &[b'?'; 126]), 1002),
        ("a part of nothing", frame(FINAL, b"{}"), 1002),
        ("10 GB announced", head(FINAL | TEXT, 10 << 30), 1009),
        (
            "one byte too long",
            frame(FINAL | TEXT, &[b' '; 65_537]),
            1009,
        ),
    ]
}

/// Threat L: every breach of the page by a client that is online ends its link with the documented code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_every_breach_of_the_page_is_answered_with_its_code() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    // One alone is not let in as often.
    let evils = (0..5)
        .map(|_| Identity::get(&fleet))
        .collect::<Result<Vec<_>>>()?;
    let before = memory_of(server.id())?;
    for (number, (what, bytes, code)) in breaches().into_iter().enumerate() {
        let mut wire = evils[number % evils.len()]
            .online(&fleet.site)
            .context(what)?;
        // The server may close while it is still being sent.
        let _ = wire.send(&bytes);
        let closed = wire.closed().context(what)?;
        ensure!(closed == Some(code), "{what}: {closed:?} and not {code}");
        if number % 5 == 0 {
            neighbour.check_in().context(what)?;
        }
    }
    // Nothing of what was refused is kept.
    let items = fleet.items().await?;
    for evil in evils {
        let row = items
            .iter()
            .find(|item| item["id"] == format!("jump_client-{}", evil.client));
        ensure!(
            row.is_some_and(|row| row["hostname"] == "evil"),
            "{items:?}"
        );
    }
    let grown = memory_of(server.id())?.saturating_sub(before);
    ensure!(grown < GROWTH_MAX, "it grew by {grown} bytes");
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

/// Threat L: absurd numbers within the limits come back as they are; 10 GB in parts ends at 64 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_a_figure_of_ten_gigabytes_ends_at_the_limit() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    let evil = Identity::get(&fleet)?;
    let most = 9_007_199_254_740_991_u64;
    let absurd = json!({
        "cpu_permille": 1000,
        "uptime_seconds": most,
        "memory_total_bytes": 0,
        "memory_used_bytes": most,
        "disks": [{"mount": "/", "total_bytes": 0, "free_bytes": most}],
    });
    let mut wire = evil.online(&fleet.site)?;
    wire.send(&figures(&absurd.to_string()))?;
    let path = format!("/api/console/v1/items/jump_client-{}", evil.client);
    until("the figures are there", async || {
        let details = fleet.anna.get(&path).await?;
        Ok(details["figures"]["uptime_seconds"] == most
            && details["figures"]["disks"][0]["free_bytes"] == most)
    })
    .await?;
    drop(wire);

    let before = memory_of(server.id())?;
    let mut wire = evil.online(&fleet.site)?;
    let part = frame(0, &[b'7'; 16_384]);
    wire.send(&frame(
        TEXT,
        br#"{"type":"check_in","sequence":1,"figures":{"uptime_seconds":"#,
    ))?;
    let mut sent: u64 = 0;
    let mut closed = Heard::Nothing;
    while sent < 10 << 30 {
        if wire.send(&part).is_err() {
            closed = wire.hear(ACKNOWLEDGED_WITHIN)?;
            break;
        }
        sent += part.len() as u64;
        closed = wire.hear(Duration::from_millis(5))?;
        if matches!(closed, Heard::Closed(_)) {
            break;
        }
    }
    ensure!(
        closed == Heard::Closed(Some(1009)),
        "{closed:?} after {sent} bytes"
    );
    ensure!(sent < 16 << 20, "it took {sent} bytes");
    let grown = memory_of(server.id())?.saturating_sub(before);
    ensure!(grown < GROWTH_MAX, "it grew by {grown} bytes");
    neighbour.check_in()?;
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

/// Threat L, threat M: parts of messages that hold nothing are no frames, and still end the link, before hello as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_a_flood_of_empty_parts_ends_the_link() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    let evil = Identity::get(&fleet)?;
    let empty = frame(0, b"").repeat(10_000);
    for wire in [Wire::upgrade(&fleet.site)?, evil.online(&fleet.site)?] {
        let mut wire = wire;
        wire.send(&frame(TEXT, b"{"))?;
        let began = Instant::now();
        let mut sent = 0;
        let mut closed = Heard::Nothing;
        while sent < 64 << 20 && began.elapsed() < Duration::from_secs(60) {
            // It may be cut while it is still being sent.
            let cut = wire.send(&empty).is_err();
            sent += empty.len();
            closed = wire.hear(Duration::from_millis(5))?;
            if cut || matches!(closed, Heard::Closed(_)) {
                break;
            }
        }
        ensure!(
            closed == Heard::Closed(Some(4429)),
            "{closed:?} after {sent} bytes"
        );
        ensure!(sent < 24 << 20, "it took {sent} bytes");
    }
    // One that splits its messages is served.
    let mut wire = evil.online(&fleet.site)?;
    let text = br#"{"type":"check_in","sequence":1,"facts":{"console_user":"in parts"}}"#;
    let (first, rest) = text.split_at(1);
    wire.send(&frame(TEXT, first))?;
    for byte in rest {
        wire.send(&frame(0, &[*byte]))?;
        wire.send(&frame(0, b""))?;
    }
    wire.send(&frame(FINAL, b""))?;
    loop {
        match wire.next_frame()? {
            frame if frame["type"] == "check_in_recorded" => break,
            frame => ensure!(frame["type"] != "retry_later", "{frame}"),
        }
    }
    neighbour.check_in()?;
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

/// Threat M: sockets that only begin to say hello to TLS take no turn from those that say it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_m_handshakes_that_stall_keep_nobody_waiting() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut stalled = Vec::new();
    for _ in 0..600 {
        let mut socket = std::net::TcpStream::connect(fleet.site.https)?;
        std::io::Write::write_all(&mut socket, b"\x16")?;
        stalled.push(socket);
    }
    let began = Instant::now();
    let wire = Wire::upgrade(&fleet.site)?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(1), "it took {took:?}");
    drop((wire, stalled));
    server.stop()
}

/// Threat L: who offers compression gets none, who comes from a page is not let in, and who says no hello gets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_what_a_handshake_offers_beside_is_not_taken() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    let site = &fleet.site;
    let offers = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\
                  Sec-WebSocket-Protocol: gatebook, admin\r\n";
    let (mut wire, answer) = Wire::ask_to_upgrade(site, offers)?;
    ensure!(
        answer.starts_with("http/1.1 101")
            && !answer.contains("sec-websocket-extensions")
            && !answer.contains("sec-websocket-protocol"),
        "{answer}"
    );
    // A bomb: ten bytes that would be a megabyte.
    wire.send(&frame(
        FINAL | COMPRESSED | TEXT,
        b"\xec\xc1\x01\x01\0\0\0\x80\x90\xfe",
    ))?;
    ensure!(wire.closed()? == Some(1002));

    let origin = format!("Origin: https://{}\r\n", site.https);
    let (_, answer) = Wire::ask_to_upgrade(site, &origin)?;
    ensure!(answer.starts_with("http/1.1 403"), "{answer}");

    let first = [
        (json!({"type": "check_in", "sequence": 1}), 4405),
        (
            json!({"type": "session_ended", "lsid": "a", "reason": "asked"}),
            4405,
        ),
        (json!({"type": "goodbye"}), 4405),
        (json!({"type": "welcome"}), 4404),
    ];
    for (frame, code) in first {
        let mut wire = Wire::upgrade(site)?;
        wire.say(&frame)?;
        let closed = wire.closed()?;
        ensure!(closed == Some(code), "{frame}: {closed:?}");
    }
    let mut newer = hello(
        json!({"resume": {"client_id": 1, "token": "a".repeat(43)}}),
        &json!({}),
    );
    newer["protocols"] = json!([65_535]);
    let mut wire = Wire::upgrade(site)?;
    wire.say(&newer)?;
    let refused = wire.next_frame()?;
    ensure!(refused["code"] == "protocol_not_supported", "{refused}");
    ensure!(wire.closed()? == Some(4426));
    neighbour.check_in()?;
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

fn refused_with(answer: &Value, code: &str, is_final: bool) -> Result<()> {
    ensure!(
        answer["type"] == "refused" && answer["code"] == code && answer["final"] == is_final,
        "{answer} instead of {code}"
    );
    Ok(())
}

/// Threat L, CLNT-30: nobody is another by its number, its name, its sessions or a recorded hello.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_nobody_becomes_another() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let site = &fleet.site;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    neighbour.check_in()?;
    let victim = fleet.items().await?.remove(0);
    let lsid = fleet.jump(&victim).await?;
    let evil = Identity::get(&fleet)?;

    // Its number, with one's own token, with none of anybody, and numbers that nobody has.
    let nobody = "A".repeat(43);
    for (client, token) in [
        (neighbour.client, evil.token.as_str()),
        (neighbour.client, &nobody),
        (999, &evil.token),
        (4_294_967_296 + evil.client, &evil.token),
    ] {
        let (mut wire, answer) = Wire::resume(site, client, token, &json!({}))?;
        refused_with(&answer, "identity_not_valid", true)?;
        ensure!(wire.closed()? == Some(4403));
    }
    // Its name: names are texts and no identity.
    let names = json!({"hostname": "neighbour", "machine_id": "0".repeat(64)});
    let (mut wire, welcome) = Wire::resume(site, evil.client, &evil.token, &names)?;
    ensure!(welcome["client_id"] == evil.client, "{welcome}");
    // Its session: what another says of it is nothing.
    for (kind, reason) in [
        ("session_ended", json!("ended_at_endpoint")),
        ("session_failed", json!("internal")),
        ("session_started", Value::Null),
    ] {
        wire.say(&json!({"type": kind, "lsid": lsid, "reason": reason}))?;
    }
    let changed = json!({"console_user": "mallory"});
    wire.say(&json!({"type": "check_in", "sequence": 1, "facts": changed}))?;
    let ended = loop {
        let frame = wire.next_frame()?;
        if frame["type"] == "check_in_recorded" {
            break frame;
        }
        // It may be told to end what it claimed; nothing else.
        ensure!(frame["type"] == "end_session", "{frame}");
    };
    ensure!(ended["sequence"] == 1, "{ended}");
    drop(wire);
    let mut claiming = hello(
        json!({"resume": {"client_id": evil.client, "token": evil.token}}),
        &json!({}),
    );
    claiming["sessions"] = json!([lsid]);
    let mut wire = Wire::upgrade(site)?;
    wire.say(&claiming)?;
    ensure!(wire.next_frame()?["type"] == "welcome");
    let answer = wire.next_frame()?;
    ensure!(
        answer["type"] == "end_session" && answer["lsid"] == lsid,
        "{answer}"
    );
    let session = fleet
        .anna
        .get(&format!("/api/console/v1/sessions/{lsid}"))
        .await?;
    ensure!(session["state"] == "active", "{session}");

    let items = fleet.items().await?;
    let of_neighbour = items.iter().find(|item| item["id"] == victim["id"]);
    ensure!(
        of_neighbour
            .is_some_and(|row| row["console_user"] == "user 1" && row["status"] == "active"),
        "{items:?}"
    );
    fleet.end(&lsid).await?;
    neighbour.check_in()?;
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

/// Threat L, CLNT-30: recorded frames played again give nothing away, and a token that was replaced is an alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_replayed_frames_give_nothing_away() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let site = &fleet.site;
    let neighbour = Neighbour::move_in(&fleet)?;
    let recorded = register_hello(&fleet.key, &json!({}), &json!({"hostname": "twice"}))?;
    let play = || -> Result<(Wire, Value)> {
        let mut wire = Wire::upgrade(site)?;
        wire.say(&recorded)?;
        let answer = wire.next_frame()?;
        Ok((wire, answer))
    };
    // As long as no token is known to be kept, the same attempt is the same client, with a new token each time.
    let (first_wire, first) = play()?;
    drop(first_wire);
    let (second_wire, second) = play()?;
    drop(second_wire);
    ensure!(
        first["client_id"] == second["client_id"],
        "{first} {second}"
    );
    ensure!(first["token"] != second["token"]);
    let client = second["client_id"].as_u64().context("a client")?;
    let token = second["token"].as_str().context("a token")?;
    let (mut wire, welcome) = Wire::resume(site, client, token, &json!({}))?;
    ensure!(welcome["type"] == "welcome", "{welcome}");
    // From here on the recorded hello is that of a stranger with an installer's key: another client.
    let (_, third) = play()?;
    ensure!(
        third["type"] == "welcome" && third["client_id"] != second["client_id"],
        "{third}"
    );
    // The first token was replaced: whoever shows it has a copy, and nobody can tell which of the two is right.
    let old = first["token"].as_str().context("a token")?;
    let (mut thief, answer) = Wire::resume(site, client, old, &json!({}))?;
    refused_with(&answer, "quarantined", true)?;
    ensure!(thief.closed()? == Some(4403));
    refused_with(&wire.next_frame()?, "quarantined", true)?;
    ensure!(wire.closed()? == Some(4403));
    let (_, answer) = Wire::resume(site, client, token, &json!({}))?;
    refused_with(&answer, "quarantined", true)?;
    let items = fleet.items().await?;
    let row = items
        .iter()
        .find(|item| item["id"] == format!("jump_client-{client}"));
    ensure!(
        row.is_some_and(|row| row["status"] == "unavailable"),
        "{items:?}"
    );
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

/// Threat L, threat M: several hostile agents at once, for a while, and the neighbour hardly notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_threat_l_a_well_behaved_machine_is_served_beside_floods() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    let identities = (0..6)
        .map(|_| Identity::get(&fleet))
        .collect::<Result<Vec<_>>>()?;
    let before = memory_of(server.id())?;
    let until = Instant::now() + Duration::from_secs(20);
    std::thread::scope(|scope| -> Result<()> {
        for (number, evil) in identities.iter().enumerate() {
            let site = &fleet.site;
            scope.spawn(move || {
                while Instant::now() < until {
                    // Being turned away for a while is what it may expect.
                    let _ = flood(site, evil, number);
                }
            });
        }
        while Instant::now() < until {
            neighbour.check_in()?;
            // It keeps to the page itself: ten changes of facts at once.
            pause(Duration::from_millis(2_500));
        }
        Ok(())
    })?;
    ensure!(
        neighbour.acknowledged > 4,
        "only {}",
        neighbour.acknowledged
    );
    let grown = memory_of(server.id())?.saturating_sub(before);
    ensure!(grown < GROWTH_MAX, "it grew by {grown} bytes");
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

/// One flood, of a kind by its number.
fn flood(site: &Site, evil: &Identity, number: usize) -> Result<()> {
    let mut wire = evil.online(site)?;
    let bytes = match number % 3 {
        0 => said(&json!({"type": "pong", "nonce": 0})).repeat(1_000),
        1 => (1..=200)
            .flat_map(|sequence| {
                let facts = json!({"console_user": format!("flood {sequence}")});
                said(&json!({"type": "check_in", "sequence": sequence, "facts": facts}))
            })
            .collect(),
        // A message without end, dropped in the middle.
        _ => frame(TEXT, &[b'x'; 60_000]),
    };
    wire.send(&bytes)?;
    if number % 3 < 2 {
        wire.closed()?;
    }
    Ok(())
}

/// Threat M, CLNT-11: who stops in the middle, of a handshake, a hello, a frame or of reading, keeps nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_threat_m_whoever_stops_in_the_middle_keeps_nothing() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let site = &fleet.site;
    let mut neighbour = Neighbour::move_in(&fleet)?;
    let before = memory_of(server.id())?;
    let began = Instant::now();
    // Half a TLS record, half a request, and a socket that says no hello.
    let mut half_hello = std::net::TcpStream::connect(site.https)?;
    std::io::Write::write_all(
        &mut half_hello,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    )?;
    let mut half_request = Wire::connect(site)?;
    half_request.send(b"GET /link/v1 HTTP/1.1\r\nHost: h\r\nUpgr")?;
    let mut mute = Wire::upgrade(site)?;
    // Half a hello is none.
    let mut half_frame = Wire::upgrade(site)?;
    half_frame.send(&head(FINAL | TEXT, 500))?;
    // A crowd that is let in and then neither reads nor answers.
    let crowd = (0..30)
        .map(|_| Wire::register(site, &fleet.key, &json!({}), &json!({"hostname": "deaf"})))
        .collect::<Result<Vec<_>>>()?;
    // One goes in the middle of a frame.
    let (mut dropped, welcome) = Wire::register(
        site,
        &fleet.key,
        &json!({}),
        &json!({"hostname": "dropped"}),
    )?;
    dropped.send(&head(FINAL | TEXT, 1_000))?;
    dropped.send(br#"{"type":"check_in","sequ"#)?;
    drop(dropped);
    let client = welcome["client_id"].as_u64().context("a client")?;
    until("its end is in the log", async || {
        let events = fleet.client_events(client).await?;
        Ok(events
            .last()
            .is_some_and(|(name, _)| name == "JumpClientDisconnected"))
    })
    .await?;

    ensure!(mute.closed()? == Some(4408), "no hello in time");
    ensure!(half_frame.closed()? == Some(4408), "half a hello");
    ensure!(began.elapsed() > Duration::from_secs(9));
    half_hello.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut rest = Vec::new();
    // It may be reset as well as ended.
    let _ = std::io::Read::read_to_end(&mut half_hello, &mut rest);
    ensure!(rest.len() < 100, "{rest:?}");
    ensure!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    half_request.closed().ok().flatten();
    ensure!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );

    until("the deaf are offline", async || {
        neighbour_is_alone(&fleet).await
    })
    .await?;
    ensure!(
        began.elapsed() > Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    drop(crowd);
    let grown = memory_of(server.id())?.saturating_sub(before);
    ensure!(grown < GROWTH_MAX, "it grew by {grown} bytes");
    neighbour.check_in()?;
    neighbour.lost_nothing(&fleet).await?;
    server.stop()
}

async fn neighbour_is_alone(fleet: &Fleet) -> Result<bool> {
    let items = fleet.anna.get("/api/console/v1/items").await?;
    Ok(items["counts"]["online"] == 1)
}
