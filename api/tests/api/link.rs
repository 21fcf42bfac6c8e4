//! The agents' socket: the upgrade, the way of an installer's key to a Jump Client, and the close codes of the transport.

use std::time::Duration;

use domain::fleet::jump_client;
use domain::ids::{JumpClientId, JumpClientInstallerId};
use domain::{Command, node};
use futures_util::{SinkExt, StreamExt};
use link_protocol::limits::FRAME_BYTES_MAX;
use link_protocol::{
    ClientFrame, Facts, Hello, Identity, KeyInfo, Overrides, Register, Resume, Secret, ServerFrame,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::served::{Served, answer, hub_epoch};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(served: &Served, origin: Option<&str>) -> Result<Socket, tungstenite::Error> {
    let url = served.url.replace("http://", "ws://") + "/link/v1";
    let mut request = url.into_client_request()?;
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse()?);
    }
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

/// A site whose node is in the log, with an installer; its key.
async fn with_key() -> (Served, KeyInfo) {
    let served = Served::start().await;
    let start = node::Command::Start {
        epoch: hub_epoch(1),
        name: "a".to_owned(),
        url: None,
    };
    served.submit(Command::Node(start), None).await.unwrap();
    served.post("jump-group", json!({"name": "Fleet"})).await;
    let (_, made) = served
        .post("jump-client/installer", json!({"jump_group_id": 1}))
        .await;
    let key = made["key_info"]["linux64-x86"]["encodedInfo"].as_str();
    let key = KeyInfo::decode(key.unwrap()).unwrap();
    (served, key)
}

fn hello(identity: Identity) -> Message {
    let hello = Hello {
        protocols: vec![1],
        agent_version: "0.1.0".to_owned(),
        boot_id: "b".repeat(32),
        identity,
        facts: Facts {
            hostname: Some("alpha".to_owned()),
            ..Facts::default()
        },
        sessions: Vec::new(),
    };
    let text = ClientFrame::Hello(Box::new(hello)).to_text().unwrap();
    Message::Text(text.into())
}

fn register(key: &KeyInfo, secret: &Secret) -> Identity {
    Identity::Register(Register {
        installer_id: key.installer_id.clone(),
        secret: secret.clone(),
        attempt: "a".repeat(32),
        overrides: Overrides::default(),
    })
}

/// The next frame, or the code the socket was closed with.
async fn next(socket: &mut Socket) -> Result<ServerFrame, u16> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        match message.unwrap().unwrap() {
            Message::Text(text) => return Ok(ServerFrame::parse(&text).unwrap()),
            Message::Close(frame) => return Err(frame.unwrap().code.into()),
            _ => {}
        }
    }
}

/// INST-13, CLNT-30
#[tokio::test]
async fn an_installers_key_makes_a_machine_a_jump_client_and_its_token_brings_it_back() {
    let (served, key) = with_key().await;
    let mut socket = connect(&served, None).await.unwrap();
    socket
        .send(hello(register(&key, &key.secret)))
        .await
        .unwrap();
    let Ok(ServerFrame::Welcome(welcome)) = next(&mut socket).await else {
        panic!("the machine is welcome");
    };
    let stored = ClientFrame::TokenStored {}.to_text().unwrap();
    socket.send(Message::Text(stored.into())).await.unwrap();
    let (status, client) = served.get("jump-client/1").await;
    assert_eq!((status, welcome.client_id), (200, 1));
    assert_eq!(client["name"], "alpha");
    assert_eq!(client["public_ip"], "127.0.0.1");
    drop(socket);
    let mut again = connect(&served, None).await.unwrap();
    let token = welcome.token.clone().unwrap();
    again
        .send(hello(Identity::Resume(Resume {
            client_id: 1,
            token,
        })))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut again).await,
        Ok(ServerFrame::Welcome(_))
    ));
    // Deleted over the API, it is told so and cut off.
    assert_eq!(served.delete("jump-client/1").await.0, 204);
    let code = loop {
        if let Err(code) = next(&mut again).await {
            break code;
        }
    };
    assert_eq!(code, 4403);
    let world = served.site.engine.published().world.clone();
    assert!(world.jump_clients.get(&JumpClientId(1)).is_none());
}

/// INST-13, threat M
#[tokio::test]
async fn a_wrong_secret_is_refused_and_counted() {
    let (served, key) = with_key().await;
    let mut socket = connect(&served, None).await.unwrap();
    let wrong = Secret::new("w".repeat(43));
    socket.send(hello(register(&key, &wrong))).await.unwrap();
    assert!(matches!(
        next(&mut socket).await,
        Ok(ServerFrame::Refused(_))
    ));
    assert_eq!(next(&mut socket).await, Err(4403));
    served.site.record_attempts().await;
    assert_eq!(served.count("AttemptsRefused").await, 1);
    let world = served.site.engine.published().world.clone();
    assert!(world.jump_clients.is_empty());
    assert!(world.installers.contains(&JumpClientInstallerId(1)));
}

/// threat L
#[tokio::test]
async fn threat_l_what_is_no_frame_closes_the_socket_with_its_code() {
    let (served, _) = with_key().await;
    // message, close code
    let cases = [
        (Message::Binary(vec![0; 10].into()), 1003),
        (Message::Text("x".repeat(FRAME_BYTES_MAX + 1).into()), 1009),
        (Message::Text("x".repeat(4 * FRAME_BYTES_MAX).into()), 1009),
    ];
    for (message, expected) in cases {
        let length = message.len();
        let mut socket = connect(&served, None).await.unwrap();
        // The server may close while a long frame is still being sent.
        let _sent = socket.send(message).await;
        assert_eq!(next(&mut socket).await, Err(expected), "{length} bytes");
    }
}

/// threat J
#[tokio::test]
async fn threat_j_browsers_and_plain_requests_get_no_socket() {
    let (served, _) = with_key().await;
    for origin in [served.url.as_str(), "https://evil.example", "null"] {
        let Err(tungstenite::Error::Http(response)) = connect(&served, Some(origin)).await else {
            panic!("no upgrade for {origin}");
        };
        assert_eq!(response.status(), 403, "{origin}");
    }
    let plain = served
        .request(reqwest::Method::GET, "/link/v1")
        .send()
        .await
        .unwrap();
    let (status, body) = answer(plain).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("malformed")));
    let posted = served
        .request(reqwest::Method::POST, "/link/v1")
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 405);
}

/// CLNT-30, threat M
#[tokio::test]
async fn whoever_guesses_a_token_disturbs_nobody() {
    let (served, key) = with_key().await;
    let mut socket = connect(&served, None).await.unwrap();
    socket
        .send(hello(register(&key, &key.secret)))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut socket).await,
        Ok(ServerFrame::Welcome(_))
    ));
    let mut stranger = connect(&served, None).await.unwrap();
    let guess = Identity::Resume(Resume {
        client_id: 1,
        token: Secret::new("g".repeat(43)),
    });
    stranger.send(hello(guess)).await.unwrap();
    assert!(matches!(
        next(&mut stranger).await,
        Ok(ServerFrame::Refused(_))
    ));
    assert_eq!(next(&mut stranger).await, Err(4403));
    let world = served.site.engine.published().world.clone();
    let client: &jump_client::JumpClient = world.jump_clients.get(&JumpClientId(1)).unwrap();
    assert!(world.is_online(client) && !client.quarantined);
}

/// A socket of a client that writes its frames itself, and what the server answers the handshake with.
async fn by_hand(served: &Served, version: &str) -> (TcpStream, String) {
    let host = served.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "GET /link/v1 HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            tokio::time::timeout(PATIENCE, stream.read_u8())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    (
        stream,
        String::from_utf8(head).unwrap().to_ascii_lowercase(),
    )
}

/// RFC 6455, section 5.5.1: a close is answered with a close, also one that says nothing and one that says nonsense.
#[tokio::test]
async fn every_close_frame_is_answered_with_one() {
    let (served, _) = with_key().await;
    // The body of the client's close frame; the code of the answer, if it has one.
    let cases: [(&[u8], Option<u16>); 6] = [
        (&1000_u16.to_be_bytes(), Some(1000)),
        (b"\x03\xe8goodbye", Some(1000)),
        (b"", None),
        (b"\x03", Some(1002)),
        (&1005_u16.to_be_bytes(), Some(1002)),
        (b"\x03\xe8\xff\xfe", Some(1007)),
    ];
    for (body, expected) in cases {
        let (mut stream, head) = by_hand(&served, "13").await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        // The last fragment of a close, masked with zeros.
        let length = u8::try_from(body.len()).unwrap();
        let frame = [&[0x88, 0x80 | length, 0, 0, 0, 0][..], body].concat();
        stream.write_all(&frame).await.unwrap();
        let mut heard = Vec::new();
        let read = stream.read_to_end(&mut heard);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        assert_eq!(heard.first(), Some(&0x88), "{body:?}: {heard:?}");
        let code = heard
            .get(2..4)
            .map(|code| u16::from_be_bytes([code[0], code[1]]));
        assert_eq!(code, expected, "{body:?}: {heard:?}");
    }
}

/// RFC 6455, section 4.4
#[tokio::test]
async fn another_version_of_websocket_is_told_which_is_spoken() {
    let (served, _) = with_key().await;
    for version in ["12", "8", "14"] {
        let (_, head) = by_hand(&served, version).await;
        assert!(head.starts_with("http/1.1 426"), "{head}");
        assert!(head.contains("sec-websocket-version: 13"), "{head}");
    }
}
