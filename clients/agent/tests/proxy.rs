//! The program goes through the proxy that its system names, and keeps to what the proxy's scheme says.
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use link_protocol::{Anchor, AnchorList, KeyInfo, Secret};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(30);
/// `anna:s3cret` as Basic credentials.
const BASIC: &str = "Basic YW5uYTpzM2NyZXQ=";

/// The program, with this proxy named by the system, on its way to `host`.
fn agent(folder: &Path, proxy: &str, host: &str, trust: Option<&Path>) -> Child {
    let key = KeyInfo {
        urls: vec![format!("https://{host}:8443")],
        installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
        secret: Secret::new("installer-secret-installer-secret-installer"),
        anchors: AnchorList {
            version: 1,
            list: vec![Anchor::System],
        },
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatebook-agent"));
    command
        .args(["run", "--key", key.encode().unwrap().expose(), "--state"])
        .arg(folder.join("state"))
        .env("HTTPS_PROXY", proxy)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        command.env_remove(name);
    }
    if let Some(trust) = trust {
        command.arg("--trust-file").arg(trust);
    }
    command.spawn().unwrap()
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

async fn bytes<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> [u8; N] {
    let mut bytes = [0; N];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// The log up to the line in which `words` stand.
async fn logged(agent: &mut Child, words: &str) -> String {
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    let mut text = String::new();
    while !text.contains(words) {
        let line = soon(lines.next_line()).await.unwrap();
        text.push_str(&line.unwrap_or_else(|| panic!("\"{words}\" was expected: {text}")));
        text.push('\n');
    }
    text
}

/// CLNT-56: the system is asked at every connection, so a proxy that comes and goes is found by itself.
#[tokio::test]
async fn the_systems_proxy_is_gone_through_at_every_try() {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, port) = listener().await;
    let url = format!("http://127.0.0.1:{port}");
    let _agent = agent(folder.path(), &url, "gatebook.invalid", None);
    for _ in 0..2 {
        let (mut stream, _) = soon(proxy.accept()).await.unwrap();
        let request = head(&mut stream).await;
        assert!(request.starts_with("CONNECT gatebook.invalid:8443 HTTP/1.1\r\n"));
        let refused = b"HTTP/1.1 502 Bad Gateway\r\n\r\n";
        stream.write_all(refused).await.unwrap();
    }
}

/// CLNT-56, threat N: what was promised to go by TLS goes by TLS, to the proxy that was named, or not at all.
#[tokio::test]
async fn threat_n_credentials_for_a_proxy_with_tls_go_by_tls_to_that_proxy_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let trust = folder.path().join("proxy.pem");
    std::fs::write(&trust, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (proxy, port) = listener().await;
    let url = format!("https://anna:s3cret@localhost:{port}");

    let trusting = agent(folder.path(), &url, "gatebook.invalid", Some(&trust));
    let (stream, _) = soon(proxy.accept()).await.unwrap();
    let mut stream = soon(acceptor.accept(stream)).await.unwrap();
    let request = head(&mut stream).await;
    assert!(request.starts_with("CONNECT gatebook.invalid:8443 HTTP/1.1\r\n"));
    assert!(request.contains(BASIC), "{request}");
    // What comes next is meant for the server: TLS inside TLS.
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 0x16);
    drop((trusting, stream));

    // A proxy that nobody vouches for hears nothing.
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    let mut doubting = agent(folder.path(), &url, "gatebook.invalid", None);
    let (stream, _) = soon(proxy.accept()).await.unwrap();
    assert!(soon(acceptor.accept(stream)).await.is_err());
    let log = logged(&mut doubting, "certificate").await;
    assert!(
        log.contains("gives no way") && !log.contains("s3cret"),
        "{log}"
    );
}

/// CLNT-56: SOCKS5 as RFC 1928 and RFC 1929 have it, with the name resolved by the proxy or here.
#[tokio::test]
async fn socks_5_is_spoken_with_a_proxy_of_that_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, port) = listener().await;
    let url = format!("socks5h://anna:s3cret@127.0.0.1:{port}");
    let by_proxy = agent(folder.path(), &url, "gatebook.invalid", None);
    let (mut stream, _) = soon(proxy.accept()).await.unwrap();
    assert_eq!(bytes(&mut stream).await, [5, 1, 2]);
    stream.write_all(&[5, 2]).await.unwrap();
    assert_eq!(&bytes::<13>(&mut stream).await, b"\x01\x04anna\x06s3cret");
    stream.write_all(&[1, 0]).await.unwrap();
    assert_eq!(
        &bytes::<23>(&mut stream).await,
        b"\x05\x01\x00\x03\x10gatebook.invalid\x20\xfb"
    );
    let connected = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
    stream.write_all(&connected).await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 0x16, "TLS begins");
    drop((by_proxy, stream));

    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    let url = format!("socks5://127.0.0.1:{port}");
    let _here = agent(folder.path(), &url, "192.0.2.7", None);
    let (mut stream, _) = soon(proxy.accept()).await.unwrap();
    assert_eq!(bytes(&mut stream).await, [5, 1, 0]);
    stream.write_all(&[5, 0]).await.unwrap();
    assert_eq!(
        bytes(&mut stream).await,
        [5, 1, 0, 1, 192, 0, 2, 7, 0x20, 0xfb]
    );
}

/// CLNT-56: a client that was told a proxy does not go without it because it doesn't know that kind.
#[tokio::test]
async fn a_proxy_of_a_kind_that_is_not_known_is_refused() {
    for proxy in [
        "ftp://anna:s3cret@127.0.0.1:1",
        "socks6://127.0.0.1:1",
        "http://a b",
    ] {
        let folder = tempfile::tempdir().unwrap();
        // Where it went without one, it would look for the host.
        let mut agent = agent(folder.path(), proxy, "gatebook.invalid", None);
        let log = logged(&mut agent, "not connected").await;
        assert!(log.contains("HTTPS_PROXY names no proxy"), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
    }
}
