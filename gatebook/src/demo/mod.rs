//! `gatebook demo`: a small site with a past. The past is played through the engine with a clock of its own that ends
//! before now, by the same commands that people and agents send; nothing is written past the rules.

mod cast;
mod play;
mod story;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use domain::ids::{JumpClientId, JumpItemRef};
use domain::time::MINUTE;
use engine::Clock;
use link_protocol::AnchorList;
use serde::Serialize;
use serde_json::json;

use crate::clock::SystemClock;
use crate::command_line::DemoOptions;
use crate::configuration;
use crate::opening::OpenSite;
use crate::place::{self, Place};
use crate::tls::SiteAuthority;

use crate::virtual_clock::VirtualClock;

/// How long before now the story ends. What a newcomer begins with is made after it, in the minutes that follow.
const ENDS_BEFORE: i64 = 15 * MINUTE;

/// What `demo-agents.json` says: machines of the fleet whose agents are to be run for real, the first jump to one, and the
/// first request to approve.
#[derive(Serialize)]
struct Plan {
    agents: Vec<Agent>,
    first_jump: String,
    approve_first: String,
}

/// An agent that is to be run.
#[derive(Serialize)]
struct Agent {
    name: String,
    /// KEY_INFO of its installer.
    key: String,
    /// Where it keeps its identity, below the site's directory.
    state: String,
    #[serde(skip)]
    identity: Attempt,
}

/// A registration that has begun, as the agent keeps it in its folder.
struct Attempt {
    url: String,
    anchors: AnchorList,
    installer_id: String,
    /// What makes a repeated registration the same one.
    nonce: String,
}

impl Attempt {
    /// The file of the agent's state, as clients/agent/src/store.rs reads it.
    fn to_json(&self) -> serde_json::Value {
        json!({
            "v": 1, "urls": [self.url], "anchors": self.anchors,
            "attempt": {"installer_id": self.installer_id, "nonce": self.nonce},
        })
    }
}

/// A request that waits for an answer.
struct Pending {
    /// Who asked.
    who: &'static str,
    /// The approver's link.
    link: String,
    /// When its time is over.
    until: Timestamp,
    /// The badge that the jump is made with once it is approved, and the item it goes to.
    badge: secrets::SecretText,
    item: JumpClientId,
}

/// What the play leaves to be written down.
struct Played {
    agents: Vec<Agent>,
    /// `(username, password)` of everybody.
    people: Vec<(String, secrets::SecretText)>,
    /// The badge that the first jump is made with, and the item it goes to.
    badge: secrets::SecretText,
    item: JumpClientId,
    pending: Pending,
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
    output::message(format_args!(
        "the demonstration is in {}",
        place.directory().display()
    ));
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
    let first_run = place.first_run();
    let player = play::Player::new(site, clock.clone(), machines, &first_run);
    let played = player.play(steps, end, url, &authority).await?;

    let certificate = place.authority_certificate();
    place::write_certificate(place, authority.certificate_pem())?;
    let people: Vec<serde_json::Value> = played
        .people
        .iter()
        .map(|(username, password)| serde_json::json!({"username": username, "password": password.expose()}))
        .collect();
    write_json(&place.directory().join("demo-users.json"), &people)?;
    let certificate = std::fs::canonicalize(&certificate).unwrap_or(certificate);
    let jump = |badge: &secrets::SecretText, item: JumpClientId| {
        format!(
            "curl --silent --show-error --cacert '{}' -H 'Authorization: Bearer {}' {url}/api/console/v1/sessions --data '{{\"item\": \"{}\"}}'",
            certificate.display(),
            badge.expose(),
            JumpItemRef::JumpClient(item)
        )
    };
    let first_jump = jump(&played.badge, played.item);
    write_text(place, "first-jump.txt", &first_jump)?;
    let Pending {
        who,
        link,
        until,
        badge,
        item,
    } = &played.pending;
    let approve_first = format!(
        "# {who} asks for access until {}: open the link of the approver, and approve.\n{link}\n# After that, and not before, the jump works:\n{}",
        until.to_utc().format("%Y-%m-%d %H:%M UTC"),
        jump(badge, *item)
    );
    write_text(place, "approve-first.txt", &approve_first)?;
    for agent in &played.agents {
        let folder = place.directory().join(&agent.state);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("making {}", folder.display()))?;
        write_json(&folder.join("identity.json"), &agent.identity.to_json())?;
    }
    // Last, so that a demonstration that was interrupted is not taken for whole.
    write_json(
        &place.directory().join("demo-agents.json"),
        &Plan {
            agents: played.agents,
            first_jump,
            approve_first,
        },
    )
}

/// A file for whoever made the demonstration: there are credentials in it.
fn write_text(place: &Place, name: &str, text: &str) -> Result<()> {
    let file = place.directory().join(name);
    place::write_private(&file, format!("{text}\n").as_bytes())
        .with_context(|| format!("writing {}", file.display()))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    place::write_private(path, &text).with_context(|| format!("writing {}", path.display()))
}
