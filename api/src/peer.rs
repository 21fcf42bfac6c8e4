//! Who is at the other end of the connection, and over what: the outermost layer.
//!
//! The program that listens says by the extension [`Transport`] how a connection came in. What says nothing is refused:
//! credentials travel over TLS, or in plain text only from loopback and proxies that were named (AUTH-20).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::STRICT_TRANSPORT_SECURITY;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use crate::error::{JsonError, Problem};
use crate::forwarded::{self, Node};
use crate::site::Site;

/// How a connection came in; an extension of every request, put there by whoever listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS that ends here.
    Tls,
    /// In plain text, from loopback or from a proxy that was named.
    PlainTrusted,
}

/// Whether somebody has authenticated on a connection; an extension of every request, put there by whoever listens. When there
/// are too many connections, those of strangers give way first.
#[derive(Clone, Debug, Default)]
pub struct Authenticated(Arc<AtomicBool>);

impl Authenticated {
    /// Notes that somebody has.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes it on the connection of a request.
    pub(crate) fn note_on(extensions: &Extensions) {
        if let Some(connection) = extensions.get::<Self>() {
            connection.note();
        }
    }
}

/// The far end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address: the connection's, or the one a trusted proxy vouches for.
    pub address: IpAddr,
    /// Its port, where it is known.
    pub port: Option<u16>,
    /// How the connection came in.
    pub transport: Transport,
    /// Whether the caller itself speaks TLS, to this program or to a proxy.
    pub is_https: bool,
}

impl Peer {
    /// `address:port`, or the address where no port is known.
    #[must_use]
    pub fn address_text(&self) -> String {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).to_string(),
            None => self.address.to_string(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = JsonError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, JsonError> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| Problem::internal().into())
    }
}

/// How long browsers remember that the site is asked over HTTPS only (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Layer: finds out who the peer is, and refuses plain text from elsewhere (AUTH-20).
pub(crate) async fn identify(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let transport = request.extensions().get::<Transport>().copied();
    let (Some(ConnectInfo(address)), Some(transport)) = (connection, transport) else {
        return Problem::https_required().to_json();
    };
    let proxies = &site.trusted_proxies;
    let peer = match peer_of(*address, transport, request.headers(), proxies) {
        Ok(peer) => peer,
        Err(problem) => return problem.to_json(),
    };
    request.extensions_mut().insert(peer);
    let mut response = next.run(request).await;
    if peer.is_https {
        response
            .headers_mut()
            .insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

/// Who asks. Addresses are believed from named proxies only. A scheme is believed from whoever connects in plain text, for only
/// proxies and this machine may: what came to a proxy in plain text is refused, whatever it asks for. Where a named proxy says
/// nothing of the scheme, its naming says it: it ends TLS.
fn peer_of(
    connection: SocketAddr,
    transport: Transport,
    headers: &HeaderMap,
    proxies: &[IpNet],
) -> Result<Peer, Problem> {
    let near = connection.ip().to_canonical();
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let is_named = is_proxy(&near);
    let is_plain = transport == Transport::PlainTrusted;
    if is_plain && !near.is_loopback() && !is_named {
        return Err(Problem::https_required());
    }
    let direct = Peer {
        address: near,
        port: Some(connection.port()),
        transport,
        is_https: !is_plain,
    };
    if !is_named && !is_plain {
        return Ok(direct);
    }
    let claim = forwarded::read(headers, is_proxy)
        .map_err(|unbelievable| Problem::malformed(unbelievable.to_string()))?;
    let is_https = claim.is_https.unwrap_or(is_named || direct.is_https);
    if claim.is_https == Some(false) {
        return Err(Problem::https_required());
    }
    match claim.node {
        Some(Node::Known(address, port)) if is_named => Ok(Peer {
            address,
            port,
            transport,
            is_https,
        }),
        // Nobody is named, or one who hides: the proxy itself answers for the call.
        _ => {
            if !is_named && forwarded::is_there(headers) {
                warn_of_unnamed_proxy();
            }
            Ok(Peer { is_https, ..direct })
        }
    }
}

/// Says once that everybody who comes through it is taken for this machine.
fn warn_of_unnamed_proxy() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "requests come through a proxy on this machine that is not named with --trusted-proxy: \
             all its callers count as one address"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(connection: &str, transport: Transport, forwarded: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        peer_of(connection.parse().unwrap(), transport, &headers, &proxies)
            .ok()
            .map(|peer| peer.address_text())
    }

    /// AUTH-20, threat J: one rule for every surface.
    #[test]
    fn threat_j_what_came_to_a_proxy_in_plain_text_is_refused() {
        use Transport::{PlainTrusted, Tls};
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let (proxy, near, far) = ("10.1.1.1:5", "127.0.0.1:5", "203.0.113.9:5");
        // connection, transport, X-Forwarded-Proto, whether the caller speaks HTTPS; none where it is refused
        let cases = [
            (proxy, PlainTrusted, Some("https"), Some(true)),
            (proxy, PlainTrusted, Some("https,http"), Some(true)),
            (proxy, PlainTrusted, Some("http"), None),
            (proxy, PlainTrusted, None, Some(true)),
            (proxy, Tls, Some("http"), None),
            (proxy, Tls, None, Some(true)),
            // On this machine, named or not.
            (near, PlainTrusted, None, Some(false)),
            (near, PlainTrusted, Some("https"), Some(true)),
            (near, PlainTrusted, Some("http"), None),
            // No proxy: what it writes means nothing.
            (far, Tls, Some("http"), Some(true)),
            (far, PlainTrusted, Some("https"), None),
        ];
        for (connection, transport, scheme, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(scheme) = scheme {
                headers.append("x-forwarded-proto", scheme.parse().unwrap());
            }
            let peer = peer_of(connection.parse().unwrap(), transport, &headers, &proxies);
            assert_eq!(
                peer.ok().map(|peer| peer.is_https),
                expected,
                "{connection} {transport:?} {scheme:?}"
            );
        }
    }

    /// AUTH-20, threat J
    #[test]
    fn threat_j_forwarded_addresses_are_believed_only_from_named_proxies() {
        use Transport::{PlainTrusted, Tls};
        // connection, transport, X-Forwarded-For, who asks
        let cases: [(&str, Transport, &[&str], Option<&str>); 9] = [
            ("203.0.113.9:5", Tls, &[], Some("203.0.113.9:5")),
            ("203.0.113.9:5", Tls, &["192.0.2.1"], Some("203.0.113.9:5")),
            ("203.0.113.9:5", PlainTrusted, &[], None),
            (
                "127.0.0.1:5",
                PlainTrusted,
                &["192.0.2.1"],
                Some("127.0.0.1:5"),
            ),
            (
                "10.1.1.1:5",
                PlainTrusted,
                &["192.0.2.1"],
                Some("192.0.2.1"),
            ),
            (
                "10.1.1.1:5",
                PlainTrusted,
                &["6.6.6.6, 192.0.2.1, 10.2.2.2"],
                Some("192.0.2.1"),
            ),
            (
                "10.1.1.1:5",
                PlainTrusted,
                &["6.6.6.6", "192.0.2.1"],
                Some("192.0.2.1"),
            ),
            (
                "10.1.1.1:5",
                PlainTrusted,
                &["192.0.2.1, nonsense"],
                Some("10.1.1.1:5"),
            ),
            (
                "[::ffff:10.1.1.1]:5",
                Tls,
                &["2001:db8::1"],
                Some("2001:db8::1"),
            ),
        ];
        for (connection, transport, forwarded, expected) in cases {
            assert_eq!(
                seen(connection, transport, forwarded).as_deref(),
                expected,
                "{connection} {transport:?} {forwarded:?}"
            );
        }
    }
}
