//! TLS: the site's own authority, certificates of one's own, and where plain HTTP is served.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::tempdir;

use crate::running::{Server, client_trusting, until};

#[tokio::test]
async fn whoever_pins_the_sites_authority_is_served_and_nobody_else_is_needed() {
    let folder = tempdir().unwrap();
    let server = Server::start(folder.path(), &["--node", "gate-1"]).await;
    let client = server.client();
    let port = server.https.port();
    for host in ["localhost", "127.0.0.1"] {
        let answer = client
            .get(format!("https://{host}:{port}/check_health"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{host}");
    }
    let by_name = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(
            &fs::read(folder.path().join("site-ca.pem")).unwrap(),
        )
        .unwrap()])
        .resolve("gate-1", server.https)
        .resolve("other", server.https)
        .build()
        .unwrap();
    assert!(
        by_name
            .get(format!("https://gate-1:{port}/check_health"))
            .send()
            .await
            .is_ok()
    );
    assert!(
        by_name
            .get(format!("https://other:{port}/check_health"))
            .send()
            .await
            .is_err()
    );
    let stranger = reqwest::Client::new();
    assert!(
        stranger
            .get(server.url("/check_health"))
            .send()
            .await
            .is_err(),
        "it is no public certificate"
    );
    let plain = reqwest::Client::new()
        .get(format!("http://127.0.0.1:{port}/check_health"))
        .send()
        .await;
    assert!(
        !plain.is_ok_and(|answer| answer.status().is_success()),
        "no plain HTTP on this port"
    );

    let first = fs::read(folder.path().join("site-ca.pem")).unwrap();
    server.stop().await;
    let server = Server::start(folder.path(), &[]).await;
    assert_eq!(
        fs::read(folder.path().join("site-ca.pem")).unwrap(),
        first,
        "the authority stays"
    );
    server.stop().await;
}

/// An authority, PEM, and the means to issue under it.
struct Authority(String, Issuer<'static, KeyPair>);

impl Authority {
    fn make() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self(pem, Issuer::new(parameters, key))
    }

    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (
            parameters.signed_by(&key, &self.1).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_shown_and_read_again_on_sighup() {
    let folder = tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let put = |authority: &Authority| {
        let (pem, private) = authority.issue();
        fs::write(&certificate, pem).unwrap();
        fs::write(&key, private).unwrap();
    };
    let (old, new) = (Authority::make(), Authority::make());
    put(&old);
    let arguments = [
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        // Who shall trust it is never guessed.
        "--agent-trust",
        "system",
    ];
    let server = Server::start(&folder.path().join("site"), &arguments).await;
    // A new client each time: connections that stand keep the certificate they were made with.
    let answers = |authority: &Authority| {
        let client = client_trusting(authority.0.as_bytes());
        let url = server.url("/check_health");
        async move { client.get(url).send().await.is_ok() }
    };
    assert!(answers(&old).await);
    assert!(!answers(&new).await);
    put(&new);
    server.signal(Signal::SIGHUP);
    until("the new certificate", || async {
        answers(&new).await.then_some(())
    })
    .await;
    assert!(!answers(&old).await);

    fs::write(&key, "no key").unwrap();
    server.signal(Signal::SIGHUP);
    until("the complaint", || async {
        let written = server.written.lock().unwrap();
        written
            .iter()
            .any(|line| line.contains("the one in use stays"))
            .then_some(())
    })
    .await;
    assert!(answers(&new).await);
    assert!(server.stop().await.success());
}

/// An address of this machine that is not loopback, if it has a network.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: connecting only asks which address would be used.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// AUTH-20
#[tokio::test]
async fn plain_http_answers_loopback_and_refuses_everybody_who_is_no_named_proxy() {
    let folder = tempdir().unwrap();
    let arguments = [
        "--listen-http",
        "0.0.0.0:0",
        "--trusted-proxy",
        "198.51.100.0/24",
    ];
    let server = Server::start(folder.path(), &arguments).await;
    let port = server.http.unwrap().port();
    let client = reqwest::Client::new();
    let ask = |address: IpAddr| {
        let request = client
            .post(format!(
                "http://{}/oauth2/token",
                SocketAddr::new(address, port)
            ))
            // A stranger who claims to be forwarded by somebody.
            .header("x-forwarded-for", "127.0.0.1")
            .header("x-forwarded-proto", "https")
            .form(&[("grant_type", "client_credentials")]);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(
        ask("127.0.0.1".parse().unwrap()).await,
        401,
        "asked for credentials"
    );
    if let Some(outer) = outer_address() {
        assert_eq!(ask(outer).await, 403, "told to use HTTPS");
    }
    assert!(server.stop().await.success());

    let refused = Server::try_start(folder.path(), &["--listen-http", "0.0.0.0:0"])
        .await
        .err()
        .unwrap();
    assert!(
        refused.code == 2 && refused.stderr.contains("AUTH-20"),
        "{}",
        refused.stderr
    );
}

/// Threat M: who says nothing gives way to whoever comes, and the log says so.
#[tokio::test]
async fn threat_m_connections_are_capped_and_idle_strangers_give_way() {
    use tokio::io::AsyncReadExt;

    let folder = tempdir().unwrap();
    let file = folder.path().join("gatebook.toml");
    fs::write(&file, "[limits]\nconnections_max = 3\n").unwrap();
    let server = Server::start(
        &folder.path().join("site"),
        &["--config", file.to_str().unwrap()],
    )
    .await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(tokio::net::TcpStream::connect(server.https).await.unwrap());
    }
    let health = server.client().get(server.url("/check_health")).send();
    assert_eq!(
        health.await.unwrap().status(),
        200,
        "there is room for one more"
    );
    let mut byte = [0];
    let closed = silent[0].read(&mut byte).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "the idlest gave way");
    until("a warning with a count", || async {
        let written = server.written.lock().unwrap();
        written
            .iter()
            .any(|line| line.contains("\"WARN\"") && line.contains("\"gave_way\":1"))
            .then_some(())
    })
    .await;
    assert!(server.stop().await.success());
}
