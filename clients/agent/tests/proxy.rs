//! The program goes through the proxy that its system names.
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use link_protocol::{Anchor, AnchorList, KeyInfo, Secret};

/// CLNT-56: the system is asked at every connection, so a proxy that comes and goes is found by itself.
#[test]
fn the_systems_proxy_is_gone_through_at_every_try() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let key = KeyInfo {
        urls: vec!["https://gatebook.invalid:8443".to_owned()],
        installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
        secret: Secret::new("installer-secret-installer-secret-installer"),
        anchors: AnchorList {
            version: 1,
            list: vec![Anchor::System],
        },
    };
    let mut agent = Command::new(env!("CARGO_BIN_EXE_gatebook-agent"))
        .args(["run", "--key", key.encode().unwrap().expose(), "--state"])
        .arg(folder.path().join("state"))
        .env(
            "HTTPS_PROXY",
            format!("http://{}", proxy.local_addr().unwrap()),
        )
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..2 {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream.try_clone().unwrap())
            .read_line(&mut request)
            .unwrap();
        assert_eq!(request, "CONNECT gatebook.invalid:8443 HTTP/1.1\r\n");
        stream
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            .unwrap();
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
}
