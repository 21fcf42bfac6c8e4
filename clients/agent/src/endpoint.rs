//! Where the server is, and which addresses are not allowed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use link_protocol::limits::LINK_PATH;
use url::{Host, Url};

/// A server's address: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken. Without it only loopback hosts are allowed.
    pub tls: bool,
    /// Host name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why an address is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not of the form `https://host[:port]`.
    #[error("a server URL has the form https://host or https://host:port, this one has not")]
    Form,
    /// `http://` or `ws://` to another machine.
    #[error("a server URL without TLS is allowed for loopback hosts only, not for {0}")]
    Plain(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text).map_err(|_| EndpointError::Form)?;
        let tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(EndpointError::Form),
        };
        let extra = url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        if extra {
            return Err(EndpointError::Form);
        }
        let (host, loopback) = match url.host().ok_or(EndpointError::Form)? {
            Host::Domain(name) => (name.to_owned(), name == "localhost"),
            Host::Ipv4(ip) => (ip.to_string(), ip.is_loopback()),
            Host::Ipv6(ip) => (ip.to_string(), ip.is_loopback()),
        };
        if !tls && !loopback {
            return Err(EndpointError::Plain(host));
        }
        let port = url.port_or_known_default().ok_or(EndpointError::Form)?;
        Ok(Self { tls, host, port })
    }
}

impl Endpoint {
    /// The URL of the WebSocket.
    #[must_use]
    pub fn link_url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        format!("{scheme}://{self}{LINK_PATH}")
    }
}

/// Host and port as in a URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_the_address_of_the_link() {
        for (text, link) in [
            (
                "https://gatebook.example",
                "wss://gatebook.example:443/link/v1",
            ),
            (
                "https://gatebook.example:8443/",
                "wss://gatebook.example:8443/link/v1",
            ),
            (
                "wss://gatebook.example:8443",
                "wss://gatebook.example:8443/link/v1",
            ),
            ("https://[::1]:8443", "wss://[::1]:8443/link/v1"),
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/link/v1"),
            ("ws://localhost:8080", "ws://localhost:8080/link/v1"),
            ("http://[::1]", "ws://[::1]:80/link/v1"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().link_url(), link);
        }
    }

    /// threat N
    #[test]
    fn threat_n_without_tls_only_loopback_is_allowed() {
        for text in [
            "http://gatebook.example",
            "ws://10.0.0.1:80",
            "http://[fe80::1]",
            "ws://localhost.example",
        ] {
            assert!(
                matches!(text.parse::<Endpoint>(), Err(EndpointError::Plain(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_server_url() {
        for text in [
            "",
            "gatebook",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://u:p@a",
            "https://a#b",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Form), "{text}");
        }
    }
}
