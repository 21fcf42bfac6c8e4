//! The outbox of a node that holds the lease [`MAIL`]. One task reads the log and queues mails: its cursor waits for no mail
//! server. The other takes the mails that are due, a few at a time, and says in the log how each attempt ended.
//!
//! A mail is sent at least once. It may be sent again where the node ends between the server's yes and the log; then it has
//! the same Message-ID.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{MailDeliveryId, SecretRef};
use domain::site::mail_delivery::{self, Delivery, Message, Outcome, PARKED_MAX};
use domain::{Actor, Cause, Command, Refusal, Surface, World};
use engine::{Engine, ExecuteError, Idempotency, Lane, Submission};
use eventstore::{Fence, RecordedEvent, Selection, SideTable, StoreError};
use projections::Recorded;
use secrets::{Sealer, SecretText};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::language::Languages;
use super::letter;
use super::smtp::{self, Patience, Server, Trouble};
use super::told;
use crate::approver_link;

/// Name of the consumer whose lease a node holds while it sends mail.
pub const MAIL: &str = "mail";

/// Mails that are under way at once.
const UNDER_WAY_MAX: usize = 8;
/// How often the cursor is written down at most: what is read twice is queued once.
const CURSOR_EVERY: Duration = Duration::from_secs(5);
/// The pause after trouble with the log.
const PAUSE: Duration = Duration::from_secs(1);
/// How long mails under way are waited for at a stop.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Parked mails that are given up at once.
const DISCARDED_MAX: usize = 100;

/// What an outbox is made of.
pub struct OutboxSetup {
    /// The one writer of this node.
    pub engine: Engine,
    /// Opens the password of the mail server and makes the links of approvers.
    pub sealer: Arc<Sealer>,
    /// What mails say.
    pub languages: Arc<Languages>,
    /// The site's address for people, such as `https://access.example.com`; the links of approvers begin with it.
    pub url: String,
    /// How long the steps of a delivery may take.
    pub patience: Patience,
    /// The path of an installer's Direct Download Link for a platform, by the installer's 32-digit id; whoever serves the
    /// downloads knows it.
    pub installer_path: fn(&Sealer, &str, &str) -> String,
}

/// The outbox of this node.
#[derive(Clone)]
pub struct Outbox(Arc<OutboxSetup>);

/// The lease of [`MAIL`] as the node holds it: the fence, or none.
pub type Lease = watch::Receiver<Option<Fence>>;

impl Outbox {
    /// An outbox that does nothing yet.
    #[must_use]
    pub fn new(setup: OutboxSetup) -> Self {
        Self(Arc::new(setup))
    }

    /// Works whenever `lease` holds a fence, until `stopped`.
    pub async fn run(self, lease: Lease, stopped: watch::Receiver<bool>) {
        tokio::join!(
            self.clone().queue_all(lease.clone(), stopped.clone()),
            self.send_all(lease, stopped),
        );
    }

    // --- from the log to the outbox ---

    async fn queue_all(self, mut lease: Lease, mut stopped: watch::Receiver<bool>) {
        loop {
            let Some(fence) = held(&mut lease, &mut stopped).await else {
                return;
            };
            let ended = tokio::select! {
                ended = self.consume(fence) => ended,
                () = changed_or_never(&mut lease) => continue,
                () = until(&mut stopped) => return,
            };
            match ended {
                Ok(()) => {}
                Err(error @ (Broken::Store(StoreError::Closed) | Broken::ShuttingDown)) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "no more mails are queued"
                    );
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "mails can't be queued at this time"
                    );
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Reads on from the cursor for as long as the fence holds. What is read twice is queued once, so this may end anywhere.
    async fn consume(&self, fence: Fence) -> Result<(), Broken> {
        let store = self.0.engine.store();
        let cursor = store.consumer(MAIL).await?.map_or(0, |row| row.cursor);
        let mut news = store.subscribe(cursor, Selection::All);
        let (mut written, mut next_write) = (cursor, Instant::now() + CURSOR_EVERY);
        loop {
            let position = news.position();
            let events = if position > written {
                tokio::select! {
                    events = news.next() => events?,
                    () = tokio::time::sleep_until(next_write) => Vec::new(),
                }
            } else {
                news.next().await?
            };
            for event in &events {
                if told::concerns(&event.event_type) {
                    self.queue_mails_of(event).await?;
                }
            }
            let position = news.position();
            if position > written && Instant::now() >= next_write {
                if !store.move_cursor(MAIL, fence, position).await? {
                    return Ok(());
                }
                (written, next_write) = (position, Instant::now() + CURSOR_EVERY);
            }
        }
    }

    async fn queue_mails_of(&self, stored: &RecordedEvent) -> Result<(), Broken> {
        let recorded = Recorded::from_stored(stored)?;
        let engine = &self.0.engine;
        let mut position = engine.watch_position();
        position
            .wait_for(|position| *position >= recorded.position)
            .await
            .map_err(|_| Broken::ShuttingDown)?;
        if told::is_old_news(&recorded, engine.clock().now()) {
            return Ok(());
        }
        let published = engine.published();
        let mails = told::mails_of(engine.store(), &published.world, &recorded).await?;
        for (number, mail) in (0_u32..).zip(mails) {
            let id = self.delivery_id(stored, number, &mail.recipient);
            let command = mail_delivery::Command::Queue(id, mail);
            let key = Idempotency {
                key: format!("mail/{id}"),
                request_hash: [0; 32],
            };
            self.say(command, Some(key)).await?;
        }
        Ok(())
    }

    /// The same for the same event and recipient, on every node.
    fn delivery_id(&self, event: &RecordedEvent, number: u32, recipient: &str) -> MailDeliveryId {
        let said = [
            event.id.as_bytes().as_slice(),
            &number.to_be_bytes(),
            recipient.as_bytes(),
        ]
        .concat();
        let hash = self.0.sealer.keyed_hash("mail_delivery", &said);
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        MailDeliveryId(u128::from_be_bytes(half))
    }

    // --- from the outbox to the mail server ---

    async fn send_all(self, mut lease: Lease, mut stopped: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        let mut ids: HashSet<MailDeliveryId> = HashSet::new();
        loop {
            let is_held = lease.borrow_and_update().is_some();
            let mut position = self.0.engine.watch_position();
            position.borrow_and_update();
            let clock = Arc::clone(self.0.engine.clock());
            let now = clock.now();
            let published = self.0.engine.published();
            if is_held {
                self.discard_forgotten(&published.world, now).await;
                let room = UNDER_WAY_MAX.saturating_sub(ids.len());
                let due: Vec<(MailDeliveryId, Delivery)> = published
                    .world
                    .mails_due(now)
                    .filter(|(id, _)| !ids.contains(id))
                    .take(room)
                    .map(|(id, delivery)| (id, delivery.clone()))
                    .collect();
                for (id, delivery) in due {
                    ids.insert(id);
                    let outbox = self.clone();
                    under_way.spawn(async move {
                        outbox.attempt(id, &delivery).await;
                        id
                    });
                }
            }
            let next_due = published.world.next_mail_due_after(now);
            drop(published);
            let next_due = async {
                match next_due {
                    Some(at) if is_held => clock.sleep_until(at).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = until(&mut stopped) => break,
                () = changed_or_never(&mut lease) => {}
                Some(ended) = under_way.join_next() => match ended {
                    Ok(id) => {
                        ids.remove(&id);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a delivery of mail failed inside the server");
                        // Which one is not known: all that are still under way will say so again.
                        under_way.abort_all();
                        while under_way.join_next().await.is_some() {}
                        ids.clear();
                        sleep(PAUSE).await;
                    }
                },
                () = next_due => {}
                // Something new may be due.
                Ok(()) = position.changed() => {}
            }
        }
        let ending = async { while under_way.join_next().await.is_some() {} };
        if timeout(END_WITHIN, ending).await.is_err() {
            tracing::warn!("mails that were under way will be tried again after the next start");
        }
    }

    /// One attempt, and its end in the log.
    async fn attempt(&self, id: MailDeliveryId, delivery: &Delivery) {
        let attempt = delivery.attempts + 1;
        let outcome = match self.hand_over(id, delivery).await {
            Ok(()) => Outcome::Delivered,
            Err(Trouble::Deferred(reason)) => Outcome::Deferred { reason },
            Err(Trouble::Refused(reason)) => Outcome::Refused { reason },
        };
        if let Outcome::Deferred { reason } | Outcome::Refused { reason } = &outcome {
            tracing::warn!(mail = %id, attempt, reason, "a mail was not taken");
        }
        let command = mail_delivery::Command::Settle {
            delivery: id,
            attempt,
            outcome,
        };
        if let Err(error) = self.say(command, None).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                mail = %id,
                "how a delivery ended could not be written down; it will be tried again"
            );
            sleep(PAUSE).await;
        }
    }

    async fn hand_over(&self, id: MailDeliveryId, delivery: &Delivery) -> Result<(), Trouble> {
        let published = self.0.engine.published();
        let world = &published.world;
        let settings = &world.mail_settings;
        if !settings.is_configured() {
            return Err(Trouble::Refused("No mail server is configured.".to_owned()));
        }
        let password = match &settings.password {
            Some(reference) if !settings.username.is_empty() => {
                Some(self.password(reference).await?)
            }
            _ => None,
        };
        let token = self.token(world, delivery)?;
        let link = token.as_ref().map(|(_, link)| link.as_str());
        let letter = letter::write(world, &self.0.languages, id, delivery, link)
            .map_err(|error| Trouble::Refused(error.to_string()))?;
        let server = Server {
            settings,
            password: password.clone(),
        };
        let handed = smtp::hand_over(&server, &letter, &self.0.patience).await;
        let secrets = [
            password.as_ref().map(SecretText::expose),
            token.as_ref().map(|(token, _)| token.as_str()),
        ];
        handed.map_err(|trouble| without_secrets(trouble, &secrets))
    }

    /// What is secret of the mail's link, and the link: the approver's where the mail is to one, that of an installer where it
    /// offers one.
    fn token(
        &self,
        world: &World,
        delivery: &Delivery,
    ) -> Result<Option<(String, String)>, Trouble> {
        let sealer = &self.0.sealer;
        match &delivery.mail.message {
            Message::ApprovalRequested(asked) => {
                let (request, index) = (asked.request.id, asked.approver);
                let address = &delivery.mail.recipient;
                Ok(Some((
                    approver_link::token(sealer, request, index, address),
                    approver_link::link(sealer, &self.0.url, request, index, address),
                )))
            }
            Message::InstallerOffered(offered) => {
                let gone = || Trouble::Refused(Refusal::InstallerInvalid.to_string());
                let installer = world.installers.get(&offered.installer).ok_or_else(gone)?;
                installer
                    .usable(world, self.0.engine.clock().now())
                    .map_err(|refusal| Trouble::Refused(refusal.to_string()))?;
                let path =
                    (self.0.installer_path)(sealer, &installer.installer_id, &offered.platform);
                let link = format!("{}{path}", self.0.url.trim_end_matches('/'));
                Ok(Some((path, link)))
            }
            _ => Ok(None),
        }
    }

    async fn password(&self, reference: &SecretRef) -> Result<SecretText, Trouble> {
        let unreadable = |why: &dyn std::fmt::Display| {
            tracing::error!(%why, "the password of the mail server can't be read");
            Trouble::Deferred("The password of the mail server can't be read.".to_owned())
        };
        let store = self.0.engine.store();
        let row = store
            .side_row(SideTable::Secret, &reference.0)
            .await
            .map_err(|error| unreadable(&error))?
            .ok_or_else(|| unreadable(&"its row is gone"))?;
        let place = format!("secret/{}", reference.0);
        let opened = self
            .0
            .sealer
            .open(&row, place.as_bytes())
            .map_err(|error| unreadable(&error))?;
        let text = std::str::from_utf8(&opened).map_err(|error| unreadable(&error))?;
        Ok(SecretText::new(text))
    }

    async fn discard_forgotten(&self, world: &World, now: domain::Timestamp) {
        let forgotten: Vec<MailDeliveryId> = world
            .parked_mails()
            .take_while(|(since, _)| now.since(*since) >= PARKED_MAX)
            .take(DISCARDED_MAX)
            .map(|(_, id)| id)
            .collect();
        for id in forgotten {
            if let Err(error) = self.say(mail_delivery::Command::Discard(id), None).await {
                tracing::warn!(error = &error as &dyn std::error::Error, mail = %id, "a forgotten mail could not be discarded");
                return;
            }
        }
    }

    /// Says something in the log, again and again while it is busy or away.
    async fn say(
        &self,
        command: mail_delivery::Command,
        idempotency: Option<Idempotency>,
    ) -> Result<(), Broken> {
        let cause = Cause {
            actor: Actor::System,
            surface: Surface::Mail,
            address: None,
        };
        loop {
            let command = Command::MailDelivery(command.clone());
            let mut submission = Submission::new(command, cause.clone(), Lane::Bulk);
            submission.idempotency.clone_from(&idempotency);
            match self.0.engine.execute(submission).await {
                Ok(_) => return Ok(()),
                Err(ExecuteError::Busy { retry_after }) => sleep(retry_after).await,
                Err(ExecuteError::Unavailable { cause, retry_after })
                    if self.0.engine.halt().is_none() =>
                {
                    tracing::warn!(%cause, "what becomes of a mail can't be written down yet");
                    sleep(retry_after).await;
                }
                // A person was faster and gave it up.
                Err(ExecuteError::Refused {
                    refusal: domain::Refusal::NotFound { .. },
                    ..
                }) => return Ok(()),
                Err(ExecuteError::ShuttingDown) => return Err(Broken::ShuttingDown),
                Err(error) => return Err(Broken::Execute(error)),
            }
        }
    }
}

/// Why no more mails are queued for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the log can't be read")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] projections::UnreadableEvent),
    #[error("the log can't be written")]
    Execute(#[source] ExecuteError),
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Waits for the lease; none at a stop.
async fn held(lease: &mut Lease, stopped: &mut watch::Receiver<bool>) -> Option<Fence> {
    loop {
        if *stopped.borrow() {
            return None;
        }
        if let Some(fence) = *lease.borrow_and_update() {
            return Some(fence);
        }
        tokio::select! {
            () = changed_or_never(lease) => {}
            () = until(stopped) => return None,
        }
    }
}

/// Ends at the stop. Whoever could stop it and is gone has stopped it.
async fn until(stopped: &mut watch::Receiver<bool>) {
    let ended = stopped.wait_for(|stop| *stop).await;
    drop(ended);
}

async fn changed_or_never(lease: &mut Lease) {
    if lease.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A server may say back what it was told: no secret goes from there into the log.
fn without_secrets(trouble: Trouble, secrets: &[Option<&str>]) -> Trouble {
    let clean = |words: String| {
        secrets
            .iter()
            .flatten()
            .filter(|secret| !secret.is_empty())
            .fold(words, |words, secret| words.replace(secret, "***"))
    };
    match trouble {
        Trouble::Deferred(words) => Trouble::Deferred(clean(words)),
        Trouble::Refused(words) => Trouble::Refused(clean(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// threat C
    #[test]
    fn threat_c_what_a_server_repeats_of_a_secret_is_struck_out() {
        let said = Trouble::Refused("550 your password s3cret and s3cret".to_owned());
        assert_eq!(
            without_secrets(said, &[Some("s3cret"), None, Some("")]),
            Trouble::Refused("550 your password *** and ***".to_owned())
        );
    }
}
