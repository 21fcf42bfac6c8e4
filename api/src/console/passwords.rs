//! Passwords: one's own, changed by showing the present one; those of others, set by administrators.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use domain::ids::UserId;
use domain::record::{Field, Kind, Purpose, Reading};
use domain::site::user;
use domain::{Command, Refusal, World};
use secrets::SecretText;
use serde_json::Value;

use crate::access::{Access, record_refusal};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::resource::{PathId, read_fields};
use crate::configuration::user::{PASSWORD_CHARS_MAX, read_password};
use crate::console::BASE;
use crate::console::badge::{Badge, NewPassword, not_signed_in};
use crate::console::items::user_of;
use crate::console::sign_in::{Attempt, origin_of};
use crate::credential::{new_reference, put_away, seal_password};
use crate::error::{JsonError, Problem};
use crate::passwords::Source;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

const SECRET: Kind = Kind::Secret {
    max: PASSWORD_CHARS_MAX,
};

/// The body that changes one's own password.
pub const OWN: &[Field] = &[
    Field::new("password", SECRET, "The present password.").required(),
    Field::new("new_password", SECRET, "The password that takes its place.").required(),
];

/// The body that sets the password of somebody else.
pub const OF_ANOTHER: &[Field] = &[
    Field::new("password", SECRET, "The new password.").required(),
    Field::new(
        "password_reset_next_login",
        Kind::Boolean,
        "Whether the user must change it at the next sign-in; true where absent.",
    ),
];

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{BASE}/me/password"),
            Access::User,
            About::new(
                "Changes one's own password; ends all sign-ins and signs in anew, in the way the call came",
            )
            .takes("PasswordChange")
            .gives(Gives::One("SignedIn")),
            change_own,
        )
        .route(
            Method::PUT,
            &format!("{BASE}/users/{{id}}/password"),
            Access::User,
            About::new(
                "Sets the password of somebody else and unlocks them; for administrators and who may set passwords",
            )
            .takes("PasswordOfAnother"),
            set_of_another,
        )
}

impl NewPassword {
    /// Hashes and seals a password under a new reference.
    ///
    /// # Errors
    /// 503 when too many passwords wait.
    pub async fn seal(site: &Site, text: SecretText, source: &Source) -> Result<Self, Problem> {
        let fresh = site.engine.fresh();
        let reference = new_reference(&fresh);
        let hash = site.passwords.hash(text, &fresh, source).await?;
        Ok(Self {
            sealed: seal_password(&site.sealer, &reference, &hash),
            reference,
        })
    }
}

async fn change_own(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Extension(badge): Extension<Badge>,
    headers: HeaderMap,
    change: Change,
) -> Result<Response, JsonError> {
    let body = read_fields(
        OWN,
        None,
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let username = username_of(known.world(), badge.user).ok_or_else(not_signed_in)?;
    let attempt = Attempt {
        peer: caller.peer,
        user: Some(badge.user),
        username,
        origin: origin_of(&site, caller.peer, &headers, Some(badge.user)),
        password: SecretText::new(body["password"].as_str().unwrap_or_default()),
        new_password: body.get("new_password").cloned(),
        carrier: badge.carrier,
    };
    let answer = attempt.make(&site, &known).await;
    answer.map_err(|problem| match problem.code {
        // Who asks is known; 401 would have the console show its sign-in.
        "sign_in_failed" => Refusal::field(
            "password",
            "The password field is not the present password.",
        )
        .into(),
        _ => problem.into(),
    })
}

fn username_of(world: &World, user: UserId) -> Option<String> {
    world.users.get(&user).map(|user| user.username.clone())
}

async fn set_of_another(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(user): PathId<UserId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let body = read_fields(
        OF_ANOTHER,
        None,
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let text = read_password("password", &body["password"], known.world())?;
    let reset_next_login = body
        .get("password_reset_next_login")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let command = |password| {
        Command::User(user::Command::SetPassword {
            user,
            password,
            reset_next_login,
        })
    };
    // What the rules refuse anyway is not worth the work of a hash.
    let reference = new_reference(&site.engine.fresh());
    let asked = command(reference);
    if let Err(refusal) = site.engine.rehearse(&asked, &caller.cause()) {
        let problem = Problem::from(refusal);
        return Err(if problem.status == StatusCode::FORBIDDEN {
            record_refusal(&site, &caller, problem, asked.name())
                .await
                .into()
        } else {
            problem.into()
        });
    }
    let proven = Source::Proven(format!("user-{}", user_of(&caller)?));
    let new = NewPassword::seal(&site, text, &proven).await?;
    let side = put_away(&new.reference, new.sealed);
    let done = site
        .execute(&caller, &change, command(new.reference), Some(side))
        .await?;
    Ok(Answer::nothing(&done))
}
