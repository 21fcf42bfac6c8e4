//! Proxies over real sockets, and the guide's file for them.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn written(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), text).unwrap();
    folder
}

fn settings(method: &str, port: u16, credentials: &str) -> String {
    format!(
        "[Proxy]\nversion=1\n{credentials}\n[Proxy\\Manual]\nProxyMethod={method}\nProxyHost=127.0.0.1\nProxyPort={port}\n"
    )
}

fn server() -> Endpoint {
    "https://gatebook.invalid:8443".parse().unwrap()
}

/// A proxy that hears one request, says `answer`, and gives what it heard.
async fn proxy(answer: &'static [u8], heard: usize) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while request.len() < heard && !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer).await.unwrap();
        request
    });
    (port, task)
}

/// CLNT-57
#[tokio::test]
async fn the_proxy_of_settings_ini_is_gone_through() {
    let credentials = "ProxyUser=anna\nProxyPass=s3cret";
    let (port, heard) = proxy(b"HTTP/1.1 200 OK\r\n\r\n", 4096).await;
    let folder = written(&settings("100", port, credentials));
    let proxy_set = Proxy::of(folder.path()).unwrap();
    proxy_set.connect(&server(), &[]).await.unwrap();
    let request = String::from_utf8(heard.await.unwrap()).unwrap();
    assert!(request.starts_with("CONNECT gatebook.invalid:8443 HTTP/1.1\r\n"));
    let authorization = STANDARD.encode("anna:s3cret");
    assert!(
        request.contains(&format!("Basic {authorization}")),
        "{request}"
    );

    // SOCKS4a: version 4, connect, port 8443, an address that says that a name follows.
    let (port, heard) = proxy(&[0, 90, 0, 0, 0, 0, 0, 0], 8 + 1 + 16 + 1).await;
    let folder = written(&settings("200", port, ""));
    Proxy::of(folder.path())
        .unwrap()
        .connect(&server(), &[])
        .await
        .unwrap();
    let request = heard.await.unwrap();
    assert_eq!(request[..4], [4, 1, 0x20, 0xfb]);
    assert!(request.windows(16).any(|part| part == b"gatebook.invalid"));

    let folder = written("[Proxy]\nversion=1\n[Proxy\\Manual]\nProxyMethod=0\n");
    assert!(matches!(Proxy::of(folder.path()), Ok(Proxy::Direct)));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Proxy::of(folder.path()), Ok(Proxy::System)));
}

/// CLNT-57: what has no meaning is said, and not passed over.
#[test]
fn a_file_that_makes_no_sense_is_refused_with_what_it_should_be() {
    let good = settings("100", 3128, "");
    for (text, named) in [
        (good.replace("version=1", "version=2"), "version"),
        (good.replace("=100", "=7"), "0 (DIRECT), 100 (HTTP CONNECT)"),
        (good.replace("=127.0.0.1", "="), "ProxyHost"),
        (good.replace("=3128", "=0"), "ProxyPort"),
        (good.replace("=3128", "=65536"), "ProxyPort"),
        ("#".repeat(70_000), "64 KiB"),
        (
            settings("100", 3128, "ProxyUser=sealed:AAAA"),
            "what this machine has sealed",
        ),
    ] {
        let said = Proxy::of(written(&text).path()).unwrap_err().to_string();
        assert!(said.contains(named), "{said}");
    }
}

/// CLNT-58, threat C
#[test]
fn credentials_in_plain_text_are_replaced_by_what_nobody_can_read() {
    let folder = written(&settings("100", 3128, "ProxyUser=anna\nProxyPass=s3cret"));
    let read = || match Proxy::of(folder.path()).unwrap() {
        Proxy::Manual(manual) => (manual.user.clone(), manual.password.expose().to_owned()),
        other => panic!("{other:?}"),
    };
    let expected = ("anna".to_owned(), "s3cret".to_owned());
    assert_eq!(read(), expected);
    let path = folder.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("anna") && !text.contains("s3cret"), "{text}");
    assert!(
        text.contains("ProxyHost=127.0.0.1") && text.contains("[Proxy\\Manual]"),
        "{text}"
    );
    for name in [FILE, KEY_FILE] {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    // The same again, from what is sealed; nothing is written then.
    assert_eq!(read(), expected);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(!format!("{:?}", Proxy::of(folder.path())).contains("s3cret"));
}

/// CLNT-62: on a machine where nobody can be asked, a proxy that wants credentials is told of, with what to do.
#[tokio::test]
async fn a_proxy_that_asks_for_credentials_is_said_with_what_to_do() {
    let (port, _heard) = proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", 4096).await;
    let folder = written(&settings("100", port, ""));
    let error = Proxy::of(folder.path())
        .unwrap()
        .connect(&server(), &[])
        .await;
    let Err(ConnectError::Proxy(error)) = error else {
        panic!("there is no way");
    };
    assert!(error.to_string().contains("settings.ini"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("authorization"), "{source}");
}
