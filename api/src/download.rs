//! Installers as files (INST-16, INST-17): for API accounts, for users who may deploy, and for whoever was given the Direct
//! Download Link. Beside them, what helps with a mass deployment: the command lines (INST-58), the profile for Macs (INST-55).
//!
//! - [`platform`]: for which systems, and how the files are named; [`programs`]: the agent programs they are made of
//! - [`link`]: the link that needs no sign-in; [`turns`]: how many download at once

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::World;
use domain::fleet::installer::{self, JumpClientInstaller};
use domain::ids::{JumpClientInstallerId, SecretRef};
use domain::record::Record;
use link_protocol::package::{self, Described, Descriptor};
use link_protocol::parameters::MayOverride;
use serde_json::Value;

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known, Principal};
use crate::configuration::resource;
use crate::console;
use crate::error::{JsonError, Problem};
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

mod help;
pub mod link;
mod mac_profile;
pub mod platform;
pub mod programs;
mod sending;
pub(crate) mod turns;

use platform::{Made, Platform};
use turns::Turn;

/// What is said of every link that is not good.
const NO_LINK: &str = "This link is not valid, or the time of its installer is over.";

const EXECUTABLE: Gives = Gives::Text("application/x-executable");

/// The route for API accounts, among those of the Configuration API.
pub(crate) fn configuration_route(routes: Routes) -> Routes {
    routes.route(
        Method::GET,
        &format!(
            "{}/{{id}}/{{platform}}",
            resource::path_of::<JumpClientInstaller>()
        ),
        resource::ACCESS,
        About::new("Downloads the installer for a platform; it is named by its installer_id.")
            .gives(EXECUTABLE),
        for_account,
    )
}

/// The routes for users who signed in.
pub(crate) fn console_routes(site: &Arc<Site>) -> Routes {
    let base = console::BASE;
    Routes::new(site)
        .route(
            Method::GET,
            &format!("{base}/jump-client-installers/{{id}}/download/{{platform}}"),
            Access::User,
            About::new("Downloads the installer for a platform").gives(EXECUTABLE),
            for_user,
        )
        .route(
            Method::GET,
            &format!("{base}/mass-deploy-help"),
            Access::User,
            About::new("The command lines of a mass deployment, and the platforms there are")
                .gives(Gives::Text("application/json")),
            mass_deploy_help,
        )
        .route(
            Method::GET,
            &format!("{base}/mass-deploy-help/mac-profile"),
            Access::User,
            About::new("The configuration profile for managed Macs")
                .gives(Gives::Text(mac_profile::MEDIA_TYPE)),
            mac_profile_file,
        )
}

/// The Direct Download Link.
pub(crate) fn open_routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::GET,
            &format!("{}/{{token}}", link::PATH),
            Access::Anyone,
            About::new("Leads to the installer for the system of the browser")
                .gives(Gives::Nothing),
            for_browser,
        )
        .route(
            Method::GET,
            &format!("{}/{{token}}/{{platform}}", link::PATH),
            Access::Anyone,
            About::new("Downloads an installer by its Direct Download Link").gives(EXECUTABLE),
            for_anyone,
        )
        .open()
}

async fn for_account(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Path((id, platform)): Path<(String, String)>,
) -> Result<Response, JsonError> {
    let installer = installer_of(known.world(), &id)?;
    let turn = || site.downloads.of_caller(&caller);
    Ok(download(&site, known.world(), installer, &platform, turn).await?)
}

async fn for_user(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Path((id, platform)): Path<(String, String)>,
) -> Result<Response, JsonError> {
    let Principal::User(user) = caller.principal else {
        return Err(Problem::access_denied().into());
    };
    // An installer is the right to put machines into its group (INST-62): others do not learn that it is there.
    let installer = id
        .parse()
        .ok()
        .and_then(|id| known.world().installers.get(&JumpClientInstallerId(id)))
        .filter(|one| installer::may_handle(known.world(), user, one.group()).is_ok())
        .ok_or_else(|| Problem::not_found(JumpClientInstaller::TITLE))?;
    let turn = || site.downloads.of_caller(&caller);
    Ok(download(&site, known.world(), installer, &platform, turn).await?)
}

async fn for_browser(
    State(site): State<Arc<Site>>,
    peer: Peer,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Result<Response, JsonError> {
    let id = verified(&site, peer, &token)?;
    let published = site.engine.as_fresh_as_the_log().await?;
    let installer = linked(&site, &published.world, peer, &id)?;
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let path = link::path(
        &site.sealer,
        &installer.installer_id,
        platform::of_browser(agent).key,
    );
    let location = HeaderValue::try_from(path).map_err(|_| Problem::internal())?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

async fn for_anyone(
    State(site): State<Arc<Site>>,
    peer: Peer,
    Path((token, platform)): Path<(String, String)>,
) -> Result<Response, JsonError> {
    let id = verified(&site, peer, &token)?;
    let published = site.engine.as_fresh_as_the_log().await?;
    let installer = linked(&site, &published.world, peer, &id)?;
    let turn = || site.downloads.of_link(peer.address, &id);
    Ok(download(&site, &published.world, installer, &platform, turn).await?)
}

/// The id of the installer that a link is for, if this site made the link. What no link of ours is, costs the database nothing.
fn verified(site: &Site, peer: Peer, token: &str) -> Result<String, Problem> {
    link::verify(&site.sealer, token).ok_or_else(|| no_link(site, peer))
}

/// The installer of a link, if the link is good now.
fn linked<'w>(
    site: &Site,
    world: &'w World,
    peer: Peer,
    installer_id: &str,
) -> Result<&'w JumpClientInstaller, Problem> {
    world
        .installer_with(installer_id)
        .and_then(|id| world.installers.get(&id))
        .filter(|installer| installer.usable(world, site.engine.clock().now()).is_ok())
        .ok_or_else(|| no_link(site, peer))
}

fn no_link(site: &Site, peer: Peer) -> Problem {
    site.attempts
        .count_stranger(peer.address, link::PATH, NO_LINK);
    Problem::new(StatusCode::NOT_FOUND, "not_found", NO_LINK)
}

fn installer_of<'w>(world: &'w World, id: &str) -> Result<&'w JumpClientInstaller, Problem> {
    world
        .installer_with(id)
        .and_then(|id| world.installers.get(&id))
        .ok_or_else(|| Problem::not_found(JumpClientInstaller::TITLE))
}

async fn download(
    site: &Arc<Site>,
    world: &World,
    installer: &JumpClientInstaller,
    platform: &str,
    turn: impl FnOnce() -> Option<Turn>,
) -> Result<Response, Problem> {
    // One whose time is over, or that an upgrade made invalid, makes no files any more (INST-04, INST-08).
    installer.usable(world, site.engine.clock().now())?;
    let platform = platform::named(platform).ok_or_else(|| {
        let known: Vec<&str> = platform::PLATFORMS.iter().map(|known| known.key).collect();
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_platform",
            format!(
                "There is no such platform. The platforms are {}.",
                known.join(", ")
            ),
        )
    })?;
    let turn = turn().ok_or_else(|| {
        Problem::unavailable(
            "Too many installers are being downloaded. Please try again later.",
            Duration::from_secs(30),
        )
    })?;
    let (program, program_bytes) = site.agent_programs.open(platform).await?;
    let head = match platform.made {
        Made::AsItIs => Vec::new(),
        Made::Package(_) => head(site, installer, platform, program_bytes).await?,
    };
    sending::Download {
        head,
        program,
        program_bytes,
        summed: matches!(platform.made, Made::Package(_)),
        file_name: platform.file_name(&installer.installer_id),
        turn,
    }
    .answer()
}

/// What comes before the program in a package.
async fn head(
    site: &Site,
    installer: &JumpClientInstaller,
    platform: &Platform,
    program_bytes: u64,
) -> Result<Vec<u8>, Problem> {
    let Made::Package(kind) = platform.made else {
        return Ok(Vec::new());
    };
    let descriptor = Descriptor::new(Described {
        kind,
        platform: platform.key.to_owned(),
        site: site.own_host().to_owned(),
        installer_id: installer.installer_id.clone(),
        key_info: key_of(site, installer).await?,
        valid_until_ms: u64::try_from(installer.expiration_timestamp.0 / 1_000).unwrap_or(0),
        may_override: may_override(installer),
        start_minimized: installer.start_customer_client_minimized,
    });
    let (bytes, _) = package::head(&descriptor, program_bytes).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the configured URL or the agent program makes no package"
        );
        Problem::internal()
    })?;
    Ok(bytes)
}

fn may_override(installer: &JumpClientInstaller) -> MayOverride {
    MayOverride {
        name: installer.allow_override_name,
        jump_group: installer.allow_override_jump_group,
        jump_policy: installer.allow_override_jump_policy,
        session_policy: installer.allow_override_session_policy,
        max_offline_minutes: installer.allow_override_max_offline_minutes,
        tag: installer.allow_override_tag,
        comments: installer.allow_override_comments,
    }
}

/// Where the secret of an installer is kept: under the installer's own id, which nobody could guess.
pub(crate) fn secret_of(installer_id: &str) -> SecretRef {
    SecretRef(installer_id.to_owned())
}

/// KEY_INFO of an installer.
async fn key_of(
    site: &Site,
    installer: &JumpClientInstaller,
) -> Result<link_protocol::Secret, Problem> {
    let secret = site
        .secret_text(&secret_of(&installer.installer_id))
        .await?;
    let secret = secret.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "key_not_kept",
            "The key of this installer was not kept. Create a new installer.",
        )
    })?;
    write_key(
        site,
        &installer.installer_id,
        link_protocol::Secret::new(secret.expose()),
    )
}

/// KEY_INFO with this id and secret.
pub(crate) fn write_key(
    site: &Site,
    installer_id: &str,
    secret: link_protocol::Secret,
) -> Result<link_protocol::Secret, Problem> {
    site.installer_key(installer_id, secret).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the site's addresses and trust anchors make no installer key"
        );
        Problem::internal()
    })
}

async fn mass_deploy_help(
    State(site): State<Arc<Site>>,
    known: Known,
    headers: HeaderMap,
) -> Result<Answer<Value>, JsonError> {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let first = platform::of_browser(agent);
    let mut has = Vec::new();
    for platform in platform::PLATFORMS {
        has.push(site.agent_programs.has(platform).await);
    }
    Ok(Answer::known(
        &known.0,
        help::page(site.own_host(), first, &has),
    ))
}

async fn mac_profile_file(State(site): State<Arc<Site>>) -> Result<Response, JsonError> {
    let signing = site.agent_programs.mac_signing.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "This site has no signed macOS client: its operator names the certificate in [mac_signing] of the configuration file.",
        )
    })?;
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static(mac_profile::MEDIA_TYPE),
        ),
        (
            CONTENT_DISPOSITION,
            HeaderValue::try_from(format!(
                "attachment; filename=\"{}\"",
                mac_profile::FILE_NAME
            ))
            .map_err(|_| Problem::internal())?,
        ),
    ];
    Ok((headers, mac_profile::profile(signing)).into_response())
}
