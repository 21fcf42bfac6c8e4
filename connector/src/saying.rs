//! What an agent says, on its way to the log: one thing at a time and in the order said, beside the conversation.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;

use domain::fleet::jump_client::{Command as ClientCommand, Facts, Offer};
use domain::ids::{JumpClientId, KeyedHash, LinkId, Lsid};
use domain::node::RoutineCheckIn;
use domain::session::access_session::Command as SessionCommand;
use domain::site::agent_trust::Confirmed;
use domain::{Actor, Cause, Command, Event, Refusal};
use engine::{ExecuteError, Lane, Submission};
use link_protocol::Secret;
use tokio::sync::oneshot;

use crate::greeting;
use crate::hub::Hub;

/// What one agent may have waiting for the log. More means that the log is slower than the agent may speak.
const WAITING_MAX: usize = 256;

/// Something for the log.
pub(crate) enum Saying {
    /// How the machine is, outside of a check-in.
    Facts(Box<Facts>),
    /// Check-ins, of which the last is how the machine is.
    CheckIn {
        /// Their numbers on the link.
        sequences: Vec<u64>,
        /// All facts as they are now.
        facts: Box<Facts>,
    },
    /// A session is up.
    Establish(Lsid),
    /// A session could not be brought up.
    Fail(Lsid, String),
    /// A session is over.
    End(Lsid, String),
    /// The client is being uninstalled at the endpoint.
    Uninstall,
    /// The token with this hash is kept.
    ConfirmToken(KeyedHash),
    /// These versions of the site's lists are kept.
    ConfirmTrust(Confirmed),
    /// A new token is due.
    OfferToken,
    /// Two machines show this identity.
    Quarantine(String),
}

/// What became of it.
pub(crate) enum Replied {
    /// It is in the log, or settled otherwise; the agent need not hear of it.
    Nothing,
    /// The check-ins with these numbers are in the log.
    Recorded(Vec<u64>),
    /// The check-ins changed nothing and are gathered; the channel tells when they are in the log.
    Gathered(Vec<u64>, oneshot::Receiver<()>),
    /// The session is not to be.
    NotActive(Lsid, Refusal),
    /// It is written down that the client is gone from its machine.
    Uninstalled,
    /// A new token was offered.
    Offered(Secret, KeyedHash),
    /// No new token was to be offered.
    NotOffered,
    /// The log can't take now what was stored of the site's lists.
    TrustNotConfirmed,
    /// The client has stored what is not its token.
    NotConfirmed,
    /// The identity is in quarantine.
    Quarantined,
    /// The log can't take it now.
    Later,
}

/// Too much waits already.
pub(crate) struct Overfull;

/// What one agent says.
pub(crate) struct Sayings {
    speaker: Speaker,
    current: Option<Pin<Box<dyn Future<Output = Replied> + Send>>>,
    waiting: VecDeque<Saying>,
}

#[derive(Clone)]
struct Speaker {
    hub: Hub,
    client: JumpClientId,
    link: LinkId,
    cause: Cause,
}

impl Sayings {
    /// Of `client` on `link` at `address`.
    pub(crate) fn new(hub: &Hub, client: JumpClientId, link: LinkId, address: IpAddr) -> Self {
        let speaker = Speaker {
            hub: hub.clone(),
            client,
            link,
            cause: greeting::cause(Actor::JumpClient(client), address),
        };
        Self {
            speaker,
            current: None,
            waiting: VecDeque::new(),
        }
    }

    /// Puts something behind what waits.
    ///
    /// # Errors
    /// [`Overfull`].
    pub(crate) fn say(&mut self, saying: Saying) -> Result<(), Overfull> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Overfull);
        }
        self.waiting.push_back(saying);
        Ok(())
    }

    /// What became of the next thing. Waits for ever where there is none. Dropped before it ends, it has lost nothing.
    pub(crate) async fn next(&mut self) -> Replied {
        let current = match &mut self.current {
            Some(current) => current,
            None => match self.waiting.pop_front() {
                Some(saying) => {
                    let speaker = self.speaker.clone();
                    self.current.insert(Box::pin(speaker.speak(saying)))
                }
                None => return std::future::pending().await,
            },
        };
        let replied = current.await;
        self.current = None;
        replied
    }

    /// Ends when everything was said. A token that nobody would be handed any more is not drawn.
    pub(crate) async fn settle(&mut self) {
        self.waiting
            .retain(|saying| !matches!(saying, Saying::OfferToken));
        while self.current.is_some() || !self.waiting.is_empty() {
            self.next().await;
        }
    }

    /// Says one thing out of turn.
    pub(crate) async fn execute(&mut self, command: ClientCommand) -> Result<(), ExecuteError> {
        let speaker = self.speaker.clone();
        speaker.execute(Command::JumpClient(command)).await?;
        Ok(())
    }
}

impl Speaker {
    async fn execute(&self, command: Command) -> Result<Vec<Event>, ExecuteError> {
        let submission = Submission::new(command, self.cause.clone(), Lane::Integrations);
        Ok(self.hub.0.engine.execute(submission).await?.events)
    }

    async fn speak(self, saying: Saying) -> Replied {
        let client = self.client;
        match saying {
            Saying::Facts(facts) => {
                self.speak_plainly(Command::JumpClient(ClientCommand::CheckIn {
                    client,
                    link: self.link,
                    facts,
                }))
                .await
            }
            Saying::CheckIn { sequences, facts } => self.check_in(sequences, facts).await,
            Saying::Establish(lsid) => {
                let command = SessionCommand::Establish { lsid, client };
                match self.execute(Command::AccessSession(command)).await {
                    Ok(_) => Replied::Nothing,
                    Err(ExecuteError::Refused { refusal, .. }) => Replied::NotActive(lsid, refusal),
                    Err(error) => self.not_now(&error),
                }
            }
            Saying::Fail(lsid, reason) => {
                let command = SessionCommand::Fail {
                    lsid,
                    client,
                    reason,
                };
                self.speak_plainly(Command::AccessSession(command)).await
            }
            Saying::End(lsid, reason) => {
                let command = SessionCommand::EndByEndpoint {
                    lsid,
                    client,
                    reason,
                };
                self.speak_plainly(Command::AccessSession(command)).await
            }
            Saying::Uninstall => {
                let command = ClientCommand::Uninstall {
                    client,
                    link: self.link,
                };
                match self.execute(Command::JumpClient(command)).await {
                    Ok(_) | Err(ExecuteError::Refused { .. }) => Replied::Uninstalled,
                    Err(error) => self.not_now(&error),
                }
            }
            Saying::ConfirmToken(token) => {
                let command = ClientCommand::ConfirmToken {
                    client,
                    link: Some(self.link),
                    token,
                };
                match self.execute(Command::JumpClient(command)).await {
                    Ok(_) => Replied::Nothing,
                    Err(ExecuteError::Refused { .. }) => Replied::NotConfirmed,
                    Err(error) => self.not_now(&error),
                }
            }
            Saying::ConfirmTrust(stored) => {
                let command = ClientCommand::ConfirmTrust {
                    client,
                    link: self.link,
                    anchors: Some(stored.anchors),
                    addresses: Some(stored.addresses),
                };
                match self.execute(Command::JumpClient(command)).await {
                    Ok(_) | Err(ExecuteError::Refused { .. }) => Replied::Nothing,
                    Err(_) => Replied::TrustNotConfirmed,
                }
            }
            Saying::OfferToken => {
                let (token, hash) = greeting::new_token(&self.hub.0);
                let command = ClientCommand::OfferToken {
                    client,
                    offer: Offer::OnLink(self.link),
                    token: hash.clone(),
                };
                match self.execute(Command::JumpClient(command)).await {
                    Ok(events) if !events.is_empty() => Replied::Offered(token, hash),
                    Ok(_) | Err(ExecuteError::Refused { .. }) => Replied::NotOffered,
                    Err(error) => self.not_now(&error),
                }
            }
            Saying::Quarantine(evidence) => {
                let command = ClientCommand::Quarantine { client, evidence };
                match self.execute(Command::JumpClient(command)).await {
                    Ok(_) | Err(ExecuteError::Refused { .. }) => Replied::Quarantined,
                    Err(error) => self.not_now(&error),
                }
            }
        }
    }

    /// Says what needs no answer. A refusal means that it is settled already.
    async fn speak_plainly(&self, command: Command) -> Replied {
        match self.execute(command).await {
            Ok(_) | Err(ExecuteError::Refused { .. }) => Replied::Nothing,
            Err(error) => self.not_now(&error),
        }
    }

    async fn check_in(&self, sequences: Vec<u64>, facts: Box<Facts>) -> Replied {
        let client = self.client;
        let command = Command::JumpClient(ClientCommand::CheckIn {
            client,
            link: self.link,
            facts,
        });
        match self.execute(command).await {
            Ok(events) if events.is_empty() => {
                let inner = &self.hub.0;
                let at = inner.engine.clock().now().unix_seconds();
                let told = inner.check_ins.add(RoutineCheckIn { client, at }).await;
                Replied::Gathered(sequences, told)
            }
            Ok(_) => Replied::Recorded(sequences),
            // The client is gone, and its link about to be.
            Err(ExecuteError::Refused { .. }) => Replied::Nothing,
            Err(error) => self.not_now(&error),
        }
    }

    /// Once connected anew, the world and the agent's own list of sessions bring both sides together.
    fn not_now(&self, error: &ExecuteError) -> Replied {
        tracing::debug!(error = error as &dyn std::error::Error, client = %self.client, "what an agent said can't be written down");
        Replied::Later
    }
}
