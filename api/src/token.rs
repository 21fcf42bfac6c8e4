//! Bearer tokens of API accounts: given for one hour, at most 30 an account, and looked up at each call (AUTH-07 to AUTH-09).
//!
//! A token is `<account id>.<43 unguessable characters>`, which show that they were given out here: random text is refused
//! without a look-up. Kept is a row of the `api_token` side table: its keyed hash under the
//! account's prefix, with its times and the secret it was given under. It is good only while its row is there, the account
//! still has that secret and has not been disabled since, so dropping the row, regenerating the secret or disabling the
//! account ends it.
//!
//! Looked-up rows are remembered only where this node alone writes the log. Where several do, another node may have dropped
//! the row a moment ago, and no event would tell: the database is asked each time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use domain::ids::{ApiAccountId, SecretRef};
use domain::site::api_account;
use domain::time::{CLOCKS_APART_MAX, HOUR, SECOND};
use domain::{Cause, Command, Fresh, Timestamp};
use engine::{Lane, Side, Submission};
use eventstore::{SideRow, SideTable, SideWrite, StoreError};
use secrets::{Sealer, SecretText};
use serde::{Deserialize, Serialize};

use crate::credential::random_bytes;
use crate::error::Problem;
use crate::site::Site;

/// How long a token is good (AUTH-07). Unit: microseconds.
const LIFETIME: i64 = HOUR;

/// The same. Unit: seconds.
pub const VALID_SECONDS: i64 = LIFETIME / SECOND;

/// Most tokens of an account; one more drops the oldest (AUTH-08).
pub const TOKENS_MAX: usize = 30;

/// What tokens are hashed for.
const PURPOSE: &str = "api-token";

/// The longest text that is looked at; ours are shorter.
const TEXT_BYTES_MAX: usize = 128;

/// What a row of `api_token` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    /// When it was given; strictly rising within an account, so that there is always one oldest.
    pub(crate) issued_at: Timestamp,
    /// When it stops being good.
    pub(crate) expires_at: Timestamp,
    /// The client secret it was given under.
    pub(crate) secret: SecretRef,
    /// The generation of the account's tokens, see `World::token_generation`.
    #[serde(default)]
    pub(crate) generation: u32,
}

impl TokenRow {
    /// Whether it is good at `now`. One that would be good for longer than a token ever is, was given by a clock that was ahead.
    pub(crate) fn is_in_time(&self, now: Timestamp) -> bool {
        let left = self.expires_at.since(now);
        0 < left && left <= LIFETIME + CLOCKS_APART_MAX
    }
}

/// A token whose row is there. Whether account and secret still agree is asked of the World.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) account: ApiAccountId,
    pub(crate) row: Arc<TokenRow>,
}

/// Rows that were looked up, where this node alone writes.
pub(crate) struct Tokens {
    shared: bool,
    remembered_max: usize,
    remembered: DashMap<String, Arc<TokenRow>>,
    /// Grows with every dropped row, so that a look-up that began before is not remembered after.
    drops: AtomicU64,
}

impl Tokens {
    pub(crate) fn new(shared: bool, remembered_max: usize) -> Self {
        Self {
            shared,
            remembered_max,
            remembered: DashMap::new(),
            drops: AtomicU64::new(0),
        }
    }

    fn recall(&self, key: &str) -> Option<Arc<TokenRow>> {
        if self.shared {
            return None;
        }
        self.remembered.get(key).map(|row| Arc::clone(&row))
    }

    /// Remembers a row that was read after `drops_before` was taken.
    fn remember(&self, key: &str, row: &Arc<TokenRow>, drops_before: u64) {
        if self.shared {
            return;
        }
        if self.remembered.len() >= self.remembered_max {
            // Rare: it holds more than all accounts can have. Everything is looked up once more.
            self.remembered.clear();
        }
        self.remembered.insert(key.to_owned(), Arc::clone(row));
        // A drop counts up first and forgets second: if it forgot before the insert, the count has changed by now.
        if self.drops.load(Ordering::SeqCst) != drops_before {
            self.remembered.remove(key);
        }
    }

    fn forget(&self, keys: &[String]) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        for key in keys {
            self.remembered.remove(key);
        }
    }

    fn forget_account(&self, account: ApiAccountId) {
        let prefix = prefix(account);
        self.drops.fetch_add(1, Ordering::SeqCst);
        self.remembered.retain(|key, _| !key.starts_with(&prefix));
    }
}

/// The keys of an account's rows begin with it: `<account id in ten digits>/`.
fn prefix(account: ApiAccountId) -> String {
    format!("{:010}/", account.0)
}

fn key_of(sealer: &Sealer, account: ApiAccountId, text: &str) -> String {
    let hash = sealer.keyed_hash(PURPOSE, text.as_bytes());
    format!("{}{}", prefix(account), hex::encode(hash))
}

/// The account a text claims to be a token of.
fn claimed_account(text: &str, sealer: &Sealer) -> Option<ApiAccountId> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (account, rest) = text.split_once('.')?;
    let digits = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    let id = account.parse().ok().filter(|_| digits)?;
    sealer.is_tagged_text(PURPOSE, account, rest).then_some(id)
}

/// The token texts: only the hash is kept.
fn new_text(account: ApiAccountId, sealer: &Sealer, fresh: &Fresh) -> SecretText {
    let random = random_bytes(fresh, [0, 1]);
    let random = sealer.tagged_text(PURPOSE, &account.to_string(), random);
    SecretText::new(format!("{account}.{}", random.expose()))
}

/// What a new token does to the rows of its account: dead rows go, and the oldest while there are too many.
fn rows_with(
    rows: &[SideRow],
    key: String,
    (secret, generation): (SecretRef, u32),
    now: Timestamp,
) -> (Vec<SideWrite>, Vec<String>) {
    let mut live: Vec<(Timestamp, &str)> = Vec::new();
    let mut dropped: Vec<String> = Vec::new();
    for row in rows {
        match serde_json::from_slice::<TokenRow>(&row.value) {
            Ok(kept)
                if kept.is_in_time(now)
                    && kept.secret == secret
                    && kept.generation == generation =>
            {
                live.push((kept.issued_at, &row.key));
            }
            _ => dropped.push(row.key.clone()),
        }
    }
    live.sort_unstable();
    let newest = live.last().map_or(Timestamp(0), |(at, _)| *at);
    let over = (live.len() + 1).saturating_sub(TOKENS_MAX);
    dropped.extend(live.iter().take(over).map(|(_, key)| (*key).to_owned()));
    let row = TokenRow {
        issued_at: now.max(newest.plus(1)),
        expires_at: now.plus(LIFETIME),
        secret,
        generation,
    };
    let mut writes: Vec<SideWrite> = dropped
        .iter()
        .map(|key| SideWrite::Delete {
            table: SideTable::ApiToken,
            key: key.clone(),
        })
        .collect();
    writes.push(SideWrite::Insert {
        table: SideTable::ApiToken,
        key,
        // A struct of two numbers and a text always has a JSON form.
        value: serde_json::to_vec(&row).unwrap_or_default(),
    });
    (writes, dropped)
}

impl Site {
    /// Gives `account` a token from an address, under the secret it has just shown. Its first use of an hour from an address
    /// is an event, and the row commits with it; else the row is written alone.
    ///
    /// # Errors
    /// When the account was switched off meanwhile, or the log or database does not take it.
    pub(crate) async fn issue_token(
        &self,
        account: ApiAccountId,
        secret: SecretRef,
        cause: Cause,
        address: std::net::IpAddr,
    ) -> Result<SecretText, Problem> {
        let text = new_text(account, &self.sealer, &self.engine.fresh());
        let key = key_of(&self.sealer, account, text.expose());
        let published = self.engine.published();
        let under = (secret, published.world.token_generation(account));
        let due = published
            .world
            .use_is_due(account, address, self.engine.clock().now());
        let written = if due {
            self.issue_with_event(account, &key, &under, cause, address)
                .await
        } else {
            Ok(false)
        };
        let outcome = match written {
            Ok(true) => Ok(()),
            Ok(false) => self
                .issue_alone(account, key, under)
                .await
                .map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        if outcome.is_err() {
            // Rows may have been dropped although no answer came.
            self.tokens.forget_account(account);
        }
        outcome.map(|()| text)
    }

    /// Whether the row was written: it was not if another call has noted the same hour a moment before.
    async fn issue_with_event(
        &self,
        account: ApiAccountId,
        key: &str,
        under: &(SecretRef, u32),
        cause: Cause,
        address: std::net::IpAddr,
    ) -> Result<bool, Problem> {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let side = {
            let (key, under, dropped) = (key.to_owned(), under.clone(), Arc::clone(&dropped));
            Side::reading(
                SideTable::ApiToken,
                prefix(account),
                move |rows, context| {
                    let (writes, gone) = rows_with(rows, key, under, context.now);
                    *dropped.lock().unwrap_or_else(PoisonError::into_inner) = gone;
                    writes
                },
            )
        };
        let command = Command::ApiAccount(api_account::Command::Authenticate { account, address });
        let submission = Submission::new(command, cause, Lane::Integrations).with_side(side);
        let done = self.engine.execute(submission).await?;
        let gone = std::mem::take(&mut *dropped.lock().unwrap_or_else(PoisonError::into_inner));
        self.tokens.forget(&gone);
        Ok(!done.events.is_empty())
    }

    async fn issue_alone(
        &self,
        account: ApiAccountId,
        key: String,
        under: (SecretRef, u32),
    ) -> Result<(), StoreError> {
        let now = self.engine.clock().now();
        let mut dropped = Vec::new();
        let prefix = prefix(account);
        self.engine
            .store()
            .change_side_rows((SideTable::ApiToken, &prefix), |rows| {
                let (writes, gone) = rows_with(&rows, key, under, now);
                dropped = gone;
                writes
            })
            .await?;
        self.tokens.forget(&dropped);
        Ok(())
    }

    /// The row of a token, if it is there. Nothing is said yet about its time, its account and its secret.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn find_token(&self, text: &str) -> Result<Option<Found>, StoreError> {
        let Some(account) = claimed_account(text, &self.sealer) else {
            return Ok(None);
        };
        let key = key_of(&self.sealer, account, text);
        if let Some(row) = self.tokens.recall(&key) {
            return Ok(Some(Found { account, row }));
        }
        let drops_before = self.tokens.drops.load(Ordering::SeqCst);
        let stored = self
            .engine
            .store()
            .side_row(SideTable::ApiToken, &key)
            .await?;
        let row = stored
            .and_then(|value| serde_json::from_slice::<TokenRow>(&value).ok())
            .map(Arc::new);
        if let Some(row) = &row {
            self.tokens.remember(&key, row, drops_before);
        }
        Ok(row.map(|row| Found { account, row }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn secret() -> SecretRef {
        SecretRef("5".repeat(32))
    }

    fn row(name: &str, issued_at: i64, expires_in: i64, secret: &SecretRef) -> SideRow {
        let row = TokenRow {
            issued_at: Timestamp(issued_at),
            expires_at: NOW.plus(expires_in),
            secret: secret.clone(),
            generation: 1,
        };
        SideRow {
            key: name.to_owned(),
            value: serde_json::to_vec(&row).unwrap(),
        }
    }

    /// AUTH-08, LIM-12
    #[test]
    fn the_31st_token_drops_the_oldest_and_dead_rows_do_not_count() {
        let other = SecretRef("6".repeat(32));
        let live = |count: i64| (1..=count).map(|n| row(&format!("t{n:02}"), n, 1, &secret()));
        let dead = [
            row("expired", 0, 0, &secret()),
            row("old-secret", 0, 1, &other),
        ];
        // rows, dropped
        let cases: [(Vec<SideRow>, &[&str]); 4] = [
            (live(29).collect(), &[]),
            (live(30).collect(), &["t01"]),
            (live(31).collect(), &["t01", "t02"]),
            (live(29).chain(dead).collect(), &["expired", "old-secret"]),
        ];
        for (rows, expected) in cases {
            let (writes, dropped) = rows_with(&rows, "new".to_owned(), (secret(), 1), NOW);
            assert_eq!(dropped, expected, "{} rows", rows.len());
            assert_eq!(writes.len(), expected.len() + 1);
        }
    }

    /// AUTH-08
    #[test]
    fn tokens_of_the_same_instant_still_have_an_order() {
        let rows = [
            row("a", NOW.0, 1, &secret()),
            row("b", NOW.0 + 1, 1, &secret()),
        ];
        let (writes, _) = rows_with(&rows, "new".to_owned(), (secret(), 1), NOW);
        let Some(SideWrite::Insert { value, .. }) = writes.last() else {
            panic!("a row is inserted");
        };
        let new: TokenRow = serde_json::from_slice(value).unwrap();
        assert_eq!(new.issued_at, NOW.plus(2));
        assert_eq!(new.expires_at, NOW.plus(HOUR));
    }

    #[test]
    fn a_dropped_row_is_not_remembered_by_a_look_up_that_began_before() {
        let tokens = Tokens::new(false, 10);
        let row = Arc::new(TokenRow {
            issued_at: NOW,
            expires_at: NOW,
            secret: secret(),
            generation: 0,
        });
        let before = tokens.drops.load(Ordering::SeqCst);
        tokens.forget(&["k".to_owned()]);
        tokens.remember("k", &row, before);
        assert_eq!(tokens.recall("k"), None);
        tokens.remember("k", &row, before + 1);
        assert_eq!(tokens.recall("k"), Some(row));
    }

    #[test]
    fn only_texts_that_were_given_out_claim_an_account() {
        let keys = tempfile::tempdir().unwrap();
        secrets::KeyFile::create(keys.path().join("key")).unwrap();
        let sealer = Sealer::load(keys.path().join("key")).unwrap();
        let fresh = Fresh(std::array::from_fn(|index| u128::MAX / 7 + index as u128));
        let text = new_text(ApiAccountId(7), &sealer, &fresh);
        let (_, rest) = text.expose().split_once('.').unwrap();
        // text, account
        let cases = [
            (format!("7.{rest}"), Some(7)),
            (format!("07.{rest}"), None),
            (format!("8.{rest}"), None),
            (format!("7.{}", "a".repeat(43)), None),
            (format!("+7.{rest}"), None),
            (format!(".{rest}"), None),
            (format!("99999999999.{rest}"), None),
            (format!("7.{}", "a".repeat(39)), None),
            (format!("7.{}'", "a".repeat(43)), None),
            (format!("7.{}", "a".repeat(500)), None),
            ("7".to_owned(), None),
            (String::new(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                claimed_account(&text, &sealer),
                expected.map(ApiAccountId),
                "{text}"
            );
        }
    }
}
