//! The badge: what a user who signed in shows with every call, and the row of `console_sign_in` that makes it good.
//!
//! A badge is text that nobody can guess and that shows that it was given out here, so random text is refused without a
//! look-up; the row holds its keyed hash. It is good until it expires, as long as its user has not been disabled since and has
//! the password it was given for, so a new password or a disabled user ends all badges at once, on every node. Browsers carry it in a cookie that scripts can't read, programs as a bearer token.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::{KeyedHash, SecretRef, UserId};
use domain::policy::ticket::SignIn;
use domain::site::user;
use domain::{Event, Fresh, Timestamp, World, time};
use engine::Side;
use eventstore::{SideRow, SideTable, SideWrite};
use secrets::{Sealer, SecretText, constant_time_eq};

use crate::credential::random_bytes;
use crate::error::Problem;
use crate::site::Site;

/// The cookie. `__Host-` makes browsers refuse it without Secure and `Path=/`, or with a Domain.
pub const COOKIE_NAME: &str = "__Host-gatebook";
/// The header that a cookie needs beside it for what changes something.
pub const CSRF_HEADER: &str = "x-gatebook-csrf";
/// Most sign-ins of one user at a time; one more ends the oldest.
pub const BADGES_MAX: usize = 50;

const PURPOSE: &str = "console-sign-in";
const CSRF_PURPOSE: &str = "console-csrf";
/// Places in [`Fresh`] that a badge is made of, away from those that decisions take.
const FRESH: [usize; 2] = [60, 61];

/// How a badge came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In the cookie: the browser sends it by itself, so what changes something has to prove that the page meant it.
    Cookie,
    /// As a bearer token.
    Bearer,
}

/// The text of a badge: `<user id>.<43 characters>`, see [`secrets::tagged_text`].
#[derive(Clone)]
pub struct BadgeText {
    user: UserId,
    text: SecretText,
}

impl BadgeText {
    /// A new badge for `user`.
    #[must_use]
    pub fn draw(user: UserId, sealer: &Sealer, fresh: &Fresh) -> Self {
        let random = random_bytes(fresh, FRESH);
        let random = sealer.tagged_text(PURPOSE, &user.to_string(), random);
        Self {
            user,
            text: SecretText::new(format!("{user}.{}", random.expose())),
        }
    }

    /// Reads what may be a badge; none where it was never one.
    fn read(text: &str, sealer: &Sealer) -> Option<Self> {
        let (user, random) = text.split_once('.')?;
        let plain = user.len() <= 10 && user.bytes().all(|byte| byte.is_ascii_digit());
        let id = user.parse().ok().filter(|_| plain)?;
        sealer.is_tagged_text(PURPOSE, user, random).then(|| Self {
            user: id,
            text: SecretText::new(text),
        })
    }

    /// The text itself, for the one answer that hands it out.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The key of its row; it begins with [`prefix_of`] its user.
    #[must_use]
    pub fn row_key(&self, sealer: &Sealer) -> String {
        format!("{}{}", prefix_of(self.user), self.key(sealer).0)
    }

    /// What the log knows it by.
    #[must_use]
    pub fn key(&self, sealer: &Sealer) -> KeyedHash {
        let hash = sealer.keyed_hash(PURPOSE, self.text.expose().as_bytes());
        KeyedHash(hex::encode(hash))
    }

    /// What a page sends in [`CSRF_HEADER`]: bound to this badge, so it can be asked for again and is worth nothing elsewhere.
    #[must_use]
    pub fn csrf(&self, sealer: &Sealer) -> String {
        URL_SAFE_NO_PAD.encode(sealer.keyed_hash(CSRF_PURPOSE, self.text.expose().as_bytes()))
    }
}

/// What all keys of a user's rows begin with.
fn prefix_of(user: UserId) -> String {
    format!("{:010}/", user.0)
}

/// What is kept of a badge.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BadgeRow {
    /// When it was handed out.
    pub issued_at: Timestamp,
    /// The first instant at which it is no good.
    pub expires_at: Timestamp,
    /// The password it was handed out for.
    pub password: SecretRef,
    /// The generation of its user's sign-ins, see [`World::sign_in_generation`].
    #[serde(default)]
    pub generation: u32,
}

impl BadgeRow {
    fn is_good(&self, world: &World, user: UserId, now: Timestamp) -> bool {
        now < self.expires_at
            // A clock that was ahead for a moment gives nobody a sign-in for as long.
            && self.issued_at <= now.plus(time::CLOCKS_APART_MAX)
            && self.generation == world.sign_in_generation(user)
            && world
                .users
                .get(&user)
                .is_some_and(|user| user.enabled && user.password.as_ref() == Some(&self.password))
    }
}

/// How long a badge lasts, in microseconds.
#[must_use]
pub fn lifetime(world: &World) -> i64 {
    i64::from(world.settings.sign_in_hours) * time::HOUR
}

/// A password that takes the place of another together with a sign-in: its reference and its sealed hash.
pub struct NewPassword {
    /// The reference.
    pub reference: SecretRef,
    /// The sealed hash.
    pub sealed: Vec<u8>,
}

/// What a badge is handed out for.
pub struct Grant {
    /// The password that was shown.
    pub password: SecretRef,
    /// The one that takes its place, for which the badge is good then.
    pub new_password: Option<NewPassword>,
    /// The generation of the user's sign-ins.
    pub generation: u32,
    /// How long the badge lasts. Unit: microseconds.
    pub lifetime: i64,
}

/// The side write that hands out a badge together with the event of the sign-in, and puts the new password away. Without that
/// event it writes nothing.
#[must_use]
pub fn hand_out(badge: &BadgeText, grant: Grant, sealer: &Sealer) -> Side {
    let Grant {
        password,
        new_password,
        generation,
        lifetime,
    } = grant;
    let key = badge.row_key(sealer);
    Side::reading(
        SideTable::ConsoleSignIn,
        prefix_of(badge.user),
        move |rows, context| {
            let signed_in =
                |event: &Event| matches!(event, Event::User(_, user::Event::SignedIn(_)));
            if !context.events.iter().any(signed_in) {
                return Vec::new();
            }
            let row = BadgeRow {
                issued_at: context.now,
                expires_at: context.now.plus(lifetime),
                password: new_password
                    .as_ref()
                    .map_or(password, |new| new.reference.clone()),
                generation,
            };
            let mut writes = make_room(rows, context.now);
            // A struct of numbers and text always has a JSON form.
            let value = serde_json::to_vec(&row).unwrap_or_default();
            writes.push(SideWrite::Put {
                table: SideTable::ConsoleSignIn,
                key,
                value,
            });
            writes.extend(new_password.map(|new| SideWrite::Insert {
                table: SideTable::Secret,
                key: new.reference.0,
                value: new.sealed,
            }));
            writes
        },
    )
}

/// Takes away what has expired or can't be read, and the oldest beyond [`BADGES_MAX`] with the new one.
fn make_room(rows: &[SideRow], now: Timestamp) -> Vec<SideWrite> {
    let mut kept: Vec<(Timestamp, &str)> = Vec::new();
    let mut gone: Vec<&str> = Vec::new();
    for row in rows {
        match serde_json::from_slice::<BadgeRow>(&row.value) {
            Ok(badge) if now < badge.expires_at => kept.push((badge.issued_at, &row.key)),
            _ => gone.push(&row.key),
        }
    }
    kept.sort_unstable();
    let surplus = (kept.len() + 1).saturating_sub(BADGES_MAX);
    gone.extend(kept.into_iter().take(surplus).map(|(_, key)| key));
    gone.into_iter()
        .map(|key| SideWrite::Delete {
            table: SideTable::ConsoleSignIn,
            key: key.to_owned(),
        })
        .collect()
}

/// The side write that takes a badge back together with the event of the sign-out.
#[must_use]
pub fn take_back(badge: &BadgeText, sealer: &Sealer) -> Side {
    let key = badge.row_key(sealer);
    Side::writing(move |_| {
        vec![SideWrite::Delete {
            table: SideTable::ConsoleSignIn,
            key,
        }]
    })
}

/// A badge that came with a request and is good.
#[derive(Clone)]
pub struct Badge {
    /// Whose it is.
    pub user: UserId,
    /// The badge itself.
    pub text: Arc<BadgeText>,
    /// How it came.
    pub carrier: Carrier,
    /// The first instant at which it is no good.
    pub expires_at: Timestamp,
    /// The password it was handed out for.
    pub password: SecretRef,
}

impl Badge {
    /// What a start that waits keeps of it (TICK-48).
    #[must_use]
    pub fn sign_in(&self, sealer: &Sealer) -> SignIn {
        SignIn {
            key: self.text.key(sealer),
            password: self.password.clone(),
            ends_at: self.expires_at,
        }
    }

    /// Whether the sign-in that `sign_in` names was taken back: its row is gone.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn is_withdrawn(
        site: &Site,
        user: UserId,
        sign_in: &SignIn,
    ) -> Result<bool, Problem> {
        let key = format!("{}{}", prefix_of(user), sign_in.key.0);
        let store = site.engine.store();
        let row = store.side_row(SideTable::ConsoleSignIn, &key).await?;
        Ok(row.is_none())
    }

    /// Finds the badge of a request and checks it against `world`. A bearer token goes before a cookie.
    ///
    /// # Errors
    /// 401 where none came or it is not good; 403 where a cookie came without proof that the page meant it.
    pub async fn of(
        site: &Site,
        world: &World,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let (carrier, text) = carried(headers, &site.sealer).ok_or_else(not_signed_in)?;
        let row = site
            .engine
            .store()
            .side_row(SideTable::ConsoleSignIn, &text.row_key(&site.sealer))
            .await?
            .and_then(|row| serde_json::from_slice::<BadgeRow>(&row).ok())
            .filter(|row| row.is_good(world, text.user, site.engine.clock().now()))
            .ok_or_else(not_signed_in)?;
        if carrier == Carrier::Cookie && !method.is_safe() {
            check_page_meant_it(site, headers, &text)?;
        }
        Ok(Self {
            user: text.user,
            text: Arc::new(text),
            carrier,
            expires_at: row.expires_at,
            password: row.password,
        })
    }
}

impl Badge {
    /// Whether it is good at this moment; asked again by what stays open for longer than a request. A database that does not
    /// answer is no reason to throw people out: the next call will tell.
    pub async fn still_good(&self, site: &Site) -> bool {
        let key = self.text.row_key(&site.sealer);
        match site
            .engine
            .store()
            .side_row(SideTable::ConsoleSignIn, &key)
            .await
        {
            Err(_) => true,
            Ok(row) => {
                let published = site.engine.published();
                let now = site.engine.clock().now();
                row.and_then(|row| serde_json::from_slice::<BadgeRow>(&row).ok())
                    .is_some_and(|row| row.is_good(&published.world, self.user, now))
            }
        }
    }
}

/// The answer to a call that needs a badge and has none that is good.
#[must_use]
pub fn not_signed_in() -> Problem {
    Problem::new(
        axum::http::StatusCode::UNAUTHORIZED,
        "not_signed_in",
        "Sign in first.",
    )
}

/// Whether a request shows a badge: one that was given out, be it good or not.
#[must_use]
pub fn is_carried(headers: &HeaderMap, sealer: &Sealer) -> bool {
    carried(headers, sealer).is_some()
}

fn carried(headers: &HeaderMap, sealer: &Sealer) -> Option<(Carrier, BadgeText)> {
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let (scheme, text) = authorization.to_str().ok()?.trim().split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        return BadgeText::read(text.trim(), sealer)
            .filter(|_| bearer)
            .map(|text| (Carrier::Bearer, text));
    }
    cookie(headers, COOKIE_NAME)
        .and_then(|text| BadgeText::read(text, sealer))
        .map(|text| (Carrier::Cookie, text))
}

/// The value of the first cookie of this name.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(of, _)| *of == name)
        .map(|(_, text)| text)
}

/// Cross-site requests are refused three times: the cookie is SameSite, an Origin has to be ours, and the header has to
/// carry the value that only our pages can know (threat J).
fn check_page_meant_it(site: &Site, headers: &HeaderMap, badge: &BadgeText) -> Result<(), Problem> {
    check_origin(site.public_url.as_deref(), headers)?;
    let given = headers
        .get(CSRF_HEADER)
        .map_or(&b""[..], HeaderValue::as_bytes);
    if constant_time_eq(given, badge.csrf(&site.sealer).as_bytes()) {
        Ok(())
    } else {
        Err(Problem::forbidden(
            "csrf",
            "The X-Gatebook-CSRF header must have the value that was given at the sign-in.",
        ))
    }
}

/// Whether the Origin of a request, where it has one, is this site.
///
/// # Errors
/// 403 where it is another one.
pub fn check_origin(public_url: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_ours = public_url.is_some_and(|ours| ours.eq_ignore_ascii_case(origin))
        || (public_url.is_none()
            && authority
                .zip(host)
                .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host)));
    if is_ours {
        Ok(())
    } else {
        Err(Problem::forbidden(
            "other_origin",
            "The request comes from a page of another site.",
        ))
    }
}

/// The header that gives a browser its badge.
#[must_use]
pub fn set_cookie(badge: &BadgeText, lifetime: i64) -> String {
    format!(
        "{COOKIE_NAME}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
        badge.expose(),
        lifetime / time::SECOND
    )
}

/// The header that takes it away.
#[must_use]
pub fn clear_cookie() -> String {
    format!("{COOKIE_NAME}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    fn sealer() -> Sealer {
        let keys = tempfile::tempdir().expect("a directory");
        let path = keys.path().join("key");
        secrets::KeyFile::create(&path).expect("a key file");
        Sealer::load(&path).expect("keys")
    }

    fn text(user: u32, sealer: &Sealer) -> String {
        let fresh = Fresh(std::array::from_fn(|index| u128::MAX / 7 + index as u128));
        let badge = BadgeText::draw(UserId(user), sealer, &fresh);
        badge.expose().to_owned()
    }

    /// threat E
    #[test]
    fn threat_e_one_badge_counts_and_a_bearer_goes_before_a_cookie() {
        let sealer = sealer();
        let one = text(1, &sealer);
        let two = text(2, &sealer);
        let never_given = format!("Bearer 1.{}", "a".repeat(43));
        let of_another = format!("Bearer 2{}", &one[1..]);
        let cookie = format!("a=b; {COOKIE_NAME}={one}; c=d");
        let bearer = format!("Bearer {two}");
        let cases: [(HeaderMap, Option<(Carrier, u32)>); 10] = [
            (headers(&[]), None),
            (headers(&[("cookie", &cookie)]), Some((Carrier::Cookie, 1))),
            (
                headers(&[("authorization", &bearer)]),
                Some((Carrier::Bearer, 2)),
            ),
            (
                headers(&[("cookie", &cookie), ("authorization", &bearer)]),
                Some((Carrier::Bearer, 2)),
            ),
            (
                headers(&[("cookie", &cookie), ("authorization", "Basic eA==")]),
                None,
            ),
            (headers(&[("authorization", "Bearer 1.short")]), None),
            (headers(&[("authorization", &never_given)]), None),
            (headers(&[("authorization", &of_another)]), None),
            (headers(&[("authorization", "Bearer")]), None),
            (headers(&[("cookie", "__Host-gatebook=")]), None),
        ];
        for (headers, expected) in cases {
            let found = carried(&headers, &sealer).map(|(carrier, badge)| (carrier, badge.user.0));
            assert_eq!(found, expected, "{headers:?}");
        }
    }

    /// threat J
    #[test]
    fn threat_j_only_our_own_origin_may_change_something() {
        let host = ("host", "access.example.com:8443");
        let cases = [
            // public URL, headers, fine
            (None, headers(&[host]), true),
            (
                None,
                headers(&[host, ("origin", "https://access.example.com:8443")]),
                true,
            ),
            (
                None,
                headers(&[host, ("origin", "https://access.example.com")]),
                false,
            ),
            (
                None,
                headers(&[host, ("origin", "https://evil.example")]),
                false,
            ),
            (None, headers(&[host, ("origin", "null")]), false),
            (
                Some("https://access.example.com"),
                headers(&[host, ("origin", "https://access.example.com")]),
                true,
            ),
            (
                Some("https://access.example.com"),
                headers(&[("host", "evil.example"), ("origin", "https://evil.example")]),
                false,
            ),
        ];
        for (public_url, headers, fine) in cases {
            assert_eq!(
                check_origin(public_url, &headers).is_ok(),
                fine,
                "{public_url:?} {headers:?}"
            );
        }
    }

    #[test]
    fn a_sign_in_too_many_ends_the_oldest() {
        let row = |number: i64, expires: i64| SideRow {
            key: format!("{number:03}"),
            value: serde_json::to_vec(&BadgeRow {
                issued_at: Timestamp(number),
                expires_at: Timestamp(expires),
                password: SecretRef(String::new()),
                generation: 0,
            })
            .expect("JSON"),
        };
        let deleted = |rows: &[SideRow]| -> Vec<String> {
            make_room(rows, Timestamp(500))
                .into_iter()
                .map(|write| match write {
                    SideWrite::Delete { key, .. } => key,
                    other => panic!("{other:?}"),
                })
                .collect()
        };
        let full: Vec<SideRow> = (0..50).map(|number| row(number, 1_000)).collect();
        assert_eq!(deleted(&full), ["000"]);
        assert_eq!(deleted(&full[1..]), Vec::<String>::new());
        let mut expired = full;
        expired[7] = row(7, 500);
        assert_eq!(deleted(&expired), ["007"]);
    }
}
