//! Jump Client installers as the wizard and its list have them (INST-01, INST-11 to INST-17): for administrators, and for users
//! where they may deploy (INST-62). What the published Configuration API has no place for is here: the minimised start
//! (INST-22), extending, mailing the link.
//!
//! - [`installer_list`](super::installer_list): which are listed, and how each is shown
//! - [`crate::download`]: the files themselves

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use domain::fleet::capacity::capacity;
use domain::fleet::installer::{
    self, JumpClientInstaller, MailLink, RECIPIENTS_MAX, VALID_MINUTES_DEFAULT, VALID_MINUTES_MAX,
    VALID_MINUTES_MIN,
};
use domain::ids::JumpClientInstallerId;
use domain::record::{self, Field, Kind, Object, Purpose, Reading, Record};
use domain::{Command, Event, Refusal, World};
use engine::{Done, ExecuteError, Side};
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::installer::{INTERNAL_ALWAYS, forget_secret, make};
use crate::configuration::resource::{self, PathId, Resource, location_in_list, read_fields};
use crate::console::BASE;
use crate::console::fields::Fields;
use crate::console::installer_list::{self, Query, handled, view};
use crate::console::items::user_of;
use crate::download::platform::{self, Platform};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Shown above the list until it is dismissed (INST-15).
pub const ONE_CLIENT_A_SYSTEM: &str = "Installing more than one Jump Client on the same system is being phased out in a future release. In the Access Console you may use the copy action on a Jump Client to apply different policies to the same endpoint.";

/// Said where an installer with a session policy is for clients without a screen (INST-63): advice, nothing is refused.
pub const HEADLESS_SESSION_POLICY: &str = "It is recommended to set no session policy on headless Jump Clients: nobody is there to answer its prompts.";

/// How many clients a minute are best deployed (INST-43): advice, nothing is refused.
pub const CLIENTS_PER_MINUTE_ADVISED: u32 = 60;

/// The body by which an installer is extended.
pub const EXTENSION: &[Field] = &[Field::new(
    "valid_duration",
    Kind::Integer {
        min: VALID_MINUTES_MIN,
        max: VALID_MINUTES_MAX,
    },
    "How long it shall be valid from now on, in minutes; only later than it is.",
)
.required()];

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/jump-client-installers");
    let one = format!("{all}/{{id}}");
    Routes::new(site)
        .route(
            Method::GET,
            &all,
            Access::User,
            About::new("The installers that the caller may handle: searched, sorted, by page")
                .gives(Gives::One("JumpClientInstallerPage"))
                .filters(installer_list::PARAMETERS.iter().collect()),
            list,
        )
        .route(
            Method::GET,
            &format!("{all}/wizard"),
            Access::User,
            About::new("What the wizard offers: platforms, limits, advice")
                .gives(Gives::One("JumpClientInstallerWizard")),
            wizard,
        )
        .route(
            Method::POST,
            &all,
            Access::User,
            About::new("Creates an installer; its key is in this answer only")
                .takes("JumpClientInstallerForm")
                .gives(Gives::Created("JumpClientInstallerMade")),
            create,
        )
        .route(
            Method::GET,
            &one,
            Access::User,
            About::new("One installer").gives(Gives::One("JumpClientInstallerView")),
            get,
        )
        .route(
            Method::DELETE,
            &one,
            Access::User,
            About::new("Deletes an installer; clients that it brought stay"),
            delete,
        )
        .route(
            Method::POST,
            &format!("{one}/extend"),
            Access::User,
            About::new("Moves the end of an installer's time later, at most a year from now")
                .takes("JumpClientInstallerExtension")
                .gives(Gives::One("JumpClientInstallerView")),
            extend,
        )
        .route(
            Method::POST,
            &format!("{one}/mail"),
            Access::User,
            About::new("Mails the Direct Download Link to one or more recipients")
                .takes("JumpClientInstallerMail")
                .gives(Gives::One("JumpClientInstallerMailed")),
            mail,
        )
}

/// The members of a body that makes an installer.
#[must_use]
pub fn form() -> Vec<Field> {
    JumpClientInstaller::FIELDS
        .iter()
        .filter(|field| !INTERNAL_ALWAYS.contains(&field.name))
        .copied()
        .collect()
}

async fn list(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let query = Query::read(parts.uri.query().unwrap_or_default()).map_err(Problem::invalid)?;
    let now = site.engine.clock().now();
    let mut page = installer_list::page(&site, known.world(), user, &query, now);
    page["warning"] = ONE_CLIENT_A_SYSTEM.into();
    page["warning_is_dismissible"] = true.into();
    Ok(Answer::known(&known.0, page).warned(vec![ONE_CLIENT_A_SYSTEM]))
}

async fn wizard(
    caller: Caller,
    known: Known,
    headers: HeaderMap,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let platforms: Vec<Value> = platform::PLATFORMS
        .iter()
        .map(|platform| {
            json!({
                "key": platform.key,
                "title": platform.title,
                "is_headless": is_headless(platform),
                "brings_key": platform.brings_key(),
                "key_advice": platform.key_advice(),
            })
        })
        .collect();
    // How large the fleet is concerns those who administer it.
    let jump_clients = world.is_administrator(user).then(|| {
        let (limits, installed) = (capacity(&world.settings), world.installed_clients());
        json!({
            "installed": installed.total, "installed_max": limits.total,
            "active": installed.active, "active_max": limits.active,
        })
    });
    let body = json!({
        "platforms": platforms,
        "default_platform": platform::of_browser(agent).key,
        "valid_duration": {
            "min": VALID_MINUTES_MIN, "max": VALID_MINUTES_MAX, "default": VALID_MINUTES_DEFAULT,
        },
        "recipients_max": RECIPIENTS_MAX,
        "jump_clients": jump_clients,
        "clients_per_minute_advised": CLIENTS_PER_MINUTE_ADVISED,
        "warning": ONE_CLIENT_A_SYSTEM,
    });
    Ok(Answer::known(&known.0, body))
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let body = read_fields(
        &form(),
        None,
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let made = make(&site, &caller, &change, body).await?;
    let (id, installer) = resource::made_by::<JumpClientInstaller>(&made.done)?;
    let published = site.engine.published();
    let now = site.engine.clock().now();
    let mut shown = view(&site, &published.world, user, id, installer, now);
    // A repeated request is answered with what was made the first time; the key was in that answer.
    shown["key_info"] = json!(made.key.as_ref().map(link_protocol::Secret::expose));
    shown["warnings"] = json!(warnings(installer, None));
    let location = location_in_list(&parts, &site, id);
    Ok(Answer::created(&made.done, location, shown))
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(id): PathId<JumpClientInstallerId>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let installer = handled(known.world(), user, id).ok_or_else(gone)?;
    let now = site.engine.clock().now();
    let shown = view(&site, known.world(), user, id, installer, now);
    Ok(Answer::known(&known.0, shown))
}

async fn delete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(id): PathId<JumpClientInstallerId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let reach = Reach::of(&caller, known.world(), id, &change)?;
    let command = JumpClientInstaller::command(record::Command::Delete(reach.id));
    let side = forget_secret(known.world(), reach.id);
    let done = reach
        .execute_with(&site, &caller, &change, command, side)
        .await?;
    Ok(Answer::nothing(&done))
}

async fn extend(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(id): PathId<JumpClientInstallerId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let reach = Reach::of(&caller, known.world(), id, &change)?;
    let body = read_fields(
        EXTENSION,
        None,
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let command = Command::Installer(installer::Command::Extend {
        installer: reach.id,
        valid_minutes: body["valid_duration"].as_i64().unwrap_or_default(),
    });
    let done = reach.execute(&site, &caller, &change, command).await?;
    let published = site.engine.published();
    let installer = handled(&published.world, user, reach.id).ok_or_else(gone)?;
    let now = site.engine.clock().now();
    let shown = view(&site, &published.world, user, reach.id, installer, now);
    Ok(Answer::done(&done, shown))
}

async fn mail(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(id): PathId<JumpClientInstallerId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let reach = Reach::of(&caller, known.world(), id, &change)?;
    let link = read_link(reach.id, &change.body, known.world())?;
    let platform = platform::named(&link.platform);
    let warnings = known
        .world()
        .installers
        .get(&reach.id)
        .map(|installer| warnings(installer, platform))
        .unwrap_or_default();
    let command = Command::Installer(installer::Command::Mail(link));
    let done = reach.execute(&site, &caller, &change, command).await?;
    let body = json!({"mails": mails_of(&done), "warnings": warnings});
    Ok(Answer::done(&done, body))
}

/// Reads `{"recipients": [addresses], "platform": key, "language": code}`; without a language the site's own.
fn read_link(
    installer: JumpClientInstallerId,
    body: &Object,
    world: &World,
) -> Result<MailLink, Refusal> {
    let mut fields = Fields::of(body);
    let recipients = match fields.take("recipients") {
        Some(Value::Array(addresses)) => addresses
            .iter()
            .map(|address| address.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>(),
        _ => None,
    };
    if recipients.is_none() {
        fields.wrong(
            "recipients",
            format!("The recipients field must hold 1 to {RECIPIENTS_MAX} addresses."),
        );
    }
    let key = fields.text("platform").unwrap_or_default();
    let platform = platform::named(&key);
    if platform.is_none() {
        let known: Vec<&str> = platform::PLATFORMS.iter().map(|known| known.key).collect();
        fields.wrong(
            "platform",
            format!("The platform must be one of: {}.", known.join(", ")),
        );
    }
    let language = fields.text("language");
    let language = language.unwrap_or_else(|| world.mail_settings.default_language.clone());
    let read = recipients
        .zip(platform)
        .map(|(recipients, platform)| MailLink {
            installer,
            platform: platform.key.to_owned(),
            platform_title: platform.title.to_owned(),
            recipients,
            language,
        });
    fields.finish(read)
}

fn mails_of(done: &Done) -> Vec<Value> {
    done.events
        .iter()
        .filter_map(|event| match event {
            Event::MailDelivery(id, _) => Some(json!(id.to_string())),
            _ => None,
        })
        .collect()
}

/// The installer of a path, for whoever may handle it or may have handled it (INST-62).
struct Reach {
    id: JumpClientInstallerId,
    /// Whether the caller may handle it now.
    is_handled: bool,
}

impl Reach {
    /// What is out of the caller's reach is not there. A request with a key may be a repeat, which gets its first answer whatever
    /// became of the installer since: only the engine knows.
    fn of(
        caller: &Caller,
        world: &World,
        id: JumpClientInstallerId,
        change: &Change,
    ) -> Result<Self, JsonError> {
        let is_handled = handled(world, user_of(caller)?, id).is_some();
        if is_handled || change.is_keyed() {
            Ok(Self { id, is_handled })
        } else {
            Err(gone())
        }
    }

    /// Executes a command about it. Why the rules refuse strangers would tell them whether it is there, and of which group.
    async fn execute(
        &self,
        site: &Site,
        caller: &Caller,
        change: &Change,
        command: Command,
    ) -> Result<Done, JsonError> {
        self.execute_with(site, caller, change, command, None).await
    }

    /// The same with rows beside its events.
    async fn execute_with(
        &self,
        site: &Site,
        caller: &Caller,
        change: &Change,
        command: Command,
        side: Option<Side>,
    ) -> Result<Done, JsonError> {
        let executed = site.execute_plainly(caller, change, command, side).await;
        executed.map_err(|error| match error {
            ExecuteError::Refused { .. } if !self.is_handled => gone(),
            error => error.into(),
        })
    }
}

fn gone() -> JsonError {
    Problem::not_found(JumpClientInstaller::TITLE).into()
}

/// What whoever makes or hands out an installer should know. Without a platform, what holds for some of them.
fn warnings(installer: &JumpClientInstaller, platform: Option<&Platform>) -> Vec<&'static str> {
    let may_be_headless = platform.is_none_or(is_headless);
    (installer.session_policy_id.is_some() && may_be_headless)
        .then_some(HEADLESS_SESSION_POLICY)
        .into_iter()
        .collect()
}

fn is_headless(platform: &Platform) -> bool {
    platform.key.ends_with("-headless")
}
