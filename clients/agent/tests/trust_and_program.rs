//! An agent against a played server over real TLS, and the program itself.
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

mod far_side;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use agent::trust::public_key_hash;
use agent::{Agent, Endpoint, Machine, Options, Stopped, Store, TlsDial};
use far_side::*;
use link_protocol::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::accept_async;

/// A server's authority, with certificates for this machine.
struct Site {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Site {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { authority }
    }

    fn anchors(&self, version: u64) -> AnchorList {
        let pin = public_key_hash(self.authority.der()).unwrap();
        AnchorList {
            version,
            list: vec![Anchor::PublicKey(pin)],
        }
    }

    /// A server with a certificate for `name`.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        self.acceptor_in(name, 2020..2090)
    }

    /// The same with a certificate for these years.
    fn acceptor_in(&self, name: &str, years: std::ops::Range<i32>) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let leaf = params.signed_by(&key, &self.authority).unwrap();
        let chain = vec![leaf.der().clone(), self.authority.der().clone()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://127.0.0.1:{}",
        listener.local_addr().unwrap().port()
    );
    (listener, url)
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
) -> std::io::Result<FarSide<TlsStream<TcpStream>>> {
    let (stream, _) = tokio::time::timeout(PATIENCE, listener.accept())
        .await
        .expect("a connection")?;
    let stream = acceptor.accept(stream).await?;
    Ok(FarSide {
        socket: accept_async(stream).await.map_err(std::io::Error::other)?,
    })
}

struct Running {
    stop: watch::Sender<bool>,
    agent: tokio::task::JoinHandle<Stopped>,
}

async fn run(state: &std::path::Path, key: Option<KeyInfo>, dial: TlsDial) -> Running {
    let (stop, told) = watch::channel(false);
    let options = Options {
        key,
        ..Options::default()
    };
    let machine = Machine::new(InstallMode::User);
    let mut agent = Agent::new(dial, Store::open(state).unwrap(), machine, options)
        .await
        .unwrap();
    Running {
        stop,
        agent: tokio::spawn(async move { agent.run(told).await.unwrap() }),
    }
}

#[tokio::test]
async fn over_tls_a_client_registers_stops_and_resumes() {
    let (folder, site) = (tempfile::tempdir().unwrap(), Site::new());
    let (listener, url) = listen().await;
    let acceptor = site.acceptor("127.0.0.1");
    for first in [true, false] {
        let key = first.then(|| key(&url, site.anchors(1)));
        let running = run(folder.path(), key, TlsDial::default()).await;
        let mut server = accept(&listener, &acceptor).await.unwrap();
        let hello = server.hello().await;
        assert_eq!(hello.facts.private_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(matches!(hello.identity, Identity::Register(_)), first);
        server
            .welcome(welcome(first.then_some(FIRST_TOKEN), site.anchors(1)))
            .await;
        if first {
            assert_eq!(server.frame().await, ClientFrame::TokenStored {});
        }
        assert_eq!(
            server.frame().await,
            ClientFrame::AnchorsStored { version: 1 }
        );
        running.stop.send(true).unwrap();
        assert_eq!(server.frame().await, ClientFrame::Goodbye {});
        server.close().await;
        assert_eq!(running.agent.await.unwrap(), Stopped::Told);
    }
}

/// threat N
#[tokio::test]
async fn threat_n_a_server_that_is_not_trusted_hears_not_even_hello() {
    let (site, other) = (Site::new(), Site::new());
    for (case, acceptor) in [
        ("another authority", other.acceptor("127.0.0.1")),
        ("another name", site.acceptor("gatebook.example")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (listener, url) = listen().await;
        let running = run(
            folder.path(),
            Some(key(&url, site.anchors(1))),
            TlsDial::default(),
        )
        .await;
        for _ in 0..2 {
            assert!(accept(&listener, &acceptor).await.is_err(), "{case}");
        }
        let mut server = accept(&listener, &site.acceptor("127.0.0.1"))
            .await
            .unwrap();
        assert!(
            matches!(server.hello().await.identity, Identity::Register(_)),
            "{case}"
        );
        running.stop.send(true).unwrap();
        assert_eq!(server.frame().await, ClientFrame::Goodbye {});
        server.close().await;
        running.agent.await.unwrap();
    }
}

/// CLNT-19: only a certificate that is not valid yet or not any more may be the fault of this machine's clock.
#[tokio::test]
async fn a_certificate_at_the_wrong_time_is_told_from_one_that_is_wrong() {
    let (site, other) = (Site::new(), Site::new());
    for (case, acceptor, of_the_clock) in [
        ("over", site.acceptor_in("127.0.0.1", 2020..2021), true),
        ("not begun", site.acceptor_in("127.0.0.1", 2089..2090), true),
        ("another authority", other.acceptor("127.0.0.1"), false),
        ("another name", site.acceptor("gatebook.example"), false),
    ] {
        let (listener, url) = listen().await;
        let accepting = tokio::spawn(async move { accept(&listener, &acceptor).await.is_err() });
        let (dial, anchors) = (TlsDial::default(), site.anchors(1));
        let error = match agent::Dial::dial(&dial, &url.parse().unwrap(), &anchors).await {
            Ok(_) => panic!("{case}: connected"),
            Err(error) => error,
        };
        assert_eq!(error.is_of_the_clock(), of_the_clock, "{case}: {error:?}");
        assert!(accepting.await.unwrap(), "{case}");
    }
}

/// Until a connection under the new list has worked, the one under which the last one worked still holds: a list that does
/// not cover the server must not lock the machine out.
#[tokio::test]
async fn new_anchors_take_the_place_of_the_old_once_a_connection_has_worked_under_them() {
    let (old, new) = (Site::new(), Site::new());
    let folder = tempfile::tempdir().unwrap();
    let (listener, url) = listen().await;
    let _running = run(
        folder.path(),
        Some(key(&url, old.anchors(1))),
        TlsDial::default(),
    )
    .await;
    let mut server = accept(&listener, &old.acceptor("127.0.0.1")).await.unwrap();
    server.hello().await;
    server
        .welcome(welcome(Some(FIRST_TOKEN), new.anchors(2)))
        .await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 2 }
    );
    drop(server);
    // The new list does not cover this server: the old one is asked at once.
    assert!(accept(&listener, &old.acceptor("127.0.0.1")).await.is_err());
    let mut server = accept(&listener, &old.acceptor("127.0.0.1")).await.unwrap();
    assert!(matches!(server.hello().await.identity, Identity::Resume(_)));
    server.welcome(welcome(None, new.anchors(2))).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 2 }
    );
    drop(server);
    let mut server = accept(&listener, &new.acceptor("127.0.0.1")).await.unwrap();
    assert!(matches!(server.hello().await.identity, Identity::Resume(_)));
    server.welcome(welcome(None, new.anchors(2))).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 2 }
    );
    drop(server);
    // From here on the old one is nobody's.
    for _ in 0..2 {
        assert!(accept(&listener, &old.acceptor("127.0.0.1")).await.is_err());
    }
    let mut server = accept(&listener, &new.acceptor("127.0.0.1")).await.unwrap();
    assert!(matches!(server.hello().await.identity, Identity::Resume(_)));
}

/// A site that moves: its addresses come over the link, are kept, and the best one is tried first; the one that worked last
/// stays the last resort until another has worked.
#[tokio::test]
async fn a_client_follows_its_site_to_another_address() {
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let acceptor = site.acceptor("127.0.0.1");
    let ((here, old), (there, new)) = (listen().await, listen().await);
    let tell = |version: u64, urls: &[&str]| {
        let urls = urls.iter().map(|&url| url.to_owned()).collect();
        ServerFrame::Addresses(AddressList { version, urls })
    };
    let newest = |token: Option<&str>| Welcome {
        protocol: version::WITH_ADDRESSES,
        ..welcome(token, site.anchors(1))
    };
    let _running = run(
        folder.path(),
        Some(key(&old, site.anchors(1))),
        TlsDial::default(),
    )
    .await;
    let mut server = accept(&here, &acceptor).await.unwrap();
    server.hello().await;
    server.welcome(newest(Some(FIRST_TOKEN))).await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    // The new name is not there yet: nobody is locked out by that.
    server.send(tell(2, &[&new])).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AddressesStored { version: 2 }
    );
    server.send(tell(1, &["https://elsewhere.example"])).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AddressesStored { version: 2 }
    );
    drop(server);
    drop(there.accept().await.unwrap());
    let mut server = accept(&here, &acceptor).await.unwrap();
    assert!(matches!(server.hello().await.identity, Identity::Resume(_)));
    drop(server);
    let mut server = accept(&there, &acceptor).await.unwrap();
    server.hello().await;
    server.welcome(newest(None)).await;
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    drop(server);
    // It has moved.
    for _ in 0..2 {
        drop(there.accept().await.unwrap());
    }
    let state = std::fs::read_to_string(folder.path().join("identity.json")).unwrap();
    assert!(state.contains(&new) && !state.contains(&old), "{state}");
}

#[tokio::test]
async fn a_file_of_certificates_is_trusted_on_top() {
    let (site, proxy) = (Site::new(), Site::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.pem");
    std::fs::write(&file, proxy.authority.pem()).unwrap();
    let (listener, url) = listen().await;
    let dial = TlsDial::trusting_file(&file).unwrap();
    let _running = run(
        &folder.path().join("state"),
        Some(key(&url, site.anchors(1))),
        dial,
    )
    .await;
    let mut server = accept(&listener, &proxy.acceptor("127.0.0.1"))
        .await
        .unwrap();
    server.hello().await;
    std::fs::write(&file, "nothing in it").unwrap();
    assert!(TlsDial::trusting_file(&file).is_err());
}

/// Kills the program when a test fails before its end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended when the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatebook-agent"));
        let command = command
            .args(arguments)
            .env("RUST_LOG", "trace")
            .env_remove("GATEBOOK_AGENT_KEY");
        Self(
            command
                .stderr(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Its exit status and all it wrote.
    async fn ended(mut self) -> (Option<i32>, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            self.0
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            self.0
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            (self.0.wait().unwrap().code(), text)
        });
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the program ends")
            .unwrap()
    }
}

/// threat C
#[tokio::test(flavor = "multi_thread")]
async fn threat_c_the_program_says_goodbye_on_sigterm_and_writes_no_secret() {
    let (folder, site) = (tempfile::tempdir().unwrap(), Site::new());
    let (listener, url) = listen().await;
    let acceptor = site.acceptor("127.0.0.1");
    let state = folder.path().join("state");
    let key_info = key(&url, site.anchors(1)).encode().unwrap();
    let arguments = [
        "run",
        "--key",
        key_info.expose(),
        "--state",
        state.to_str().unwrap(),
    ];
    let program = Program::start(&arguments);
    let mut server = accept(&listener, &acceptor).await.unwrap();
    server.hello().await;
    server
        .welcome(welcome(Some(FIRST_TOKEN), site.anchors(1)))
        .await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    assert_eq!(
        server.frame().await,
        ClientFrame::AnchorsStored { version: 1 }
    );
    server
        .send(ServerFrame::RotateToken {
            token: Secret::new(SECOND_TOKEN),
        })
        .await;
    assert_eq!(server.frame().await, ClientFrame::TokenStored {});
    program.terminate();
    assert_eq!(server.frame().await, ClientFrame::Goodbye {});
    server.close().await;
    let (code, text) = program.ended().await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("online"), "{text}");
    for secret in [
        FIRST_TOKEN,
        SECOND_TOKEN,
        INSTALLER_SECRET,
        key_info.expose(),
    ] {
        assert!(!text.contains(secret), "a secret was written: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_ends_with_status_3_when_it_is_refused_for_good() {
    let (folder, site) = (tempfile::tempdir().unwrap(), Site::new());
    let (listener, url) = listen().await;
    let key_info = key(&url, site.anchors(1)).encode().unwrap();
    let state = folder.path().to_str().unwrap();
    let program = Program::start(&["run", "--key", key_info.expose(), "--state", state]);
    let mut server = accept(&listener, &site.acceptor("127.0.0.1"))
        .await
        .unwrap();
    server.hello().await;
    let (code, message) = (
        RefusedCode::InstallerNotValid,
        "The installer has expired.".to_owned(),
    );
    server
        .send(ServerFrame::Refused(Refused {
            code,
            message,
            retry_after_ms: None,
            is_final: true,
        }))
        .await;
    let (code, text) = program.ended().await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("The installer has expired."), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_what_is_wrong_with_how_it_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let key_info = key("https://a", system_anchors(1)).encode().unwrap();
    for (more, said) in [
        (&[][..], "--key KEY_INFO"),
        (&["--key", "nonsense"], "damaged or incomplete"),
        (
            &[
                "--key",
                key_info.expose(),
                "--server",
                "http://gatebook.example",
            ],
            "loopback hosts only",
        ),
        (
            &["--key", key_info.expose(), "--trust-file", "/nowhere"],
            "/nowhere",
        ),
    ] {
        let arguments = [&["run", "--state", state], more].concat();
        let (code, text) = Program::start(&arguments).ended().await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(said), "{said}: {text}");
    }
}

/// Without TLS the same frames go over a loopback address, for a proxy that ends TLS and for tests.
#[tokio::test]
async fn a_loopback_address_works_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let (_stop, told) = watch::channel(false);
    let servers = vec![url.parse::<Endpoint>().unwrap()];
    let options = Options {
        key: Some(key("https://a", system_anchors(1))),
        servers,
        ..Options::default()
    };
    let store = Store::open(folder.path()).unwrap();
    let machine = Machine::new(InstallMode::Service);
    let mut agent = Agent::new(TlsDial::default(), store, machine, options)
        .await
        .unwrap();
    let running = tokio::spawn(async move { agent.run(told).await });
    let accepted = tokio::time::timeout(Duration::from_secs(20), listener.accept()).await;
    let (stream, _) = accepted.unwrap().unwrap();
    FarSide {
        socket: accept_async(stream).await.unwrap(),
    }
    .register()
    .await;
    running.abort();
}
