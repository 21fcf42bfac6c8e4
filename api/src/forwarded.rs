//! What proxies say of the caller they forward for: the one reader of `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded`
//! (RFC 7239).
//!
//! A list grows to the right, each proxy adding whom it was called by. What our own proxies added can be believed; left of
//! that, anybody may have written anything. So lists are read from the right, and the first one who is no proxy of ours is the
//! caller.
//!
//! Read here and not by a library: those that there are take quotes and separators for granted, and what is misread here is an
//! address that somebody else chose.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header::FORWARDED};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who called one of the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// An address, and its port where one was given.
    Known(IpAddr, Option<u16>),
    /// Nothing that can be read as one: the proxy hides it, or somebody wrote nonsense.
    Hidden,
}

/// What is said of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Who it is.
    pub(crate) node: Option<Node>,
    /// Whether it speaks TLS.
    pub(crate) is_https: Option<bool>,
}

/// Why nobody can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unbelievable {
    /// A proxy sets one family of headers, and passed on what the caller itself wrote into the other.
    #[error(
        "X-Forwarded-For and Forwarded name two different callers. The proxy must set both, or remove the one that it does not set."
    )]
    Contradiction,
    /// A quote that is never closed: what was added behind it can't be told from what is in it.
    #[error("The Forwarded header can't be read.")]
    OpenQuote,
}

/// Reads what is said of the caller; `is_proxy` tells our own proxies from others.
///
/// # Errors
/// [`Unbelievable`]; only a caller that writes such headers itself gets there.
pub(crate) fn read(
    headers: &HeaderMap,
    is_proxy: impl Fn(&IpAddr) -> bool,
) -> Result<Claim, Unbelievable> {
    let by_x = by_x_headers(headers, &is_proxy);
    let by_standard = by_forwarded(headers, &is_proxy)?;
    let address = |claim: &Claim| match claim.node {
        Some(Node::Known(address, _)) => Some(address),
        _ => None,
    };
    if by_x.node.is_some() && by_standard.node.is_some() && address(&by_x) != address(&by_standard)
    {
        return Err(Unbelievable::Contradiction);
    }
    let is_https = match (by_x.is_https, by_standard.is_https) {
        (Some(one), Some(other)) => Some(one && other),
        (one, other) => one.or(other),
    };
    Ok(Claim {
        node: by_x.node.or(by_standard.node),
        is_https,
    })
}

/// Whether any of the headers is there.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// The place of the caller in a list: the last one who is no proxy of ours, or the first where all are.
fn caller_at(nodes: &[Node], is_proxy: impl Fn(&IpAddr) -> bool) -> Option<usize> {
    let is_ours = |node: &Node| matches!(node, Node::Known(address, _) if is_proxy(address));
    let last = nodes.iter().rposition(|node| !is_ours(node));
    last.or((!nodes.is_empty()).then_some(0))
}

fn by_x_headers(headers: &HeaderMap, is_proxy: impl Fn(&IpAddr) -> bool) -> Claim {
    let nodes: Vec<Node> = list(headers, &FORWARDED_FOR).map(node).collect();
    let schemes: Vec<bool> = list(headers, &FORWARDED_PROTO).map(is_https).collect();
    let caller = caller_at(&nodes, is_proxy);
    // Where each proxy added both, they stand side by side; where one proxy sets the scheme for all, the first is the caller's.
    let scheme = match caller {
        Some(at) if schemes.len() == nodes.len() => schemes.get(at),
        _ => schemes.first(),
    };
    Claim {
        node: caller.and_then(|at| nodes.get(at).copied()),
        is_https: scheme.copied(),
    }
}

/// The members of a list that may be spread over several lines. A line that is no text hides who stands there.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// Traefik says `wss` of a WebSocket.
fn is_https(scheme: &str) -> bool {
    ["https", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:443`.
fn node(text: &str) -> Node {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Node::Known(address.ip().to_canonical(), Some(address.port()));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|bare| bare.contains(':'))
        .unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Node::Known(address.to_canonical(), None),
        Err(_) => Node::Hidden,
    }
}

/// One element of `Forwarded`.
#[derive(Default)]
struct Element {
    node: Option<Node>,
    is_https: Option<bool>,
}

fn by_forwarded(
    headers: &HeaderMap,
    is_proxy: impl Fn(&IpAddr) -> bool,
) -> Result<Claim, Unbelievable> {
    let mut elements: Vec<Element> = Vec::new();
    for value in headers.get_all(FORWARDED) {
        elements.extend(elements_of(value.to_str().unwrap_or("for=?"))?);
    }
    let (places, nodes): (Vec<usize>, Vec<Node>) = elements
        .iter()
        .enumerate()
        .filter_map(|(at, element)| Some((at, element.node?)))
        .unzip();
    let caller = caller_at(&nodes, is_proxy);
    let element = caller.and_then(|at| elements.get(*places.get(at)?));
    Ok(Claim {
        node: caller.and_then(|at| nodes.get(at).copied()),
        is_https: element
            .and_then(|element| element.is_https)
            .or_else(|| elements.iter().find_map(|element| element.is_https)),
    })
}

/// The elements of one line of `Forwarded`. What can't be read, or says something twice, hides who stands there.
fn elements_of(line: &str) -> Result<Vec<Element>, Unbelievable> {
    let mut all = Vec::new();
    for text in split(line, ',')? {
        let mut element = Element::default();
        for pair in split(text, ';')? {
            let Some((name, value)) = pair.split_once('=') else {
                if !pair.trim().is_empty() {
                    element.node = Some(Node::Hidden);
                }
                continue;
            };
            let (name, value) = (name.trim(), unquoted(value.trim()));
            if name.eq_ignore_ascii_case("for") {
                element.node = Some(match element.node {
                    None => node(&value),
                    Some(_) => Node::Hidden,
                });
            } else if name.eq_ignore_ascii_case("proto") {
                element.is_https = Some(is_https(&value) && element.is_https != Some(false));
            }
        }
        if element.node.is_some() || element.is_https.is_some() {
            all.push(element);
        }
    }
    Ok(all)
}

/// Cuts at a separator outside quoted strings.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Unbelievable> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text
        .split(|char| {
            if escaped {
                escaped = false;
            } else if quoted && char == '\\' {
                escaped = true;
            } else if char == '"' {
                quoted = !quoted;
            }
            char == separator && !quoted
        })
        .collect();
    if quoted {
        Err(Unbelievable::OpenQuote)
    } else {
        Ok(parts)
    }
}

fn unquoted(value: &str) -> String {
    let inside = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inside) = inside else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => text.extend(chars.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said by these headers, in short: `address[:port] scheme`; ours are 10.0.0.0/8 and 2001:db8:5::/48.
    fn said(lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let ours: Vec<ipnet::IpNet> = ["10.0.0.0/8", "2001:db8:5::/48"]
            .map(|network| network.parse().unwrap())
            .into();
        let claim = match read(&headers, |address| {
            ours.iter().any(|network| network.contains(address))
        }) {
            Ok(claim) => claim,
            Err(Unbelievable::Contradiction) => return "contradiction".to_owned(),
            Err(Unbelievable::OpenQuote) => return "open quote".to_owned(),
        };
        let node = match claim.node {
            None => "nobody".to_owned(),
            Some(Node::Hidden) => "hidden".to_owned(),
            Some(Node::Known(address, None)) => address.to_string(),
            Some(Node::Known(address, Some(port))) => SocketAddr::new(address, port).to_string(),
        };
        let scheme = match claim.is_https {
            None => "",
            Some(true) => " https",
            Some(false) => " http",
        };
        node + scheme
    }

    /// threat J
    #[test]
    fn threat_j_addresses_are_read_in_every_common_form() {
        for (text, expected) in [
            ("203.0.113.6", "203.0.113.6"),
            ("203.0.113.6:51234", "203.0.113.6:51234"),
            ("2001:db8::6", "2001:db8::6"),
            ("[2001:db8::6]", "2001:db8::6"),
            ("[2001:db8::6]:443", "[2001:db8::6]:443"),
            ("::ffff:203.0.113.6", "203.0.113.6"),
            ("[::ffff:203.0.113.6]:7", "203.0.113.6:7"),
            ("[203.0.113.6]", "hidden"),
            ("unknown", "hidden"),
            ("_hidden", "hidden"),
            ("203.0.113.6:99999", "hidden"),
            ("203.0.113", "hidden"),
            ("[2001:db8::6", "hidden"),
            ("example.com", "hidden"),
        ] {
            assert_eq!(said(&[("x-forwarded-for", text)]), expected, "{text}");
            let quoted = format!("for=\"{text}\"");
            assert_eq!(said(&[("forwarded", &quoted)]), expected, "{quoted}");
        }
    }

    /// threat J
    #[test]
    fn threat_j_lists_are_read_from_the_right_up_to_the_first_who_is_none_of_ours() {
        const FOR: &str = "x-forwarded-for";
        const PROTO: &str = "x-forwarded-proto";
        let cases: [(&[(&str, &str)], &str); 17] = [
            (&[], "nobody"),
            (&[(FOR, "6.6.6.6, 192.0.2.1, 10.2.2.2")], "192.0.2.1"),
            (&[(FOR, "6.6.6.6"), (FOR, "192.0.2.1:5")], "192.0.2.1:5"),
            (&[(FOR, "192.0.2.1,,10.2.2.2, ")], "192.0.2.1"),
            (&[(FOR, "192.0.2.1, nonsense")], "hidden"),
            (&[(FOR, "10.1.1.1, 10.2.2.2")], "10.1.1.1"),
            (&[(PROTO, "https")], "nobody https"),
            (&[(PROTO, "https,http")], "nobody https"),
            (&[(PROTO, "HTTPS , http")], "nobody https"),
            (&[(PROTO, "wss")], "nobody https"),
            (&[(PROTO, "http")], "nobody http"),
            (&[(PROTO, "gopher")], "nobody http"),
            // One scheme for all.
            (
                &[(FOR, "192.0.2.1, 10.2.2.2"), (PROTO, "https")],
                "192.0.2.1 https",
            ),
            // Side by side: the caller wrote the first of each itself.
            (
                &[(FOR, "6.6.6.6, 192.0.2.1"), (PROTO, "https, http")],
                "192.0.2.1 http",
            ),
            (
                &[(FOR, "192.0.2.1, 10.2.2.2"), (PROTO, "https, http")],
                "192.0.2.1 https",
            ),
            (
                &[(FOR, "192.0.2.1"), (PROTO, "https, http")],
                "192.0.2.1 https",
            ),
            (
                &[(FOR, "192.0.2.1"), (PROTO, "http"), (PROTO, "https")],
                "192.0.2.1 http",
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(said(lines), expected, "{lines:?}");
        }
    }

    /// threat J: RFC 7239.
    #[test]
    fn threat_j_the_standard_header_is_read_with_its_quotes() {
        for (line, expected) in [
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                "192.0.2.60 http",
            ),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                "[2001:db8:cafe::17]:4711",
            ),
            ("for=192.0.2.43, for=10.51.100.17", "192.0.2.43"),
            (
                "for=6.6.6.6;proto=http, for=192.0.2.1; proto=\"https\" ,for=10.0.0.1;proto=http",
                "192.0.2.1 https",
            ),
            ("by=10.0.0.1;host=a;proto=https", "nobody https"),
            ("proto=https, for=192.0.2.1", "192.0.2.1 https"),
            // Separators inside quotes are none, and what is said twice is not believed.
            ("host=\"a,for=6.6.6.6\";for=192.0.2.1", "192.0.2.1"),
            ("host=\"a\\\",for=6.6.6.6\";for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1;for=6.6.6.6", "hidden"),
            ("for=192.0.2.1;proto=http;proto=https", "192.0.2.1 http"),
            ("192.0.2.1", "hidden"),
            // Else a caller would hide itself behind its own quote, and pass for the proxy.
            ("for=\"6.6.6.6, for=192.0.2.1", "open quote"),
        ] {
            assert_eq!(said(&[("forwarded", line)]), expected, "{line}");
        }
    }

    /// threat J: a proxy that sets one of the two and passes the other on lets nobody choose an address.
    #[test]
    fn threat_j_two_headers_have_to_name_the_same_caller() {
        for (x, standard, expected) in [
            ("192.0.2.1", "for=192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:5", "for=\"192.0.2.1:5\"", "192.0.2.1:5"),
            ("192.0.2.1", "for=6.6.6.6", "contradiction"),
            ("192.0.2.1", "for=unknown", "contradiction"),
            ("192.0.2.1", "proto=https", "192.0.2.1 https"),
        ] {
            let lines = [("x-forwarded-for", x), ("forwarded", standard)];
            assert_eq!(said(&lines), expected, "{x} {standard}");
        }
        let schemes = |x, standard| said(&[("x-forwarded-proto", x), ("forwarded", standard)]);
        assert_eq!(schemes("https", "proto=http"), "nobody http");
        assert_eq!(schemes("http", "proto=https"), "nobody http");
        assert_eq!(schemes("https", "proto=https"), "nobody https");
    }
}
