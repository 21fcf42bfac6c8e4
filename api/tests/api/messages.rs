//! What HTTP asks of every message: one Host, connections that end only where the answer says so, paths that are found.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use reqwest::Method;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::served::{Differently, FIRST_SECRET, Served, answer, header};

async fn connect(served: &Served) -> TcpStream {
    let address = served.url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// Everything that comes until the server closes the connection.
async fn rest(mut connection: TcpStream) -> String {
    let mut text = String::new();
    let read = connection.read_to_string(&mut text);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    read.expect("it is closed in time").unwrap();
    text.to_lowercase()
}

const LAST: &str = "GET /check_health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// RFC 9112, 9.3: a request that was refused before its body was read does not cost the next one on its connection.
#[tokio::test]
async fn a_connection_goes_on_after_a_body_that_nobody_read() {
    let served = Served::start().await;
    for length in [1, 100_000, 900_000] {
        let mut connection = connect(&served).await;
        let head = format!(
            "POST /api/config/v1/jump-group HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&vec![b'x'; length]).await.unwrap();
        connection.write_all(LAST.as_bytes()).await.unwrap();
        let answers = rest(connection).await;
        assert!(answers.starts_with("http/1.1 401 "), "{length} {answers}");
        assert!(answers.contains("http/1.1 200 ok"), "{length} {answers}");
        assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    }
}

/// RFC 9112, 9.6: what is too much to be discarded ends the connection, and the answer says so.
#[tokio::test]
async fn an_answer_that_is_the_last_of_its_connection_says_so() {
    let served = Served::start().await;
    for more in [
        "Content-Length: 5000000\r\n\r\nxxxx",
        // Its sender waits for leave to send a body that nobody wants.
        "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let mut connection = connect(&served).await;
        let head = format!("POST /api/config/v1/jump-group HTTP/1.1\r\nHost: a\r\n{more}");
        connection.write_all(head.as_bytes()).await.unwrap();
        let answers = rest(connection).await;
        assert!(answers.starts_with("http/1.1 401 "), "{answers}");
        assert!(answers.contains("connection: close"), "{answers}");
    }
}

/// RFC 9112, 3.2, threat J
#[tokio::test]
async fn threat_j_a_request_without_one_host_is_refused() {
    let served = Served::start().await;
    for (hosts, expected) in [
        ("", "400"),
        ("Host: a\r\nHost: b\r\n", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a b\r\n", "400"),
        ("Host: a\r\n", "200"),
    ] {
        let mut connection = connect(&served).await;
        let request = format!("GET /check_health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let text = rest(connection).await;
        assert!(
            text.starts_with(&format!("http/1.1 {expected} ")),
            "{hosts:?} {text}"
        );
    }
    let mut old = connect(&served).await;
    old.write_all(b"GET /check_health HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(old).await.contains("200 ok"), "HTTP/1.0 has none");
}

/// AUTH-02, threat B: base URLs end in a slash; what a path leads to is guarded as ever.
#[tokio::test]
async fn threat_b_doubled_slashes_lead_where_single_ones_do() {
    let served = Served::start().await;
    let token = served
        .request(Method::POST, "//oauth2/token")
        .basic_auth(&served.first.client_id, Some(FIRST_SECRET))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(token.status(), 200);
    for (path, with, without) in [
        ("//api/config/v1/jump-group", 200, 401),
        ("/api//config///v1/jump-group?per_page=10", 200, 401),
        ("//api/command?action=get_api_info", 200, 401),
        ("//api/console/v1/items", 401, 401),
        ("//check_health", 200, 200),
        ("//api/config/v1//jump-group", 200, 401),
        ("//api/config/v1/jump-group//1", 404, 401),
        ("//nothing", 404, 404),
    ] {
        let ask = async |token: Option<&str>| {
            let mut request = served.request(Method::GET, path);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(ask(Some(&served.token)).await, with, "{path}");
        assert_eq!(ask(None).await, without, "{path}");
    }
}

/// A request as it comes over a connection from `peer`.
async fn come(
    served: &Served,
    (peer, transport): (&str, Transport),
    request: axum::http::request::Builder,
    body: &'static str,
) -> axum::response::Response {
    let mut request = request
        .header("host", "access.example.com")
        .body(Body::from(body))
        .unwrap();
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(transport);
    let router = api::router(Arc::clone(&served.site));
    router.oneshot(request).await.unwrap()
}

const PROXY: (&str, Transport) = ("10.1.1.1:5", Transport::PlainTrusted);
const NEAR: (&str, Transport) = ("127.0.0.1:5", Transport::PlainTrusted);
const FAR: (&str, Transport) = ("203.0.113.9:5", Transport::Tls);

async fn behind_a_proxy() -> Served {
    Served::start_with(Differently {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..Differently::default()
    })
    .await
}

/// AUTH-20, AUTH-21, TICK-28, threat J: one rule for every surface, whoever the proxy is.
#[tokio::test]
async fn threat_j_what_came_to_a_proxy_in_plain_text_is_refused_on_every_surface() {
    let served = behind_a_proxy().await;
    let surfaces = [
        (Method::POST, "/oauth2/token"),
        (Method::GET, "/api/config/v1/jump-group"),
        (Method::GET, "/api/command"),
        (Method::GET, "/api/reporting"),
        (Method::POST, "/api/endpoint_approval"),
        (Method::POST, "/api/console/v1/sign-in"),
        (Method::GET, "/link/v1"),
        (Method::GET, "/get_mech_list"),
    ];
    for (method, path) in surfaces {
        for from in [PROXY, NEAR] {
            let ask = async |scheme: Option<&str>| {
                let mut request = Request::builder().method(method.clone()).uri(path);
                if let Some(scheme) = scheme {
                    request = request.header("x-forwarded-proto", scheme);
                }
                let response = come(&served, from, request, "").await;
                let status = response.status().as_u16();
                let body = axum::body::to_bytes(response.into_body(), 10_000).await;
                let body = String::from_utf8_lossy(&body.unwrap()).into_owned();
                (status, body.contains("https_required"))
            };
            assert_eq!(ask(Some("http")).await, (403, true), "{path} {from:?}");
            for scheme in [Some("https"), Some("https,http"), None] {
                assert!(!ask(scheme).await.1, "{path} {from:?} {scheme:?}");
            }
        }
    }
}

/// threat J: the caller is who the proxy says, in whichever form.
#[tokio::test]
async fn threat_j_behind_a_proxy_the_caller_is_known_by_its_own_address() {
    let served = behind_a_proxy().await;
    let basic = {
        use base64::Engine as _;
        let text = format!("{}:{FIRST_SECRET}", served.first.client_id);
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        format!("Basic {encoded}")
    };
    for (name, value, address) in [
        ("x-forwarded-for", "203.0.113.6:51234", "203.0.113.6"),
        (
            "x-forwarded-for",
            "6.6.6.6, [2001:db8::6]:443",
            "2001:db8::6",
        ),
        (
            "forwarded",
            "for=\"203.0.113.7:80\";proto=https",
            "203.0.113.7",
        ),
    ] {
        let request = Request::post("/oauth2/token")
            .header("authorization", &basic)
            .header(name, value);
        let response = come(&served, PROXY, request, "grant_type=client_credentials").await;
        assert_eq!(response.status(), 200, "{name} {value}");
        let log = served.log().await;
        let noted = log.iter().any(|(stored, text)| {
            stored == "ApiAccountAuthenticated" && text.contains(&format!("\"{address}\""))
        });
        assert!(noted, "{name} {value}");
    }
    let request = Request::get("/get_mech_list")
        .header("x-forwarded-for", "203.0.113.6")
        .header("forwarded", "for=10.0.0.1, for=6.6.6.6");
    let response = come(&served, PROXY, request, "").await;
    assert_eq!(response.status(), 400, "two callers are named");
}

/// threat J: browsers are told to come by HTTPS only, by answers over HTTPS only (RFC 6797, 7.2).
#[tokio::test]
async fn threat_j_browsers_are_told_to_stay_with_https() {
    let served = behind_a_proxy().await;
    for (from, scheme, expected) in [
        (FAR, None, true),
        (PROXY, Some("https"), true),
        (NEAR, None, false),
        (PROXY, Some("http"), false),
    ] {
        for path in ["/check_health", "/nothing"] {
            let mut request = Request::get(path);
            if let Some(scheme) = scheme {
                request = request.header("x-forwarded-proto", scheme);
            }
            let response = come(&served, from, request, "").await;
            let told = response.headers().get("strict-transport-security");
            assert_eq!(told.is_some(), expected, "{path} {from:?} {scheme:?}");
        }
    }
}

/// A large body that is read and refused leaves the connection usable as well.
#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_words() {
    let served = Served::start().await;
    let name = "x".repeat(1_200_000);
    let response = served
        .call(Method::POST, "jump-group", Some(json!({"name": name})))
        .await;
    assert!(header(&response, "connection").is_none());
    let (status, body) = answer(response).await;
    assert_eq!((status, &body["code"]), (413, &json!("body_too_large")));
}
