//! `gatebook demo`: a small site with a past. The past is played through the engine with a clock of its own that ends
//! before now, by the same commands that people and agents send; nothing is written past the rules.

mod cast;
mod play;
mod story;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use domain::time::MINUTE;
use engine::Clock;
use serde::Serialize;

use crate::clock::SystemClock;
use crate::command_line::DemoOptions;
use crate::configuration::{self, AgentTrust};
use crate::opening::OpenSite;
use crate::place::{self, Place};
use crate::tls::SiteAuthority;
use crate::trust;
use crate::virtual_clock::VirtualClock;

/// How long before now the past ends.
const ENDS_BEFORE: i64 = 10 * MINUTE;

/// What `demo-agents.json` says: machines of the fleet whose agents are to be run for real, and the first jump to one.
#[derive(Serialize)]
struct Plan {
    agents: Vec<Agent>,
    first_jump: String,
}

/// An agent that is to be run.
#[derive(Serialize)]
struct Agent {
    name: String,
    /// KEY_INFO of its installer.
    key: String,
    /// Where it keeps its identity, below the site's directory.
    state: String,
}

/// What the play leaves to be written down.
struct Played {
    agents: Vec<Agent>,
    /// `(username, password)` of everybody.
    people: Vec<(String, secrets::SecretText)>,
    /// The badge that the first jump is made with, and the item it goes to.
    badge: secrets::SecretText,
    item: String,
}

/// Makes the demonstration.
///
/// # Errors
/// There is a site already, or it can't be written.
pub async fn make(options: &DemoOptions) -> Result<()> {
    let place = configuration::place(&options.place)?;
    let url = configuration::server_url(options.url.clone())?;
    let end = SystemClock.now().plus(-ENDS_BEFORE);
    let machines = cast::machines();
    let steps = story::tell(&machines, end, options.seed);
    let begin = steps.first().map_or(end, |(at, _)| *at);
    let clock = VirtualClock::new(begin);
    let site = OpenSite::open_with(&place, Arc::new(clock.clone()), |fresh| fresh).await?;
    let outcome = async {
        ensure!(
            site.engine.published().world.site.is_none(),
            "{} holds a site already: name an empty directory",
            place.directory().display()
        );
        play(&place, &site, &clock, &machines, steps, end, &url).await
    }
    .await;
    site.close().await;
    outcome?;
    eprintln!("the demonstration is in {}", place.directory().display());
    Ok(())
}

async fn play(
    place: &Place,
    site: &OpenSite,
    clock: &VirtualClock,
    machines: &[cast::Machine],
    steps: Vec<story::Timed>,
    end: Timestamp,
    url: &str,
) -> Result<()> {
    let authority =
        SiteAuthority::load_or_make(&site.store, &site.sealer, SystemClock.now()).await?;
    let anchors = trust::anchors(&AgentTrust::Site, &authority, &site.store, &site.sealer).await?;
    let first_run = place.first_run();
    let player = play::Player::new(site, clock.clone(), machines, &first_run);
    let played = player.play(steps, end, url, anchors).await?;

    let certificate = place.authority_certificate();
    place::write_certificate(place, authority.certificate_pem())?;
    let people: Vec<serde_json::Value> = played
        .people
        .iter()
        .map(|(username, password)| serde_json::json!({"username": username, "password": password.expose()}))
        .collect();
    write_json(&place.directory().join("demo-users.json"), &people)?;
    let certificate = std::fs::canonicalize(&certificate).unwrap_or(certificate);
    let first_jump = format!(
        "curl --silent --show-error --cacert '{}' -H 'Authorization: Bearer {}' {url}/api/console/v1/sessions --data '{{\"item\": \"{}\"}}'",
        certificate.display(),
        played.badge.expose(),
        played.item
    );
    let file = place.directory().join("first-jump.txt");
    place::write_private(&file, format!("{first_jump}\n").as_bytes())
        .with_context(|| format!("writing {}", file.display()))?;
    // Last, so that a demonstration that was interrupted is not taken for whole.
    write_json(
        &place.directory().join("demo-agents.json"),
        &Plan {
            agents: played.agents,
            first_jump,
        },
    )
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    place::write_private(path, &text).with_context(|| format!("writing {}", path.display()))
}
