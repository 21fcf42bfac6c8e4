//! Live updates of the console: one stream of server-sent events a page, `/api/console/v1/events`.
//!
//! Each message says what changed, never more than the page may read by asking: `item`, `items_changed`, `session`, `rights`,
//! and so on, with the ids. The page asks again for what it shows. The id of a message is a position of the log
//! (`<epoch>-<position>`), so a browser that comes back with `Last-Event-ID` misses nothing; one that was away for longer than
//! [`CATCH_UP_MAX`] events is told `reset` and reads anew.
//!
//! One task of the node follows the log ([`Site::run_streams`]) and gathers what changed into a [`digest`]; each stream makes the
//! [`messages`] for its user of it, decided by the permission function over the World of its moment. A stream ends, after
//! `signed_out`, as soon as its badge is no good any more, however much there is to tell (threat H).

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::ids::UserId;
use engine::StreamBroken;
use futures_util::stream;
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::Access;
use crate::caller::{Caller, Known};
use crate::console::BASE;
use crate::console::badge::Badge;
use crate::console::items::user_of;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

mod digest;
mod messages;

use digest::{Digest, GATHERED_FOR};
use messages::{Message, Rights, Sight, for_user};

/// Most events of the log that a page is told one by one when it comes back.
pub const CATCH_UP_MAX: u64 = 5_000;
/// Most streams of one node at a time.
pub const STREAMS_MAX: usize = 5_000;
/// How often a stream without news says that it is there.
const QUIET: Duration = Duration::from_secs(15);
/// How often a stream looks whether its badge was taken back without an event that says so.
const BADGE_CHECK: Duration = Duration::from_secs(10);
/// Digests that a stream may lag behind before its page is told to read anew.
const DIGESTS_MAX: usize = 64;
/// Over how long the streams of a node are spread when many pages have to ask again what they may, for each stream that is open.
const RIGHTS_SPREAD_A_STREAM: Duration = Duration::from_millis(2);
/// The longest that a page waits for that.
const RIGHTS_SPREAD_MAX: Duration = Duration::from_secs(2);

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
#[derive(Debug)]
pub(crate) struct Streams {
    open: Mutex<BTreeMap<UserId, usize>>,
    /// How many were ever opened.
    opened: AtomicU64,
    digests: broadcast::Sender<Arc<Digest>>,
    /// Set once the node stops.
    closed: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            opened: AtomicU64::default(),
            digests: broadcast::Sender::new(DIGESTS_MAX),
            closed: watch::Sender::default(),
        }
    }
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
            number: site.streams.opened.fetch_add(1, Ordering::Relaxed),
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
    /// Which stream of the node it is, by the order in which they were opened.
    number: u64,
}

impl Place {
    /// How long this stream holds back that its page is to ask again what it may: another time for each.
    fn rights_delay(&self) -> Duration {
        const SHARES: u32 = 64;
        let open = u32::try_from(self.site.streams.open().len()).unwrap_or(u32::MAX);
        let spread = RIGHTS_SPREAD_A_STREAM
            .saturating_mul(open)
            .min(RIGHTS_SPREAD_MAX);
        let share = u32::try_from(self.number % u64::from(SHARES)).unwrap_or_default();
        spread * share / SHARES
    }
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
    // Before the position is looked at, so nothing lies between the two; what lies in both is told twice.
    let digests = site.streams.digests.subscribe();
    let published = site.engine.published();
    let closed = site.streams.closed.subscribe();
    let mut listener = Listener {
        user,
        badge,
        digests,
        closed,
        position: published.tail.position,
        epoch: published.tail.epoch,
        sight: Sight::default(),
        rights_at: None,
        queue: VecDeque::new(),
        ended: false,
        place,
        site,
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

impl Site {
    /// Follows the log for all streams of this node until `stop` turns true.
    pub async fn run_streams(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.gather_for_streams() => {}
        }
    }

    async fn gather_for_streams(&self) {
        let mut committed = self.engine.committed();
        let mut digest = Digest::after(self.engine.published());
        let mut told_at = Instant::now();
        loop {
            let wait_for_more = async {
                if digest.is_empty() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep_until(told_at + GATHERED_FOR).await;
            };
            let news = tokio::select! {
                biased;
                () = wait_for_more => None,
                news = committed.next() => Some(news),
            };
            match news {
                None => {
                    told_at = Instant::now();
                    let next = Digest::after(Arc::clone(&digest.now));
                    // Nobody listens: fine.
                    let _ = self
                        .streams
                        .digests
                        .send(Arc::new(std::mem::replace(&mut digest, next)));
                }
                Some(Ok(_)) if self.streams.digests.receiver_count() == 0 => {
                    digest = Digest::after(self.engine.published());
                }
                Some(Ok(batch)) => digest.take(&batch, self.engine.published()),
                Some(Err(StreamBroken::Lagged { until, .. })) => digest.miss(until),
                Some(Err(StreamBroken::Closed)) => return,
            }
        }
    }
}

/// Why a stream goes on.
enum Woken {
    Closed,
    BadgeExpired,
    BadgeCheck,
    RightsDue,
    Digest(Result<Arc<Digest>, RecvError>),
}

/// One stream.
struct Listener {
    site: Arc<Site>,
    user: UserId,
    badge: Badge,
    digests: broadcast::Receiver<Arc<Digest>>,
    closed: watch::Receiver<bool>,
    /// Up to where the page was told everything.
    position: u64,
    epoch: i64,
    sight: Sight,
    /// When to tell the page to ask again what it may, and up to where it was told everything before that.
    rights_at: Option<(Instant, u64)>,
    queue: VecDeque<SseEvent>,
    ended: bool,
    place: Place,
}

impl Listener {
    /// The first messages: what was missed, or where the stream begins.
    async fn begin(&mut self, last: Option<(i64, u64)>, known: &Known) {
        let epoch = known.0.tail.epoch;
        let head = self.position;
        match last {
            None => {
                let hello = json!({"user_id": self.user});
                self.say("hello", &hello);
            }
            Some((of, position))
                if of != epoch || position > head || head - position > CATCH_UP_MAX =>
            {
                self.say("reset", &json!({}));
            }
            Some((_, position)) => self.catch_up(position, head).await,
        }
    }

    async fn catch_up(&mut self, mut after: u64, head: u64) {
        let now = self.site.engine.published();
        while after < head {
            match self.site.engine.read_recorded(after, head).await {
                Ok(missed) if !missed.is_empty() => {
                    after = missed.last().map_or(head, |last| last.position);
                    let mut digest = Digest::after(Arc::clone(&now));
                    digest.take(&missed, Arc::clone(&now));
                    digest.position = after;
                    self.tell(&digest);
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a stream of events could not catch up"
                    );
                    self.say("reset", &json!({}));
                    return;
                }
            }
        }
    }

    async fn next(&mut self) -> Option<SseEvent> {
        let clock = Arc::clone(self.site.engine.clock());
        let mut check_badge_at = Instant::now() + BADGE_CHECK;
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Some(message);
            }
            if self.ended {
                return None;
            }
            let rights_at = self.rights_at;
            let rights_due = async move {
                match rights_at {
                    Some((at, _)) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let woken = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => Woken::Closed,
                () = clock.sleep_until(self.badge.expires_at) => Woken::BadgeExpired,
                () = tokio::time::sleep_until(check_badge_at) => Woken::BadgeCheck,
                () = rights_due => Woken::RightsDue,
                digest = self.digests.recv() => Woken::Digest(digest),
            };
            match woken {
                Woken::Closed | Woken::Digest(Err(RecvError::Closed)) => return None,
                Woken::BadgeExpired => self.sign_out(),
                Woken::BadgeCheck => {
                    check_badge_at = Instant::now() + BADGE_CHECK;
                    self.check_badge().await;
                }
                Woken::RightsDue => self.tell_rights(),
                Woken::Digest(Ok(digest)) => {
                    if digest.accounts.contains(&self.user) {
                        self.check_badge().await;
                    }
                    if !self.ended {
                        self.tell(&digest);
                    }
                }
                Woken::Digest(Err(RecvError::Lagged(_))) => {
                    let published = self.site.engine.published().tail.position;
                    self.position = self.position.max(published);
                    self.sight = Sight::default();
                    self.say("reset", &json!({}));
                }
            }
        }
    }

    async fn check_badge(&mut self) {
        if !self.badge.still_good(&self.site).await {
            self.sign_out();
        }
    }

    fn sign_out(&mut self) {
        self.queue.clear();
        self.say("signed_out", &json!({}));
        self.ended = true;
    }

    fn tell(&mut self, digest: &Digest) {
        let before = self.position;
        self.position = self.position.max(digest.position);
        if digest.incomplete {
            self.sight = Sight::default();
            self.say("reset", &json!({}));
            return;
        }
        let told = for_user(digest, self.user, &mut self.sight);
        match told.rights {
            Rights::Unchanged => {}
            Rights::Own => self.rights_at = Some((Instant::now(), before)),
            Rights::OfMany => {
                self.rights_at
                    .get_or_insert((Instant::now() + self.place.rights_delay(), before));
            }
        }
        for Message { kind, body } in told.messages {
            self.say(kind, &body);
        }
        if self.rights_at.is_some_and(|(at, _)| at <= Instant::now()) {
            self.tell_rights();
        }
    }

    fn tell_rights(&mut self) {
        self.rights_at = None;
        self.say("rights", &json!({}));
    }

    fn say(&mut self, kind: &'static str, body: &serde_json::Value) {
        // A page that comes back must not miss what was held back.
        let position = self.rights_at.map_or(self.position, |(_, before)| before);
        let message = SseEvent::default()
            .id(format!("{}-{position}", self.epoch))
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
