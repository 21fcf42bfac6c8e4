//! Signing in and out of the console, and who one is.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::access::permission::{self, Effective};
use domain::ids::UserId;
use domain::record::Object;
use domain::site::user;
use domain::{Actor, Cause, Command, FieldErrors, Refusal, Surface, Timestamp};
use engine::{ExecuteError, Lane, Submission};
use secrets::SecretText;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::BASE;
use crate::console::badge::{self, Badge, BadgeText};
use crate::error::{JsonError, Problem};
use crate::json;
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// A refused sign-in is answered no sooner than this after it came: whether a user name exists can't be told by the time
/// that its refusal took to be written down.
pub const REFUSED_AFTER: Duration = Duration::from_millis(400);

/// Longest user name that is looked at, in characters.
const USERNAME_MAX: usize = 64;
/// Longest password that is looked at, in characters.
const PASSWORD_MAX: usize = 256;

/// The route that needs no badge.
pub(super) fn open_routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{BASE}/sign-in"),
            Access::Anyone,
            About::new("Sign in with user name and password")
                .takes("SignIn")
                .gives(Gives::One("SignedIn")),
            sign_in,
        )
        .open()
}

pub(super) fn routes_behind_the_gate(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{BASE}/sign-out"),
            Access::User,
            About::new("Sign out"),
            sign_out,
        )
        .route(
            Method::GET,
            &format!("{BASE}/me"),
            Access::User,
            About::new("Who is signed in").gives(Gives::One("Me")),
            me,
        )
}

/// What a sign-in carries.
struct Credentials {
    username: String,
    password: SecretText,
    bearer: bool,
}

impl Credentials {
    fn read(body: &Object) -> Result<Self, Problem> {
        let mut errors = FieldErrors::default();
        for name in body.keys() {
            if !["username", "password", "bearer"].contains(&name.as_str()) {
                errors.push(
                    name.chars().take(64).collect::<String>(),
                    "This field is not known.",
                );
            }
        }
        let username = text(body, "username", USERNAME_MAX, &mut errors);
        let password = text(body, "password", PASSWORD_MAX, &mut errors);
        let bearer = match body.get("bearer") {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => {
                errors.push("bearer", "The bearer field must be true or false.");
                false
            }
        };
        if errors.0.is_empty() {
            Ok(Self {
                username,
                password: SecretText::new(password),
                bearer,
            })
        } else {
            Err(Problem::invalid(errors))
        }
    }
}

fn text(body: &Object, name: &'static str, max: usize, errors: &mut FieldErrors) -> String {
    match body.get(name).and_then(Value::as_str) {
        Some(text) if text.chars().count() <= max => text.to_owned(),
        Some(_) => {
            errors.push(
                name,
                format!("The {name} field must not be longer than {max} characters."),
            );
            String::new()
        }
        None => {
            errors.push(name, format!("The {name} field is required."));
            String::new()
        }
    }
}

async fn sign_in(
    State(site): State<Arc<Site>>,
    peer: Peer,
    request: Request,
) -> Result<Response, JsonError> {
    let came = Instant::now();
    badge::check_origin(site.public_url.as_deref(), request.headers())?;
    let bytes = json::read_bytes(
        request.into_body(),
        site.limits.token_body_bytes_max,
        &site.limits,
    )
    .await?;
    let credentials = Credentials::read(&json::read_object(&bytes)?)?;
    let published = site
        .engine
        .as_fresh_as_the_log()
        .await
        .map_err(Problem::from)?;
    let known = Known(published);
    let answer = prove(&site, &known, peer, credentials).await;
    if answer
        .as_ref()
        .is_err_and(|problem| problem.status == StatusCode::UNAUTHORIZED)
    {
        sleep_until(came + REFUSED_AFTER).await;
    }
    Ok(answer?)
}

/// Does the same work for a user name that does not exist as for a wrong password, and says the same.
async fn prove(
    site: &Site,
    known: &Known,
    peer: Peer,
    credentials: Credentials,
) -> Result<Response, Problem> {
    let world = known.world();
    let user_id = world.user_named(&credentials.username);
    let user = user_id.and_then(|id| world.users.get(&id));
    let reference = user.and_then(|user| user.password.clone());
    let matches = site
        .password_matches(reference.as_ref(), &credentials.password)
        .await?;
    let (Some(user_id), Some(reference)) = (user_id, reference) else {
        return Err(refused(site, peer, Refusal::SignInFailed));
    };
    let badge = BadgeText::draw(user_id, &site.engine.fresh());
    let lifetime = badge::lifetime(world);
    let command = user::Command::SignIn {
        user: user_id,
        password_matches: matches,
    };
    let cause = Cause {
        // Until the password is proven, nobody is.
        actor: if matches {
            Actor::User(user_id)
        } else {
            Actor::Stranger
        },
        surface: Surface::ConsoleApi,
        address: Some(peer.address),
    };
    let side = badge::hand_out(&badge, reference, lifetime, &site.sealer);
    let submission = Submission::new(Command::User(command), cause, Lane::People).with_side(side);
    let done = match site.engine.execute(submission).await {
        Ok(done) => done,
        Err(ExecuteError::Refused {
            refusal: Refusal::SignInFailed,
            ..
        }) => return Err(refused(site, peer, Refusal::SignInFailed)),
        Err(error) => return Err(error.into()),
    };
    let published = site.engine.published();
    let user = permission::effective(&published.world, user_id).ok_or_else(badge::not_signed_in)?;
    let expires_at = done.decided_at.plus(lifetime);
    let mut body = shown(user_id, &user, expires_at, &badge, site);
    if credentials.bearer {
        body.insert("token".to_owned(), Value::from(badge.expose()));
    }
    let mut response = Answer::done(&done, body).into_response();
    if !credentials.bearer {
        add_cookie(&mut response, &badge::set_cookie(&badge, lifetime));
    }
    Ok(response)
}

/// Counted, and without the id of an event: only a user who exists has one, and a stranger is not to learn who does.
fn refused(site: &Site, peer: Peer, refusal: Refusal) -> Problem {
    let problem = Problem::from(refusal);
    site.attempts.count_stranger(
        peer.address,
        "POST /api/console/v1/sign-in",
        &problem.message,
    );
    problem
}

async fn sign_out(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Extension(badge): Extension<Badge>,
) -> Result<Response, JsonError> {
    let command = Command::User(user::Command::SignOut {
        user: badge.user,
        sign_in: badge.text.key(&site.sealer),
    });
    let side = badge::take_back(&badge.text, &site.sealer);
    let done = site
        .execute(&caller, &Change::default(), command, Some(side))
        .await?;
    let mut response = Answer::nothing(&done).into_response();
    add_cookie(&mut response, &badge::clear_cookie());
    Ok(response)
}

async fn me(
    State(site): State<Arc<Site>>,
    known: Known,
    Extension(badge): Extension<Badge>,
) -> Result<Answer<Object>, JsonError> {
    let user = permission::effective(known.world(), badge.user).ok_or_else(badge::not_signed_in)?;
    let body = shown(badge.user, &user, badge.expires_at, &badge.text, &site);
    Ok(Answer::known(&known.0, body))
}

fn shown(
    id: UserId,
    settings: &Effective<'_>,
    expires_at: Timestamp,
    badge: &BadgeText,
    site: &Site,
) -> Object {
    let user = settings.account;
    let body = json!({
        "id": id,
        "username": user.username,
        "public_display_name": user.public_display_name,
        "private_display_name": user.private_display_name,
        "email_address": user.email_address,
        "administrator": user.perm_admin,
        "may_access_endpoints": settings.may_access_endpoints(),
        "may_share_with_other_teams": settings.may_share_with_other_teams(),
        "may_invite_external_users": settings.may_invite_external_users(),
        "may_enable_extended_availability": settings.may_enable_extended_availability(),
        "may_edit_external_key": settings.may_edit_external_key(),
        "may_show_screen": settings.may_show_screen(),
        "may_give_control": settings.may_give_control(),
        "expires_at": expires_at.to_rfc3339(),
        "csrf": badge.csrf(&site.sealer),
    });
    match body {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn add_cookie(response: &mut Response, cookie: &str) {
    // Letters, digits and punctuation of ours: always a legal value.
    if let Ok(value) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}
