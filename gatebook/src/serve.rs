//! `gatebook serve`: puts all parts together, runs them, and stops them in an order in which nothing that was accepted is
//! lost: first nobody new gets in, then agents are let go, then the node says goodbye, then the engine answers the rest.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use api::attempts::Attempts;
use api::{Site, SiteSetup};
use connector::mail::{Outbox, OutboxSetup, Patience};
use connector::outbound::Outbound;
use connector::{Hub, HubOptions, HubTask, RefusedAttempts, Tickets};
use engine::{Clock, Engine};
use futures_util::future::BoxFuture;
use projections::ReportIndex;
use secrets::Sealer;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::clock::SystemClock;
use crate::command_line::ServeOptions;
use crate::configuration::{self, Configuration};
use crate::control::{Carrier, Control, Order};
use crate::essential::{EssentialTasks, TaskEnded};
use crate::first_start::{self, FirstStart, Keep};
use crate::listen::{self, Bound, ConnectionCap, Listening};
use crate::logging;
use crate::mail_languages;
use crate::maintenance::{self, Maintenance};
use crate::node::{Node, Pulse};
use crate::opening::OpenSite;
use crate::place::{self, Place};
use crate::projections as rebuilding;
use crate::shown_certificate::Keeper;
use crate::tls::SiteAuthority;
use crate::trust;
use crate::upgrade;

/// How often agents are pinged.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Callers and routes whose refusals are told apart within a minute; beyond, they are counted together.
const ATTEMPTS_MAX: usize = 10_000;

/// Runs the server until it is told to stop.
///
/// # Errors
/// It can't start, or had to stop by itself.
pub async fn serve(options: &ServeOptions) -> Result<()> {
    let configuration = configuration::serve(options)?;
    logging::start(configuration.log_format);
    let signals = Signals::listen()?;
    let mut site = OpenSite::open(&configuration.place).await?;
    let outcome = serve_site(&configuration, &mut site, signals).await;
    site.close().await;
    tracing::info!("stopped");
    outcome
}

/// Serves a site that is open, until it is told to stop. Scenario tests open theirs with a clock of their own.
///
/// # Errors
/// It can't start, or had to stop by itself.
pub async fn serve_site(
    configuration: &Configuration,
    open: &mut OpenSite,
    mut signals: Signals,
) -> Result<()> {
    let place = &configuration.place;
    // Taken first: an address that can't be had is found out before anything is written.
    let https = listen::bind(configuration.listen).await?;
    let http = match configuration.listen_http {
        Some(address) => Some(listen::bind(address).await?),
        None => None,
    };
    let url = match &configuration.url {
        Some(url) => url.clone(),
        None => configuration::url_of(https.address),
    };
    let source = trust::Source::find(configuration, open).await?;
    begin_site(place, open).await?;
    let authority =
        SiteAuthority::load_or_make(&open.store, &open.sealer, SystemClock.now()).await?;
    place::write_certificate(place, authority.certificate_pem())?;
    let named = configuration.url.as_deref();
    trust::begin(&open.engine, &source, &authority, named, place.is_shared()).await?;
    let certificate = Keeper::begin(configuration, &open.engine, &url, authority).await?;

    let mut node = Node::begin(
        &open.engine,
        place.is_shared(),
        &configuration.node,
        configuration.url.as_deref(),
    )
    .await?;
    let parts = Parts {
        url,
        certificate,
        https,
        http,
    };
    let outcome = serve_node(configuration, open, &mut node, parts, &mut signals).await;
    node.end().await;
    if outcome.is_ok() {
        maintenance::write_last_snapshot(&open.engine).await;
    }
    outcome
}

/// What was made ready before the node began to run.
struct Parts {
    url: String,
    certificate: Keeper,
    https: Bound,
    http: Option<Bound>,
}

/// Everything that runs as long as the node does.
async fn serve_node(
    configuration: &Configuration,
    open: &mut OpenSite,
    node: &mut Node,
    parts: Parts,
    signals: &mut Signals,
) -> Result<()> {
    let Parts {
        url,
        certificate,
        https,
        http,
    } = parts;
    let place = &configuration.place;
    let engine = &open.engine.clone();
    let (stop, stopped) = watch::channel(false);
    let mut tasks = EssentialTasks::default();

    let mail_languages = Arc::new(mail_languages::load(&place.mail_languages())?);
    let report_index = ReportIndex::open(&open.store)
        .await
        .context("opening the report index")?;
    {
        let (index, mut stopped) = (report_index.clone(), stopped.clone());
        tasks.spawn("the report index", async move {
            // Why it stopped, it has logged; reports say so then, and everything else goes on.
            drop(index.follow(stopped.clone()).await);
            let _ = stopped.wait_for(|stop| *stop).await;
        });
    }
    let attempts = Arc::new(Attempts::new(Arc::clone(engine.clock()), ATTEMPTS_MAX));
    let (hub, mut hub_task) = hub(open, node, &attempts);
    let (tickets, mut tickets_task) = Tickets::start(engine.clone(), Outbound::default());
    tasks.spawn(
        "what closes agents when the node grows faint",
        close_agents_when_faint(hub.clone(), node.pulse(), stopped.clone()),
    );
    let site = Site::new(SiteSetup {
        engine: engine.clone(),
        report_index,
        hub: hub.clone(),
        tickets,
        sealer: Arc::clone(&open.sealer),
        limits: api::Limits::default(),
        public_url: configuration.url.clone(),
        attempts,
        agent_url: url.clone(),
        shown_certificate: certificate.shown(),
        agent_programs: configuration.agent_programs.clone(),
        mail_languages: Arc::clone(&mail_languages),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trusted_proxies: configuration.trusted_proxies.clone(),
        node: node.epoch().to_string(),
        shared: place.is_shared(),
    });
    tasks.spawn(
        "the count of refused attempts",
        Arc::clone(&site).run_attempt_recording(stopped.clone()),
    );
    // Alone it has nobody to tell.
    if place.is_shared() {
        let sharing = Arc::clone(&site).run_rate_sharing(stopped.clone());
        tasks.spawn("the count of calls", sharing);
    }
    tasks.spawn(
        "the console's streams",
        Arc::clone(&site).run_streams(stopped.clone()),
    );
    engine.serve_due_dates(node.due_dates());
    let outbox = Outbox::new(OutboxSetup {
        engine: engine.clone(),
        sealer: Arc::clone(&open.sealer),
        languages: mail_languages,
        url: url.clone(),
        patience: Patience::default(),
        installer_path: api::download::link::path,
    });
    tasks.spawn(
        "the outbox of mail",
        outbox.run(node.mail(), stopped.clone()),
    );

    let tls = certificate.certificate().server_config()?;
    let cap = ConnectionCap::new(configuration.connections_max);
    let routes = api::router(Arc::clone(&site));
    let mut https = listen::https(https, tls, routes.clone(), &cap);
    let mut http = http.map(|bound| listen::http(bound, routes, &cap));
    tasks.spawn(
        "what renews the certificate",
        certificate.run(signals.reload.take(), stopped.clone()),
    );
    let orders = Orders {
        engine: engine.clone(),
        sealer: Arc::clone(&open.sealer),
    };
    let mut control = Control::listen(place.control_socket(), Arc::new(orders))?;
    let mut maintenance = Maintenance::start(&configuration.maintenance, &site);
    announce(configuration, &url, &https, http.as_ref(), engine);

    let over = node.over();
    let outcome = tokio::select! {
        name = &mut signals.stop => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
        reason = over => Err(anyhow!("this run of the node is over: {reason}. Start it again")),
        halt = engine.halted() => Err(anyhow::Error::new(halt).context("the engine has stopped writing")),
        ended = https.ended() => Err(TaskEnded::of("the HTTPS listener", ended).into()),
        ended = ended_or_never(http.as_mut()) => Err(TaskEnded::of("the HTTP listener", ended).into()),
        ended = open.ended() => Err(TaskEnded::of("the engine", ended).into()),
        ended = node.ended() => Err(TaskEnded::of("the node's beat", ended).into()),
        ended = hub_task.ended() => Err(TaskEnded::of("the hub of agents", ended).into()),
        ended = tickets_task.ended() => Err(TaskEnded::of("what asks the ticket system", ended).into()),
        ended = control.ended() => Err(TaskEnded::of("the control socket", ended).into()),
        ended = maintenance.ended() => Err(TaskEnded::of("maintenance", ended).into()),
        ended = tasks.ended() => Err(ended.into()),
    };
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "stopping by itself");
    }

    // Agents and open consoles first: their sockets and streams are requests that never end by themselves.
    site.end_streams();
    hub_task.shut_down().await;
    let plain = async {
        if let Some(http) = http {
            http.shut_down().await;
        }
    };
    tokio::join!(https.shut_down(), plain);
    tickets_task.shut_down().await;
    control.shut_down().await;
    maintenance.shut_down().await;
    stop.send_replace(true);
    tasks.all_ended().await;
    outcome
}

/// Makes the site if there is none; its credentials are in a file before it is.
async fn begin_site(place: &Place, open: &OpenSite) -> Result<()> {
    let file = place.first_run();
    let is_new = open.engine.published().world.site.is_none();
    if is_new {
        let keep = Keep::In(&file);
        let made =
            first_start::make_site(&open.engine, &open.fresh, &open.sealer, "", keep).await?;
        match made {
            FirstStart::Made(_) => tracing::info!(
                file = %file.display(),
                "made the site; the administrator's password and the first API account are in this file: read it, then delete it"
            ),
            FirstStart::ThereAlready => {
                tracing::info!("another node made the site at the same moment")
            }
        }
    }
    // The engine has caught up with whoever was faster.
    let published = open
        .engine
        .as_fresh_as_the_log()
        .await
        .context("reading the log")?;
    first_start::remove_foreign_credentials(&file, &published.world)?;
    upgrade::note_build(&open.engine).await
}

fn hub(open: &OpenSite, node: &Node, attempts: &Arc<Attempts>) -> (Hub, HubTask) {
    let options = HubOptions {
        heartbeat: HEARTBEAT,
        refused_attempts: Some(Arc::clone(attempts) as Arc<dyn RefusedAttempts>),
    };
    Hub::new(
        open.engine.clone(),
        Arc::clone(&open.sealer),
        node.epoch(),
        options,
    )
}

/// A node that can't raise its beat closes its agents before the others give it up: they connect elsewhere.
async fn close_agents_when_faint(
    hub: Hub,
    mut pulse: watch::Receiver<Pulse>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            changed = pulse.changed() => if changed.is_err() { return },
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let now = *pulse.borrow_and_update();
        match now {
            Pulse::Faint => {
                tracing::error!("the node could not raise its beat for 7 s: its agents are closed");
                hub.close_all();
            }
            Pulse::Strong => {
                tracing::info!("the node beats again: agents may connect");
                hub.reopen();
            }
        }
    }
}

async fn ended_or_never(listening: Option<&mut Listening>) -> Result<()> {
    match listening {
        Some(listening) => listening.ended().await,
        None => std::future::pending().await,
    }
}

/// What a running server can be told over its socket.
struct Orders {
    engine: Engine,
    sealer: Arc<Sealer>,
}

impl Carrier for Orders {
    fn carry_out(&self, order: Order, progress: mpsc::Sender<u64>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match order {
                Order::Rebuild { name } => {
                    rebuilding::rebuild(self.engine.store(), &name, |position| {
                        // Whoever asked reads too slowly: progress is only told.
                        let _ = progress.try_send(position);
                    })
                    .await
                }
                Order::ResetAdministrator {
                    user,
                    reference,
                    sealed,
                } => {
                    // Whoever can seal has the key file.
                    let bound_to = format!("secret/{}", reference.0);
                    ensure!(
                        self.sealer.open(&sealed, bound_to.as_bytes()).is_ok(),
                        "the key file of the caller is not the one of this site"
                    );
                    first_start::reset(&self.engine, user, reference, sealed).await
                }
            }
        })
    }
}

fn announce(
    configuration: &Configuration,
    url: &str,
    https: &Listening,
    http: Option<&Listening>,
    engine: &Engine,
) {
    let place = &configuration.place;
    let published = engine.published();
    tracing::info!(
        address = %https.address,
        url,
        node = configuration.node,
        "serving HTTPS"
    );
    if configuration.tls.is_none() {
        tracing::info!(file = %place.authority_certificate().display(), "the site's own authority, for curl --cacert");
    }
    if let Some(http) = http {
        tracing::info!(address = %http.address, "serving HTTP for loopback and trusted proxies");
    }
    let first_run = place.first_run();
    if first_run.exists() {
        tracing::info!(file = %first_run.display(), "the first credentials still lie in this file");
    }
    if published.world.settings.xml_api_enabled {
        tracing::info!("the XML API is on (switch it off in the site's settings: xml_api_enabled)");
    } else {
        tracing::info!("the XML API is off");
    }
}

/// What a running server is told from outside.
pub struct Signals {
    /// Ends when the server is to stop, with the name of what said so.
    stop: BoxFuture<'static, &'static str>,
    /// SIGHUP: read the certificate's files anew.
    reload: Option<Signal>,
}

impl Signals {
    /// The signals of the process.
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("listening to signals");
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        Ok(Self {
            stop: Box::pin(stop),
            reload: Some(listen(SignalKind::hangup())?),
        })
    }

    /// No signal of the process: the server stops when `stop` ends.
    #[must_use]
    pub fn when(stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let stop = async move {
            stop.await;
            "asked"
        };
        Self {
            stop: Box::pin(stop),
            reload: None,
        }
    }
}
