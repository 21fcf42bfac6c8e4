//! Who is at the other end of the connection, and over what: the outermost layer.
//!
//! The program that listens says by the extension [`Transport`] how a connection came in. What says nothing is refused:
//! credentials travel over TLS, or in plain text only from loopback and proxies that were named (AUTH-20).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use crate::error::{JsonError, Problem};
use crate::site::Site;

/// How a connection came in; an extension of every request, put there by whoever listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS that ends here.
    Tls,
    /// In plain text, from loopback or from a proxy that was named.
    PlainTrusted,
}

/// The far end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address: the connection's, or the one a trusted proxy vouches for.
    pub address: IpAddr,
    /// Its port, where the connection is its own.
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

/// Layer: finds out who the peer is, and refuses plain text from elsewhere.
pub(crate) async fn identify(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let transport = request.extensions().get::<Transport>().copied();
    let peer = connection.and_then(|ConnectInfo(address)| {
        peer_of(
            *address,
            transport?,
            request.headers(),
            &site.trusted_proxies,
        )
    });
    let Some(peer) = peer else {
        return Problem::https_required().to_json().into_response();
    };
    request.extensions_mut().insert(peer);
    next.run(request).await
}

fn peer_of(
    connection: SocketAddr,
    transport: Transport,
    headers: &HeaderMap,
    proxies: &[IpNet],
) -> Option<Peer> {
    let near = connection.ip().to_canonical();
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    if transport == Transport::PlainTrusted && !near.is_loopback() && !is_proxy(&near) {
        return None;
    }
    let direct = Peer {
        address: near,
        port: Some(connection.port()),
        transport,
        is_https: transport == Transport::Tls,
    };
    if !is_proxy(&near) {
        return Some(direct);
    }
    let is_https = header(headers, "x-forwarded-proto").map_or(direct.is_https, |scheme| {
        scheme.eq_ignore_ascii_case("https")
    });
    // From the right: the first hop that is no proxy of ours. What stands to its left, anybody may have written.
    let far = headers
        .get_all("x-forwarded-for")
        .iter()
        .rev()
        .flat_map(|value| value.to_str().unwrap_or_default().rsplit(','))
        .map(|hop| hop.trim().parse::<IpAddr>().map(|hop| hop.to_canonical()))
        .find(|hop| hop.as_ref().map_or(true, |hop| !is_proxy(hop)));
    match far {
        None => Some(Peer { is_https, ..direct }),
        Some(Ok(address)) => Some(Peer {
            address,
            port: None,
            transport,
            is_https,
        }),
        // A hop that can't be read hides who asks: the proxy itself answers for the call.
        Some(Err(_)) => Some(Peer { is_https, ..direct }),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
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
            .map(|peer| peer.address_text())
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
