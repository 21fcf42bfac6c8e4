//! What HTTP/1.1 asks of every message (RFC 9112): exactly one Host, and no answer that leaves it open where the next request
//! begins. Also how much a path may differ
//! from ours.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT, HOST};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::error::Problem;

/// How much of a body that nobody read is discarded, so that the connection can go on: a body of the largest size that is read
/// anywhere. Unit: bytes.
const DISCARDED_BYTES_MAX: u64 = 1024 * 1024;

/// How long that may take.
const DISCARDED_WITHIN: Duration = Duration::from_secs(2);

/// Layer: refuses a request whose Host is missing, there more than once, or no host (RFC 9112, 3.2).
pub(crate) async fn one_host(request: Request, next: Next) -> Response {
    if has_one_host(request.version(), request.headers()) {
        next.run(request).await
    } else {
        Problem::malformed("A request needs exactly one Host header that names a host.").to_json()
    }
}

fn has_one_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => Authority::try_from(host.as_bytes())
            .is_ok_and(|host| !host.as_str().contains('@') && !host.host().is_empty()),
        (Some(_), Some(_)) => false,
    }
}

/// Layer: what is left of a body when it was answered is read and discarded, within bounds; beyond them the answer says that it
/// is the connection's last.
pub(crate) async fn whole_body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits_for_a_word = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let rest = Arc::new(Mutex::new(Rest::Unread));
    let lent = LentBody {
        body: Some(body),
        rest: Arc::clone(&rest),
        was_read: false,
    };
    let request = Request::from_parts(parts, Body::new(lent));
    let mut response = next.run(request).await;
    let left = std::mem::replace(&mut *lock(&rest), Rest::Unread);
    let is_whole = match left {
        Rest::None => true,
        // Its sender waits to be told to go on, and will not be.
        Rest::Left { was_read, .. } if waits_for_a_word && !was_read => false,
        // It has been waited for long enough.
        Rest::Left { .. } if response.status() == StatusCode::REQUEST_TIMEOUT => false,
        Rest::Left { body, .. } => discard(body).await,
        Rest::Unread => false,
    };
    if !is_whole {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the body came to its end within the bounds.
async fn discard(mut body: Body) -> bool {
    if HttpBody::size_hint(&body).lower() > DISCARDED_BYTES_MAX {
        return false;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > DISCARDED_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DISCARDED_WITHIN, read)
        .await
        .unwrap_or(false)
}

/// What became of a body that was lent.
enum Rest {
    /// It is still lent.
    Unread,
    /// It was read to its end.
    None,
    /// It was given back before.
    Left { body: Body, was_read: bool },
}

fn lock(rest: &Mutex<Rest>) -> std::sync::MutexGuard<'_, Rest> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that goes back to where it came from when whoever read it drops it.
struct LentBody {
    body: Option<Body>,
    rest: Arc<Mutex<Rest>>,
    was_read: bool,
}

impl HttpBody for LentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.was_read = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = SizeHint::with_exact(0);
        self.body.as_ref().map_or(none, HttpBody::size_hint)
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        *lock(&self.rest) = left.map_or(Rest::None, |body| Rest::Left {
            body,
            was_read: self.was_read,
        });
    }
}

/// Segments of the longest base URL, `/api/config/v1`.
const BASE_SEGMENTS: usize = 3;

/// Takes doubled slashes for one up to where a base URL ends, since base URLs are configured with a slash at their end. Behind
/// that an empty segment is an empty id, and must not become another path. Everything that guards a path comes after.
pub(crate) fn with_single_slashes(mut request: Request) -> Request {
    if request.uri().path().contains("//")
        && let Some(uri) = single_slashes(request.uri())
    {
        *request.uri_mut() = uri;
    }
    request
}

fn single_slashes(uri: &Uri) -> Option<Uri> {
    let mut whole = String::with_capacity(uri.path().len());
    let mut segments = 0;
    for char in uri.path().chars() {
        let is_doubled = char == '/' && whole.ends_with('/');
        if is_doubled && segments <= BASE_SEGMENTS {
            continue;
        }
        segments += usize::from(char != '/' && whole.ends_with('/'));
        whole.push(char);
    }
    if let Some(query) = uri.query() {
        whole.push('?');
        whole.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_that_is_a_host_is_wanted_of_http_1_1() {
        for (hosts, version, expected) in [
            (&["example.com"][..], Version::HTTP_11, true),
            (&["example.com:8443"], Version::HTTP_11, true),
            (&["[2001:db8::1]:8443"], Version::HTTP_11, true),
            (&[], Version::HTTP_11, false),
            (&[], Version::HTTP_10, true),
            (&["example.com", "example.com"], Version::HTTP_11, false),
            (&["a.example", "b.example"], Version::HTTP_10, false),
            (&[""], Version::HTTP_11, false),
            (&["a b"], Version::HTTP_11, false),
            (&["user@example.com"], Version::HTTP_11, false),
            (&["example.com/x"], Version::HTTP_11, false),
            (&[":80"], Version::HTTP_11, false),
        ] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            assert_eq!(has_one_host(version, &headers), expected, "{hosts:?}");
        }
    }

    /// threat B
    #[test]
    fn threat_b_only_slashes_of_base_urls_are_taken_out_of_a_path() {
        for (given, expected) in [
            ("//oauth2/token", "/oauth2/token"),
            ("/api///command?a=//b", "/api/command?a=//b"),
            ("https://a.example//x//", "https://a.example/x/"),
            ("/a/%2F/..//b", "/a/%2F/../b"),
            ("//", "/"),
            (
                "//api//config/v1///jump-group/1",
                "/api/config/v1/jump-group/1",
            ),
            // An empty id.
            (
                "/api/config/v1/jump-group//1",
                "/api/config/v1/jump-group//1",
            ),
            (
                "//api/config/v1/jump-group//user/1",
                "/api/config/v1/jump-group//user/1",
            ),
        ] {
            let request = Request::builder().uri(given).body(Body::empty()).unwrap();
            let request = with_single_slashes(request);
            assert_eq!(request.uri().to_string(), expected, "{given}");
        }
    }
}
