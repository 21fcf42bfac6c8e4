//! Live updates of the console: one stream of server-sent events a page, `/api/console/v1/events`.
//!
//! Each message says what changed, never more than the page may read by asking: `item`, `items_changed`, `session`, `rights`,
//! and so on, with the ids. The page asks again for what it shows. The id of a message is a position of the log
//! (`<epoch>-<position>`), so a browser that comes back with `Last-Event-ID` misses nothing; one that was away for longer than
//! [`CATCH_UP_MAX`] events is told `reset` and reads anew.
//!
//! Every message is decided by the permission function over the World of its moment, and a stream ends, after `signed_out`, as
//! soon as its badge is no good any more (threat H).

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::ids::UserId;
use engine::{CommittedStream, Published, StreamBroken};
use futures_util::stream;
use projections::Recorded;
use serde_json::json;
use tokio::sync::watch;

use crate::access::Access;
use crate::caller::{Caller, Known};
use crate::console::BASE;
use crate::console::badge::Badge;
use crate::console::items::user_of;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

mod told;

use told::Told;

/// Most events of the log that a page is told one by one when it comes back.
pub const CATCH_UP_MAX: u64 = 5_000;
/// Most streams of one node at a time.
pub const STREAMS_MAX: usize = 5_000;
/// How often a stream without news says that it is there.
const QUIET: Duration = Duration::from_secs(15);
/// How often a stream looks whether its badge has expired or was taken back.
const BADGE_CHECK: Duration = Duration::from_secs(10);

/// Proxies hand every message on at once: nginx gathers answers unless the first header says no, others compress them, and
/// gather for that, unless the second forbids it.
const UNBUFFERED: [(HeaderName, HeaderValue); 2] = [
    (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    ),
    (
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    ),
];

/// Most streams of one user on a node at a time: windows that one person may have open.
pub const STREAMS_OF_ONE_MAX: usize = 20;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site).route(
        Method::GET,
        &format!("{BASE}/events"),
        Access::User,
        About::new("What changes for the caller, as server-sent events; resumes by Last-Event-ID")
            .gives(Gives::Text("text/event-stream")),
        listen,
    )
}

/// The streams of this node, counted by user.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<BTreeMap<UserId, usize>>,
    /// Set once the node stops.
    closed: watch::Sender<bool>,
}

impl Streams {
    fn take(site: &Arc<Site>, user: UserId) -> Option<Place> {
        let mut open = site.streams.open();
        let of_user = open.get(&user).copied().unwrap_or_default();
        let all: usize = open.values().sum();
        if of_user >= STREAMS_OF_ONE_MAX || all >= STREAMS_MAX {
            return None;
        }
        open.insert(user, of_user + 1);
        drop(open);
        Some(Place {
            site: Arc::clone(site),
            user,
        })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<UserId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends them all, and those that still come: by themselves they never would, and who stops would wait for them in vain.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// The room that one stream takes up until it is dropped.
struct Place {
    site: Arc<Site>,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.site.streams.open();
        match open.get(&self.user) {
            Some(&count) if count > 1 => open.insert(self.user, count - 1),
            _ => open.remove(&self.user),
        };
    }
}

async fn listen(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Extension(badge): Extension<Badge>,
    headers: HeaderMap,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let place = Streams::take(&site, user).ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            format!(
                "A node serves {STREAMS_OF_ONE_MAX} event streams of one user and {STREAMS_MAX} in all. Close one, or try again later."
            ),
        )
    })?;
    let last = headers.get("last-event-id").map(read_last);
    let committed = site.engine.committed();
    let before = site.engine.published();
    let closed = site.streams.closed.subscribe();
    let mut listener = Listener {
        site,
        user,
        badge,
        committed,
        closed,
        before,
        queue: VecDeque::new(),
        ended: false,
        _place: place,
    };
    listener.begin(last, &known).await;
    let messages = stream::unfold(listener, |mut listener| async move {
        let message = listener.next().await?;
        Some((Ok::<_, Infallible>(message), listener))
    });
    let events = Sse::new(messages).keep_alive(KeepAlive::new().interval(QUIET));
    Ok((UNBUFFERED, events).into_response())
}

/// An epoch that no log has.
const NO_EPOCH: i64 = i64::MIN;

/// What a page heard last; an id that is none of ours is of no log, so the page starts anew. It is no error: a browser that
/// is refused never comes back.
fn read_last(value: &HeaderValue) -> (i64, u64) {
    let position = value.to_str().ok().and_then(read_position);
    position.unwrap_or((NO_EPOCH, 0))
}

fn read_position(text: &str) -> Option<(i64, u64)> {
    let (epoch, position) = text.trim().split_once('-')?;
    Some((epoch.parse().ok()?, position.parse().ok()?))
}

/// One stream.
struct Listener {
    site: Arc<Site>,
    user: UserId,
    badge: Badge,
    committed: CommittedStream,
    closed: watch::Receiver<bool>,
    /// What was known before the batch that is told: what ended or was deleted in it is still there.
    before: Arc<Published>,
    queue: VecDeque<Message>,
    ended: bool,
    _place: Place,
}

impl Listener {
    /// The first messages: what was missed, or where the stream begins.
    async fn begin(&mut self, last: Option<(i64, u64)>, known: &Known) {
        let head = self.committed.position();
        let epoch = known.0.tail.epoch;
        let hello = json!({"user_id": self.user});
        match last {
            None => self.say("hello", &hello, head),
            Some((of, position))
                if of != epoch || position > head || head - position > CATCH_UP_MAX =>
            {
                self.say("reset", &json!({}), head);
            }
            Some((_, position)) => self.catch_up(position, head).await,
        }
    }

    async fn catch_up(&mut self, mut after: u64, head: u64) {
        while after < head {
            match self.site.engine.read_recorded(after, head).await {
                Ok(missed) if !missed.is_empty() => {
                    after = missed.last().map_or(head, |last| last.position);
                    let now = Arc::clone(&self.before);
                    self.tell(&missed, &now);
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a stream of events could not catch up"
                    );
                    self.say("reset", &json!({}), head);
                    return;
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Some(message);
            }
            if self.ended {
                return None;
            }
            let news = tokio::select! {
                _ = self.closed.wait_for(|closed| *closed) => return None,
                news = tokio::time::timeout(BADGE_CHECK, self.committed.next()) => news,
            };
            match news {
                Err(_quiet) => {
                    if !self.badge.still_good(&self.site).await {
                        self.sign_out();
                    }
                }
                Ok(Ok(batch)) => {
                    let now = self.site.engine.published();
                    if told::concerns_sign_in(&batch, self.user)
                        && !self.badge.still_good(&self.site).await
                    {
                        self.sign_out();
                    } else {
                        self.tell(&batch, &now);
                    }
                    self.before = now;
                }
                Ok(Err(StreamBroken::Lagged { until, .. })) => self.say("reset", &json!({}), until),
                Ok(Err(StreamBroken::Closed)) => return None,
            }
        }
    }

    fn sign_out(&mut self) {
        let position = self.committed.position();
        self.say("signed_out", &json!({}), position);
        self.ended = true;
    }

    fn tell(&mut self, batch: &[Recorded], now: &Arc<Published>) {
        let Some(position) = batch.last().map(|last| last.position) else {
            return;
        };
        let all = told::tell(&self.before.world, &now.world, self.user, batch);
        for Told { kind, body } in all {
            self.say(kind, &body, position);
        }
    }

    fn say(&mut self, kind: &'static str, body: &serde_json::Value, position: u64) {
        let epoch = self.before.tail.epoch;
        let message = Message::default()
            .id(format!("{epoch}-{position}"))
            .event(kind)
            // JSON text has no line breaks of its own, which is all that a data line can't hold.
            .data(body.to_string());
        self.queue.push_back(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_an_epoch_and_a_number() {
        for (text, position) in [
            ("1-4711", Some((1, 4711))),
            (" 1-0 ", Some((1, 0))),
            ("1", None),
            ("1-", None),
            ("-1", None),
            ("1--1", None),
            ("a-b", None),
        ] {
            assert_eq!(read_position(text), position, "{text}");
        }
    }
}
