//! The client for outbound HTTP, against a real server in a process of its own that behaves badly.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is a failure of the test"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use connector::outbound::{
    Networks, Outbound, OutboundError, Post, Resolve, Resolving, Trust, read_certificates,
};
use connector::testing::{Authority, TicketSystem};

fn loopback() -> Networks {
    Networks::read(&["127.0.0.0/8".to_owned()])
}

fn post(url: String) -> Post {
    Post {
        url,
        content_type: "application/x-www-form-urlencoded",
        body: b"request_id=1&ticket_id=T1&response_url=http%3A%2F%2F127.0.0.1%3A9%2F".to_vec(),
        within: Duration::from_secs(10),
        trust: Trust::System,
        networks: loopback(),
    }
}

/// TICK-14
#[tokio::test]
async fn one_post_is_sent_and_its_status_comes_back() {
    let mut system = TicketSystem::http(None).await;
    let outbound = Outbound::default();
    assert_eq!(outbound.post(post(system.url("silent"))).await, Ok(200));
    let got = system.next().await;
    assert_eq!(got["method"], "POST");
    assert_eq!(got["type"], "application/x-www-form-urlencoded");
    assert_eq!(got["pairs"][1], serde_json::json!(["ticket_id", "T1"]));
    for status in [404, 500, 503] {
        let url = system.url(&format!("status/{status}"));
        assert_eq!(outbound.post(post(url)).await, Ok(status));
        system.next().await;
    }
    // Once, whatever came back: the connection that is closed without an answer too.
    let url = system.url("close");
    let broken = outbound.post(post(url)).await;
    assert!(
        matches!(broken, Err(OutboundError::Unreachable(_))),
        "{broken:?}"
    );
    system.next().await;
    assert!(system.is_silent_for(Duration::from_millis(500)).await);
}

/// threat U
#[tokio::test]
async fn threat_u_nothing_is_sent_inside_unless_allowed() {
    let mut system = TicketSystem::http(None).await;
    let port = system.port;
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "127.0.0.1.",
        "\u{ff11}27.0.0.1",
    ] {
        let mut asked = post(format!("http://{host}:{port}/silent"));
        asked.networks = Networks::default();
        let refused = Outbound::default().post(asked).await;
        assert!(
            matches!(refused, Err(OutboundError::NotAllowed(_))),
            "{host}: {refused:?}"
        );
    }
    assert!(system.is_silent_for(Duration::from_millis(300)).await);
    for url in [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "not a url",
        "http://",
    ] {
        let refused = Outbound::default().post(post(url.to_owned())).await;
        assert_eq!(refused, Err(OutboundError::BadUrl), "{url}");
    }
}

/// Gives another answer each time: a public address first, loopback ever after.
struct Rebinding {
    asked: AtomicUsize,
    first: Vec<SocketAddr>,
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> Resolving<'a> {
        let addresses = match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => self.first.clone(),
            _ => vec![SocketAddr::from(([127, 0, 0, 1], port))],
        };
        Box::pin(async move { Ok(addresses) })
    }
}

/// threat U
#[tokio::test]
async fn threat_u_a_name_is_resolved_once_and_its_address_is_pinned() {
    let mut system = TicketSystem::http(None).await;
    let port = system.port;
    let rebinding = |first: &[[u8; 4]]| {
        Arc::new(Rebinding {
            asked: AtomicUsize::new(0),
            first: first
                .iter()
                .map(|ip| SocketAddr::from((*ip, port)))
                .collect(),
        })
    };
    // The name is looked at as a public one; were it asked again to connect, loopback would answer.
    let resolver = rebinding(&[[192, 0, 0, 9], [198, 51, 100, 1]]);
    let outbound = Outbound::with_resolver(Arc::clone(&resolver) as Arc<dyn Resolve>);
    let mut asked = post(system.url_at("tickets.example.com", "silent"));
    asked.within = Duration::from_millis(700);
    asked.networks = Networks::read(&["198.51.100.0/24".to_owned()]);
    let unanswered = outbound.post(asked).await.unwrap_err();
    assert!(
        matches!(
            unanswered,
            OutboundError::TimedOut | OutboundError::Unreachable(_)
        ),
        "{unanswered:?}"
    );
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    assert!(system.is_silent_for(Duration::from_millis(300)).await);
    // Of several addresses only those that may be reached are used.
    let resolver = rebinding(&[[10, 0, 0, 1], [127, 0, 0, 1]]);
    let outbound = Outbound::with_resolver(Arc::clone(&resolver) as Arc<dyn Resolve>);
    let asked = post(system.url_at("tickets.example.com", "silent"));
    assert_eq!(outbound.post(asked).await, Ok(200));
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    assert_eq!(system.next().await["method"], "POST");
}

/// threat U
#[tokio::test]
async fn threat_u_no_redirect_is_followed() {
    let mut system = TicketSystem::http(None).await;
    for status in [301, 302, 303, 307, 308] {
        let url = system.url(&format!("redirect/{status}?to={}", system.url("silent")));
        assert_eq!(Outbound::default().post(post(url)).await, Ok(status));
        assert_eq!(system.next().await["method"], "POST");
    }
    assert!(system.is_silent_for(Duration::from_millis(300)).await);
}

/// threat L, TICK-40
#[tokio::test]
async fn threat_l_one_that_hangs_or_drips_costs_the_time_and_no_more() {
    let system = TicketSystem::http(None).await;
    for what in ["hang", "drip"] {
        let mut asked = post(system.url(what));
        asked.within = Duration::from_millis(600);
        let begun = Instant::now();
        assert_eq!(
            Outbound::default().post(asked).await,
            Err(OutboundError::TimedOut),
            "{what}"
        );
        assert!(begun.elapsed() < Duration::from_secs(3), "{what}");
    }
}

/// threat L
#[tokio::test]
async fn threat_l_a_hundred_megabytes_are_not_read() {
    let mut system = TicketSystem::http(None).await;
    assert_eq!(
        Outbound::default().post(post(system.url("large"))).await,
        Ok(200)
    );
    let sent = system.next_with("sent").await["sent"].as_u64().unwrap();
    assert!(sent < 50 * 1024 * 1024, "{sent} bytes were taken");
}

/// ERR-25
#[tokio::test]
async fn a_host_without_an_address_is_said_to_be_so() {
    let asked = post("http://no-such-host.invalid/".to_owned());
    assert_eq!(
        Outbound::default().post(asked).await,
        Err(OutboundError::NotResolved)
    );
    // Nobody listens: the host is there, its port is not.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = Outbound::default()
        .post(post(format!("http://127.0.0.1:{port}/")))
        .await;
    assert!(
        matches!(refused, Err(OutboundError::Unreachable(_))),
        "{refused:?}"
    );
}

/// TICK-03 TICK-07 TICK-08, threat N
#[tokio::test]
async fn threat_n_a_certificate_is_good_by_the_uploaded_anchors_or_the_systems_or_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let system = TicketSystem::https(&ours.issue(folder.path(), &["127.0.0.1"]), None).await;
    let outbound = Outbound::default();
    let with = |trust: Trust, host: &str| Post {
        trust,
        ..post(system.url_at(host, "silent"))
    };
    let anchors =
        |authority: &Authority| Trust::Anchors(read_certificates(&authority.pem()).unwrap());
    assert_eq!(
        outbound.post(with(anchors(&ours), "127.0.0.1")).await,
        Ok(200)
    );
    // No upload and checks on: the system's authorities do not know ours.
    for (trust, host) in [
        (Trust::System, "127.0.0.1"),
        (anchors(&other), "127.0.0.1"),
        // The right authority, another server's name.
        (anchors(&ours), "localhost"),
    ] {
        let refused = outbound.post(with(trust.clone(), host)).await;
        assert!(
            matches!(refused, Err(OutboundError::Tls(_))),
            "{trust:?}: {refused:?}"
        );
    }
    // Checks off: anyone is believed.
    assert_eq!(
        outbound.post(with(Trust::Unchecked, "127.0.0.1")).await,
        Ok(200)
    );
    for text in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
    ] {
        assert!(read_certificates(text).is_err(), "{text}");
    }
}

/// TICK-11
#[test]
fn a_request_that_is_printed_does_not_show_its_body() {
    let shown = format!("{:?}", post("http://127.0.0.1/".to_owned()));
    assert!(
        !shown.contains("T1") && shown.contains("127.0.0.1"),
        "{shown}"
    );
}
