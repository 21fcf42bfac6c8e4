//! From `hello` to a known, connected Jump Client: registration with an installer's secret, or an identity shown again.

use std::net::{IpAddr, SocketAddr};

use domain::fleet::jump_client::{
    Command as ClientCommand, Facts, JumpClient, Offer, Overrides, Presence, Register,
};
use domain::ids::{JumpClientId, KeyedHash, LinkId};
use domain::site::settings::SiteSettings;
use domain::{Actor, Cause, Command, Event, Refusal, Surface, World};
use engine::{Done, ExecuteError, Lane, Submission};
use link_protocol::{Hello, Identity, Refused, RefusedCode, Resume, Secret, limits};
use tokio::time::Instant;

use secrets::Sealer;
use secrets::tagged_text::RANDOM_BYTES;

use crate::admission::{Admitted, Applicant};
use crate::hub::{self, Inner};

/// What installer secrets are hashed for, by whoever makes installers, and here by whom agents show them to.
pub const INSTALLER_SECRET: &str = "installer-secret";
/// Purposes of the other keyed hashes; each has a key of its own.
const LINK_TOKEN: &str = "link-token";
const ATTEMPT: &str = "registration-attempt";

/// How long a machine that finds no room on the site is asked to stay away, at least: people make room, in their own time (LIM-04). Unit:
/// milliseconds.
const ROOM_LATER_MS: u64 = 60_000;

/// A machine that was let in.
pub(crate) struct Greeted {
    pub(crate) client: JumpClientId,
    /// Position of its Connected event.
    pub(crate) since: u64,
    pub(crate) boot_id: String,
    pub(crate) facts: Facts,
    /// Whether it came back as the same boot with the same facts.
    pub(crate) unchanged: bool,
    /// A token the machine has to store; always after a registration.
    pub(crate) token: Option<Secret>,
    /// The hash of the token that a `token_stored` confirms.
    pub(crate) offered: Option<KeyedHash>,
}

/// Why a machine was not let in.
pub(crate) enum Turned {
    /// No, with the frame that says so; `stranger` where nobody was proven.
    Away { refused: Refused, stranger: bool },
    /// Not now: come back after so many milliseconds.
    Later(u64),
    /// Not yet: it may come in then, if it waits on its link.
    Held(Instant, Applicant),
}

/// One `hello` on its way in.
struct Greeting<'h> {
    inner: &'h Inner,
    hello: &'h Hello,
    facts: Facts,
    link: LinkId,
    peer: SocketAddr,
    /// Whether it has waited for its place.
    has_place: bool,
    /// Spreads pauses.
    chance: u64,
}

/// Hears a `hello` on `link`; `has_place` once it has waited for its place, when all else is looked at anew.
pub(crate) async fn greet(
    inner: &Inner,
    hello: &Hello,
    link: LinkId,
    peer: SocketAddr,
    has_place: bool,
) -> Result<Greeted, Turned> {
    let chance = u64::try_from(inner.engine.fresh().value(0) & u128::from(u32::MAX)).unwrap_or(0);
    let published = inner
        .engine
        .as_fresh_as_the_log()
        .await
        .map_err(|_| Turned::Later(inner.later_ms()))?;
    let unknown = Facts {
        agent_version: hello.agent_version.clone(),
        ..Facts::default()
    };
    let greeting = Greeting {
        inner,
        hello,
        facts: collected(&published.world.settings, merge(&unknown, &hello.facts)),
        link,
        peer,
        has_place,
        chance,
    };
    match &hello.identity {
        Identity::Register(register) => greeting.register(&published.world, register).await,
        Identity::Resume(resume) => greeting.resume(&published.world, resume).await,
    }
}

impl Greeting<'_> {
    async fn register(
        self,
        world: &World,
        register: &link_protocol::Register,
    ) -> Result<Greeted, Turned> {
        let id = world.installer_with(&register.installer_id);
        let installer = id.and_then(|id| world.installers.get(&id));
        let known = installer.and_then(|installer| installer.secret_hash.as_ref());
        let expected = known
            .and_then(|hash| hex::decode(&hash.0).ok())
            .unwrap_or_else(|| vec![0; 32]);
        // An unknown installer costs the same comparison as a wrong secret.
        let secret = register.secret.expose().as_bytes();
        let matches = self
            .inner
            .sealer
            .keyed_hash_matches(INSTALLER_SECRET, secret, &expected);
        let (Some(installer), true) = (id, matches && known.is_some()) else {
            return Err(stranger(
                RefusedCode::InstallerNotValid,
                &Refusal::InstallerInvalid,
            ));
        };
        // Where the `welcome` of an earlier time was lost, the attempt names the client, and it gets a token anew.
        let (token, token_hash) = new_token(self.inner);
        let attempt = attempt_hash(&self.inner.sealer, &register.attempt);
        let applicant = Applicant::Attempt(attempt.0.clone());
        let command = ClientCommand::Register(Box::new(Register {
            installer,
            link: self.link,
            public_ip: address_text(self.peer),
            boot_id: self.hello.boot_id.clone(),
            facts: self.facts.clone(),
            token: token_hash.clone(),
            attempt,
            overrides: overrides(&register.overrides),
        }));
        // Who would be refused takes no place from those who would not: thousands may wait until there is room (LIM-04).
        let rehearsed = self.inner.engine.rehearse(
            &Command::JumpClient(command.clone()),
            &cause(Actor::NewJumpClient, self.peer.ip()),
        );
        rehearsed.map_err(|refusal| self.refused(&refusal))?;
        self.admit(world, applicant)?;
        let done = self.execute(command, Actor::NewJumpClient).await?;
        let client = done.events.iter().find_map(|event| match event {
            Event::JumpClient(client, _) => Some(*client),
            _ => None,
        });
        let client = client.ok_or_else(|| self.later())?;
        Ok(self.greeted(client, &done, Some((token, token_hash)), false))
    }

    async fn resume(self, world: &World, resume: &Resume) -> Result<Greeted, Turned> {
        let id = u32::try_from(resume.client_id).map(JumpClientId).ok();
        let shown = keyed(self.inner, LINK_TOKEN, resume.token.expose().as_bytes());
        let Some((id, client)) = id.and_then(|id| Some((id, world.endpoint(id)?))) else {
            // A client that was offline when it was removed learns of it now (CLNT-60). Strangers, who show no token that
            // was ever given out, learn nothing of which clients there were.
            let was_there = id.is_some_and(|id| id.0 < world.next_id("jump_client"));
            let was_given = is_own_token(&self.inner.sealer, resume.token.expose());
            return Err(if was_there && was_given {
                stranger(RefusedCode::ClientRemoved, &Refusal::JumpClientGone)
            } else {
                stranger(
                    RefusedCode::IdentityNotValid,
                    &Refusal::JumpClientIdentityFailed,
                )
            });
        };
        let proof = proof(client, &shown);
        if proof == Proof::None {
            return Err(stranger(
                RefusedCode::IdentityNotValid,
                &Refusal::JumpClientIdentityFailed,
            ));
        }
        if client.quarantined {
            return Err(quarantined());
        }
        if proof == Proof::Previous {
            let evidence = format!("a void token was shown from {}", address_text(self.peer));
            return Err(self.quarantine(id, evidence).await);
        }
        self.admit(world, Applicant::Client(id))?;
        if self.both_alive(world, id, client).await {
            let newer = address_text(self.peer);
            let evidence = format!("two machines answered at once, the newer from {newer}");
            return Err(self.quarantine(id, evidence).await);
        }
        let actor = Actor::JumpClient(id);
        if proof == Proof::Offered || client.attempt.is_some() {
            // Showing a token proves that it is kept; a registration can't be repeated from here on.
            let confirm = ClientCommand::ConfirmToken {
                client: id,
                link: None,
                token: shown.clone(),
            };
            // Refused is what has changed since the world was looked at: it is looked at anew then.
            self.execute(confirm, actor.clone())
                .await
                .map_err(|turned| match turned {
                    Turned::Away { .. } => self.later(),
                    other => other,
                })?;
        }
        let mut token = None;
        if proof == Proof::Current && client.token_is_due(self.inner.engine.clock().now()) {
            let (new, hash) = new_token(self.inner);
            let offer = ClientCommand::OfferToken {
                client: id,
                offer: Offer::AtResume { shown },
                token: hash.clone(),
            };
            let done = self.execute(offer, actor.clone()).await?;
            token = (!done.events.is_empty()).then_some((new, hash));
        }
        let unchanged = client.boot_id == self.hello.boot_id && client.facts == self.facts;
        // The last step: whatever fails before it leaves nobody online without a link.
        let connect = ClientCommand::Connect {
            client: id,
            link: self.link,
            public_ip: address_text(self.peer),
            boot_id: self.hello.boot_id.clone(),
        };
        let done = self.execute(connect, actor).await?;
        Ok(self.greeted(id, &done, token, unchanged))
    }

    fn greeted(
        self,
        client: JumpClientId,
        done: &Done,
        token: Option<(Secret, KeyedHash)>,
        unchanged: bool,
    ) -> Greeted {
        let (token, offered) = token.unzip();
        Greeted {
            client,
            since: done.position,
            boot_id: self.hello.boot_id.clone(),
            facts: self.facts,
            unchanged,
            token,
            offered,
        }
    }

    fn admit(&self, world: &World, who: Applicant) -> Result<(), Turned> {
        if self.has_place {
            return Ok(());
        }
        let (rate, now) = (hub::rate(world), Instant::now());
        match self.inner.admission.ask(&who, rate, now, self.chance) {
            Admitted::Now => Ok(()),
            Admitted::At(place) => Err(Turned::Held(place, who)),
            Admitted::After(after_ms) => Err(Turned::Later(after_ms)),
        }
    }

    /// Whether the connection before still answers, from another boot: then it is a clone, not a return.
    ///
    /// Only this node's own links can be asked from here. One on another node is asked there, when it learns of the
    /// newcomer from the log.
    async fn both_alive(&self, world: &World, id: JumpClientId, client: &JumpClient) -> bool {
        let Presence::Connected(before) = client.presence else {
            return false;
        };
        if client.boot_id == self.hello.boot_id
            || before.node != self.inner.node
            || !world.is_online(client)
        {
            return false;
        }
        self.inner.probe(id, before.connection).await
    }

    async fn quarantine(&self, client: JumpClientId, evidence: String) -> Turned {
        let command = ClientCommand::Quarantine { client, evidence };
        match self.execute(command, Actor::JumpClient(client)).await {
            Ok(_) => quarantined(),
            Err(turned) => turned,
        }
    }

    /// It keeps trying until its installer's validity ends: somebody may make room (LIM-04).
    fn no_room(&self, refusal: &Refusal) -> Turned {
        Turned::Away {
            refused: Refused {
                retry_after_ms: Some(ROOM_LATER_MS + self.chance % ROOM_LATER_MS),
                ..refused(RefusedCode::CapacityReached, refusal, false)
            },
            stranger: false,
        }
    }

    fn later(&self) -> Turned {
        Turned::Later(self.inner.later_ms())
    }

    async fn execute(&self, command: ClientCommand, actor: Actor) -> Result<Done, Turned> {
        let cause = cause(actor, self.peer.ip());
        let submission = Submission::new(Command::JumpClient(command), cause, Lane::Integrations);
        match self.inner.engine.execute(submission).await {
            Ok(done) => Ok(done),
            Err(ExecuteError::Refused { refusal, .. }) => Err(self.refused(&refusal)),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "an agent has to come back later"
                );
                Err(self.later())
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> Turned {
        match refusal {
            Refusal::NodeStopped => self.later(),
            Refusal::JumpClientsFull | Refusal::ActiveJumpClientsFull => self.no_room(refusal),
            _ => away(refusal),
        }
    }
}

/// How a shown token stands to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Current,
    Offered,
    Previous,
    None,
}

/// Hashes of a keyed function are compared, so an early exit tells nothing about the token.
fn proof(client: &JumpClient, shown: &KeyedHash) -> Proof {
    if client.token == *shown {
        Proof::Current
    } else if client.offered_token.as_ref() == Some(shown) {
        Proof::Offered
    } else if client.previous_token.as_ref() == Some(shown) {
        Proof::Previous
    } else {
        Proof::None
    }
}

/// Where an agent connects from. Behind a proxy the port is not known; 0 stands for that.
fn address_text(peer: SocketAddr) -> String {
    match peer.port() {
        0 => peer.ip().to_string(),
        _ => peer.to_string(),
    }
}

/// The cause of what an agent at `address` does.
pub(crate) fn cause(actor: Actor, address: IpAddr) -> Cause {
    Cause {
        actor,
        surface: Surface::Link,
        address: Some(address),
    }
}

fn away(refusal: &Refusal) -> Turned {
    let (code, is_final) = match refusal {
        Refusal::InstallerInvalid
        | Refusal::InstallerExpired
        | Refusal::InstallerInvalidated
        | Refusal::NoSuchJumpGroup { .. } => (RefusedCode::InstallerNotValid, true),
        Refusal::DuplicateMachine { .. } => {
            (RefusedCode::Other("duplicate_machine".to_owned()), true)
        }
        Refusal::OverrideNotAllowed { .. } | Refusal::Invalid(_) => {
            (RefusedCode::OverrideNotAllowed, true)
        }
        Refusal::JumpClientGone | Refusal::JumpClientUninstalled => {
            (RefusedCode::ClientRemoved, true)
        }
        Refusal::JumpClientIdentityFailed => (RefusedCode::Quarantined, true),
        _ => (RefusedCode::Unavailable, false),
    };
    Turned::Away {
        refused: refused(code, refusal, is_final),
        stranger: false,
    }
}

fn stranger(code: RefusedCode, refusal: &Refusal) -> Turned {
    Turned::Away {
        refused: refused(code, refusal, true),
        stranger: true,
    }
}

fn quarantined() -> Turned {
    away(&Refusal::JumpClientIdentityFailed)
}

fn refused(code: RefusedCode, refusal: &Refusal, is_final: bool) -> Refused {
    Refused {
        code,
        message: hub::for_people(&refusal.to_string(), limits::MESSAGE_CHARS_MAX),
        retry_after_ms: None,
        is_final,
    }
}

/// What was passed at install; the rules say what of it may be (INST-23).
fn overrides(passed: &link_protocol::Overrides) -> Overrides {
    Overrides {
        name: passed.name.clone(),
        jump_group: passed.jump_group.clone(),
        jump_policy: passed.jump_policy.clone(),
        session_policy: passed.session_policy.clone(),
        max_offline_minutes: passed.max_offline_minutes,
        tag: passed.tag.clone(),
        comments: passed.comments.clone(),
    }
}

/// A new identity token, 256 bits, and the hash by which it is known.
pub(crate) fn new_token(inner: &Inner) -> (Secret, KeyedHash) {
    let fresh = inner.engine.fresh();
    let mut random = [0; RANDOM_BYTES];
    random[..16].copy_from_slice(&fresh.value(0).to_be_bytes());
    random[16..].copy_from_slice(&fresh.value(1).to_be_bytes()[..8]);
    let text = inner.sealer.tagged_text(LINK_TOKEN, "", random);
    let token = Secret::new(text.expose());
    let hash = keyed(inner, LINK_TOKEN, token.expose().as_bytes());
    (token, hash)
}

/// Whether this is a token that the site gave out once, to whichever client.
fn is_own_token(sealer: &Sealer, token: &str) -> bool {
    sealer.is_tagged_text(LINK_TOKEN, "", token)
}

/// The keyed hash by which a registration is known when it comes again with the same number, because its welcome was lost.
#[must_use]
pub fn attempt_hash(sealer: &Sealer, nonce: &str) -> KeyedHash {
    KeyedHash(hex::encode(sealer.keyed_hash(ATTEMPT, nonce.as_bytes())))
}

fn keyed(inner: &Inner, purpose: &str, bytes: &[u8]) -> KeyedHash {
    KeyedHash(hex::encode(inner.sealer.keyed_hash(purpose, bytes)))
}

/// The facts without a console user, where nobody wants to know (CLNT-31).
pub(crate) fn collected(settings: &SiteSettings, mut facts: Facts) -> Facts {
    if !settings.collects("console_user") {
        facts.console_user.clear();
    }
    facts
}

/// The facts after what a frame says has changed.
pub(crate) fn merge(before: &Facts, said: &link_protocol::Facts) -> Facts {
    let text =
        |said: &Option<String>, before: &String| said.clone().unwrap_or_else(|| before.clone());
    let mode = |mode: link_protocol::InstallMode| match mode {
        link_protocol::InstallMode::Service => "service".to_owned(),
        link_protocol::InstallMode::User => "user".to_owned(),
    };
    Facts {
        hostname: text(&said.hostname, &before.hostname),
        fqdn: text(&said.fqdn, &before.fqdn),
        operating_system: text(&said.operating_system, &before.operating_system),
        private_ip: text(&said.private_ip, &before.private_ip),
        console_user: text(&said.console_user, &before.console_user),
        install_mode: said
            .install_mode
            .map_or_else(|| before.install_mode.clone(), mode),
        machine_id: text(&said.machine_id, &before.machine_id),
        agent_version: before.agent_version.clone(),
        timezone_offset: said
            .utc_offset_minutes
            .map_or(before.timezone_offset, |minutes| minutes * 60),
        disabled: said.disabled.unwrap_or(before.disabled),
        listen_port: said.listen_port.unwrap_or(before.listen_port),
    }
}
