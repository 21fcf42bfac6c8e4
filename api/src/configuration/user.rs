//! `user`: users of the site. Their permissions are shown here and written elsewhere.
//!
//! Passwords come in and never go out: kept is an argon2 hash, sealed. An API account may give a new user a password but not
//! change one, nor anything of an administrator, so a stolen token is not a way to become one (threat D).

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::access::permission::Effective;
use domain::ids::UserId;
use domain::record::{self, Object};
use domain::site::user::{self, User};
use domain::{Command, Event, Refusal, World};
use secrets::SecretText;
use serde_json::Value;

use super::listing::filter_text;
use super::resource::{
    self, ACCESS, Fixed, PathId, Resource, accepted, changed, location, made_by, path_of,
};
use crate::access::record_refusal;
use crate::answer::Answer;
use crate::caller::{Caller, Known, Principal};
use crate::change::Change;
use crate::console::badge::NewPassword;
use crate::credential::{new_reference, put_away, seal_password, unguessable};
use crate::error::{JsonError, Problem};
use crate::passwords::Source;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

impl Resource for User {
    const PATH: &'static str = "user";
    const SCHEMA: &'static str = "User";
    const FIXED: &'static [(&'static str, Fixed)] = &[
        ("two_factor_enabled", Fixed::False),
        ("fido2_credential_count", Fixed::Zero),
        ("perm_admin_pushagents", Fixed::False),
        ("perm_view_vault_reports", Fixed::Word("not_allowed")),
        ("perm_view_syslog_reports", Fixed::False),
        ("perm_view_sd_recordings", Fixed::False),
        ("perm_edit_sd_teams", Fixed::False),
        ("perm_edit_canned_scripts", Fixed::False),
        ("perm_edit_custom_rep_links", Fixed::False),
        ("perm_sd_static_port_for_external_tools", Fixed::False),
        ("perm_vault", Fixed::False),
        ("perm_endpoint_automation", Fixed::Word("not_allowed")),
    ];

    fn rows(world: &World) -> impl Iterator<Item = (UserId, &Self)> {
        world.users.iter().map(|(id, user)| (*id, user))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::User(user::Command::Record(command))
    }

    fn text_of<'r>(&'r self, _world: &'r World, _id: UserId, member: &str) -> Cow<'r, str> {
        let text = match member {
            "username" => &self.username,
            "public_display_name" => &self.public_display_name,
            "email_address" => &self.email_address,
            "security_provider_id" => return self.security_provider_id.to_string().into(),
            _ => return filter_text(record::to_object(self).get(member)).into(),
        };
        text.as_str().into()
    }

    /// Permissions are shown as they count, after group policies.
    fn show(&self, _site: &Site, world: &World, id: UserId) -> Object {
        let mut shown = record::render(id, self);
        if let Some(block) = Effective::of(world, id).and_then(|settings| settings.block()) {
            for (name, value) in record::to_object(block) {
                if shown.contains_key(&name) {
                    shown.insert(name, value);
                }
            }
            let access = if block.perm_access_allowed {
                "full_support"
            } else {
                "not_allowed"
            };
            shown.insert("perm_access_allowed".to_owned(), access.into());
        }
        resource::show_fixed::<Self>(&mut shown);
        shown
    }

    fn made(event: &Event) -> Option<(UserId, &Self)> {
        match event {
            Event::User(id, user::Event::Record(record::Event::Created(user))) => Some((*id, user)),
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let path = path_of::<User>();
    let routes = resource::read_routes::<User>(site)
        .route(
            Method::POST,
            &path,
            ACCESS,
            About::new("Creates a user; without a password a random one is set.")
                .takes(User::SCHEMA)
                .gives(Gives::Created(User::SCHEMA)),
            create,
        )
        .route(
            Method::PATCH,
            &format!("{path}/{{id}}"),
            ACCESS,
            About::new(
                "Changes the members given; the password, and anything of an administrator, only for administrators who signed in.",
            )
                .takes(User::SCHEMA)
                .gives(Gives::One(User::SCHEMA)),
            change,
        );
    resource::delete_route::<User>(routes)
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let mut body = accepted::<User>(&change.body, &known)?;
    let password = match body.remove("password") {
        None | Some(Value::Null) => unguessable(&site.engine.fresh(), 32),
        Some(value) => read_password("password", &value, known.world())?,
    };
    let fresh = site.engine.fresh();
    let reference = new_reference(&fresh);
    body.insert("password".to_owned(), reference.0.clone().into());
    let command = User::command(record::Command::Create(body));
    // What the rules refuse anyway is not worth the work of a hash.
    if let Err(refusal) = site.engine.rehearse(&command, &caller.cause()) {
        if change.is_keyed() {
            // A repeat of what was done already is refused by the rules and answered by its key.
            tracing::debug!("a keyed request goes on although its rehearsal was refused");
        } else {
            return Err(refusal.into());
        }
    }
    let proven = Source::Proven(caller.name());
    let hash = site.passwords.hash(password, &fresh, &proven).await?;
    let side = put_away(&reference, seal_password(&site.sealer, &reference, &hash));
    let done = site.execute(&caller, &change, command, Some(side)).await?;
    let (id, user) = made_by::<User>(&done)?;
    let shown = user.show(&site, &site.engine.published().world, id);
    Ok(Answer::created(&done, location::<User>(&parts, &site, id), shown).tagged())
}

async fn change(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(id): PathId<UserId>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let mut body = accepted::<User>(&change.body, &known)?;
    // `null` stands for "not given": an answer never holds the password, so a client that sends one back has none.
    let password = body.remove("password").filter(|value| !value.is_null());
    if let (Some(password), Principal::User(_)) = (&password, caller.principal) {
        return change_with_password(&site, &caller, &known, &change, (id, body, password)).await;
    }
    if password.is_some() {
        let problem = Problem::forbidden(
            "password_change_not_allowed",
            "An API account may not change the password of a user.",
        );
        return Err(record_refusal(&site, &caller, problem, "user.change")
            .await
            .into());
    }
    let change = resource::of_record::<User>(&site, change, id);
    let command = User::command(record::Command::Change(id, body));
    let done = site.execute(&caller, &change, command, None).await?;
    changed::<User>(&site, &done, id)
}

/// An administrator who signed in sets the password of somebody else beside what changes; their own needs the present one.
async fn change_with_password(
    site: &Site,
    caller: &Caller,
    known: &Known,
    change: &Change,
    (id, mut body, password): (UserId, Object, &Value),
) -> Result<Answer<Object>, JsonError> {
    if caller.principal == Principal::User(id) {
        return Err(Refusal::OwnPassword.into());
    }
    let text = read_password("password", password, known.world())?;
    let new = NewPassword::seal(site, text, &Source::Proven(caller.name())).await?;
    body.insert("password".to_owned(), new.reference.0.clone().into());
    let side = put_away(&new.reference, new.sealed);
    let command = User::command(record::Command::Change(id, body));
    let done = site.execute(caller, change, command, Some(side)).await?;
    changed::<User>(site, &done, id)
}

/// Reads the password in the member `field` against its limits: the table's longest, the site's shortest.
///
/// # Errors
/// 422 naming the field; the password is in no message.
pub fn read_password(
    field: &'static str,
    value: &Value,
    world: &World,
) -> Result<SecretText, Refusal> {
    let wrong = |message: String| Refusal::field(field, message);
    let text = value
        .as_str()
        .ok_or_else(|| wrong(format!("The {field} field must be a string.")))?;
    let length = text.chars().count();
    let shortest = world.settings.password_length_min as usize;
    if length < shortest {
        return Err(wrong(format!(
            "The {field} field must be at least {shortest} characters."
        )));
    }
    if text.chars().all(char::is_whitespace) {
        return Err(wrong(format!("The {field} field must not be only blanks.")));
    }
    if length > PASSWORD_CHARS_MAX {
        return Err(wrong(format!(
            "The {field} field must not be longer than {PASSWORD_CHARS_MAX} characters."
        )));
    }
    Ok(SecretText::new(text))
}

/// Most characters of a password (config-api.md 2.7, User).
pub const PASSWORD_CHARS_MAX: usize = 256;
