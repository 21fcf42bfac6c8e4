//! Sends requests to the ticket system, each once, and notes what came of it.
//!
//! A ticket ID may be sensitive, so it is in no event and on no disk: the node that took the user's request holds it until it
//! is sent. A request that is lost with its node is over when its time is up, as one that the ticket system never answers.

use domain::ids::TicketRequestId;
use domain::policy::ticket::{self, Asked, Handed, Trouble};
use domain::{Actor, Cause, Command, Surface, World};
use engine::{Engine, Lane, Submission};
use form_urlencoded::Serializer;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::outbound::{Networks, Outbound, OutboundError, Post, Trust, read_certificates};

/// Requests that wait to be sent; more are turned away before anything is asked.
const WAITING_MAX: usize = 1_024;
/// Requests under way at once: a ticket system that hangs holds each for its whole time.
const UNDER_WAY_MAX: usize = 256;
/// TICK-15.
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

/// The way to the ticket system. Clones lead to the same.
#[derive(Clone)]
pub struct Tickets {
    queue: mpsc::Sender<Delivery>,
}

/// Room for one request: taken before the user's request is written down, so what is written down is sent.
pub struct Room(mpsc::OwnedPermit<Delivery>);

/// A request that is to be sent. It holds the ticket ID and is never printed.
pub struct Delivery {
    request: TicketRequestId,
    content: Result<Box<Post>, Trouble>,
}

/// The task that sends. Dropped without [`TicketsTask::shut_down`] it stops as well, but nobody waits for it.
pub struct TicketsTask {
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl TicketsTask {
    /// Ends when the task has, which it does not before it is shut down unless it failed.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        match self.task.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Gives up what is under way, and ends.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.task.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the task that asks the ticket system failed");
            }
        }
    }
}

impl Delivery {
    /// The request `asked`, by the settings of `world`, with what the node adds.
    #[must_use]
    pub fn new(world: &World, request: TicketRequestId, asked: &Asked, handed: Handed<'_>) -> Self {
        Self {
            request,
            content: post(world, asked, handed).map(Box::new),
        }
    }
}

fn post(world: &World, asked: &Asked, handed: Handed<'_>) -> Result<Post, Trouble> {
    let system = &world.ticket_system;
    if asked.version != world.ticket_connection.version {
        // What was typed for one system, perhaps a sensitive one, is not sent to another.
        return Err(Trouble::Unreachable(
            "its settings were just changed".to_owned(),
        ));
    }
    let trust = if system.ignore_certificate_errors {
        Trust::Unchecked
    } else if system.certificate.is_empty() {
        Trust::System
    } else {
        let anchors = read_certificates(&system.certificate)
            .map_err(|error| Trouble::Tls(error.to_string()))?;
        Trust::Anchors(anchors)
    };
    let pairs = ticket::parameters(world, &asked.start, handed);
    let body = Serializer::new(String::new()).extend_pairs(pairs).finish();
    Ok(Post {
        url: system.url.clone(),
        content_type: FORM,
        body: body.into_bytes(),
        within: std::time::Duration::from_secs(u64::from(system.timeout_seconds)),
        trust,
        networks: Networks::read(&world.settings.outbound_networks),
    })
}

impl Tickets {
    /// Begins to send.
    #[must_use]
    pub fn start(engine: Engine, outbound: Outbound) -> (Self, TicketsTask) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(send_all(engine, outbound, waiting, stopped));
        (Self { queue }, TicketsTask { stop, task })
    }

    /// Room for one request; none where too many wait, or the node stops.
    #[must_use]
    pub fn room(&self) -> Option<Room> {
        self.queue.clone().try_reserve_owned().ok().map(Room)
    }
}

impl Room {
    /// Has it sent.
    pub fn send(self, delivery: Delivery) {
        self.0.send(delivery);
    }
}

async fn send_all(
    engine: Engine,
    outbound: Outbound,
    mut waiting: mpsc::Receiver<Delivery>,
    mut stop: watch::Receiver<bool>,
) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = under_way.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a request to the ticket system failed inside the server");
                }
            }
            delivery = waiting.recv(), if under_way.len() < UNDER_WAY_MAX => match delivery {
                Some(delivery) => {
                    under_way.spawn(deliver(engine.clone(), outbound.clone(), delivery));
                }
                None => break,
            },
        }
    }
    under_way.shutdown().await;
}

async fn deliver(engine: Engine, outbound: Outbound, delivery: Delivery) {
    let Delivery { request, content } = delivery;
    let trouble = match content {
        Ok(post) => match outbound.post(*post).await {
            Ok(200..=299) => None,
            Ok(status) => Some(Trouble::Status(status)),
            Err(error) => Some(trouble_of(error)),
        },
        Err(trouble) => Some(trouble),
    };
    let command = Command::TicketRequest(ticket::Command::NoteSent { request, trouble });
    let cause = Cause {
        actor: Actor::System,
        surface: Surface::TicketSystem,
        address: None,
    };
    let noted = engine
        .execute(Submission::new(command, cause, Lane::Integrations))
        .await;
    if let Err(error) = noted {
        // The request itself stands: it is answered, or over when its time is up.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            %request,
            "what came of a request to the ticket system was not noted"
        );
    }
}

fn trouble_of(error: OutboundError) -> Trouble {
    match error {
        OutboundError::NotResolved => Trouble::NotResolved,
        OutboundError::NotAllowed(address) => Trouble::NotAllowed(address.to_string()),
        OutboundError::Tls(detail) => Trouble::Tls(detail),
        OutboundError::TimedOut => Trouble::TimedOut,
        OutboundError::Unreachable(detail) => Trouble::Unreachable(detail),
        error @ (OutboundError::BadUrl | OutboundError::Client) => {
            Trouble::Unreachable(error.to_string())
        }
    }
}
