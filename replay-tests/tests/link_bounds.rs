//! Strangers at `/link/v1` of the real program, byte by byte: whatever they send is bounded, gets the close code that
//! docs/client-link.md says, and disturbs nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use replay_tests::program::Site;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;
/// The bit of a message's last frame.
const FINAL: u8 = 0x80;

/// A socket after the handshake of RFC 6455, with the key of its example.
fn upgrade(site: &Site) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(site.http)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /link/v1 HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        site.http
    )?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    ensure!(
        head.starts_with("HTTP/1.1 101")
            && head.to_lowercase().contains("s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    Ok(stream)
}

/// A frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The code of the close frame that comes, whatever comes before; none where the connection just ends.
fn closed(stream: &mut TcpStream) -> Result<Option<u16>> {
    loop {
        let mut head = [0; 2];
        if stream.read_exact(&mut head).is_err() {
            return Ok(None);
        }
        ensure!(head[1] & 0x80 == 0, "a server masks nothing");
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut long = [0; 2];
            stream.read_exact(&mut long)?;
            length = usize::from(u16::from_be_bytes(long));
        }
        ensure!(length < 65_536, "a frame of {length} bytes");
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        if head[0] & 0x0f == 8 {
            let code = payload.first_chunk().context("a close has a code")?;
            return Ok(Some(u16::from_be_bytes(*code)));
        }
    }
}

/// threat L, threat M
#[test]
fn threat_l_whatever_strangers_send_is_bounded_and_answered_with_its_code() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve()?;

    let pings = frame(FINAL | PING, b"are you there").repeat(101);
    let endless: Vec<u8> = [frame(TEXT, &[b'x'; 1_000])]
        .into_iter()
        .chain(std::iter::repeat_n(frame(0, &[b'x'; 1_000]), 80))
        .flatten()
        .collect();
    // what is sent, the close code
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not UTF-8", frame(FINAL | TEXT, &[0xff, 0xfe]), 1007),
        ("binary", frame(FINAL | BINARY, b"x"), 1003),
        ("too long", frame(FINAL | TEXT, &[b'x'; 65_537]), 1009),
        ("a message without end", endless, 1009),
        ("a flood of pings", pings, 4429),
        (
            "no hello",
            frame(FINAL | TEXT, br#"{"type":"goodbye"}"#),
            4405,
        ),
        ("no JSON", frame(FINAL | TEXT, b"hello"), 4400),
        (
            "a length of 2^63",
            [&[FINAL | TEXT, 0xff, 0x80], &[0; 11][..]].concat(),
            1009,
        ),
        ("an unmasked frame", vec![FINAL | TEXT, 2, b'{', b'}'], 1002),
        ("no frame", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1002),
    ];
    for (what, bytes, code) in cases {
        let mut stream = upgrade(&site)?;
        // The server may close while it is still being sent.
        let _ = stream.write_all(&bytes);
        let closed = closed(&mut stream).context(what)?;
        ensure!(closed == Some(code), "{what}: {closed:?}");
    }
    runtime.block_on(async {
        let health = reqwest::get(format!("{}/check_health", site.url())).await?;
        ensure!(health.status().is_success(), "{}", health.status());
        Ok(())
    })?;
    server.stop()
}

/// threat M
#[test]
fn slow_threat_m_who_says_nothing_does_not_keep_its_connection() -> Result<()> {
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve()?;
    let began = Instant::now();
    let mut silent = TcpStream::connect(site.http)?;
    silent.set_read_timeout(Some(PATIENCE))?;
    let mut halting = TcpStream::connect(site.http)?;
    halting.set_read_timeout(Some(PATIENCE))?;
    halting.write_all(b"GET /link/v1 HTTP/1.1\r\nHost: h\r\nUpgrade:")?;
    let mut mute = upgrade(&site)?;

    ensure!(closed(&mut mute)? == Some(4408), "no hello");
    ensure!(
        began.elapsed() > Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    for stream in [&mut silent, &mut halting] {
        // An answer of its own, such as 408, may come before the end.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        ensure!(!rest.starts_with(b"HTTP/1.1 101"), "{rest:?}");
    }
    ensure!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    server.stop()
}
