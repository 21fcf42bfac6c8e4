//! Signing in and out of the console, and who one is.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::access::permission::{self, Effective};
use domain::ids::UserId;
use domain::record::Object;
use domain::site::user;
use domain::site::user::sign_in::{Origin, SignIn, network_of};
use domain::{Actor, Cause, Command, FieldErrors, Refusal, Surface, Timestamp, World};
use engine::{ExecuteError, Lane, Submission};
use secrets::SecretText;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::user::{PASSWORD_CHARS_MAX, read_password};
use crate::console::BASE;
use crate::console::badge::{self, Badge, BadgeText, Carrier, Grant, NewPassword};
use crate::console::sign_in_limits::{Familiarity, device_cookie, device_of};
use crate::error::{JsonError, Problem};
use crate::json;
use crate::passwords::Source;
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// A refused sign-in is answered no sooner than this after it came: whether a user name exists can't be told by the time
/// that its refusal took to be written down.
pub const REFUSED_AFTER: Duration = Duration::from_millis(400);

/// Longest user name that is looked at, in characters.
const USERNAME_MAX: usize = 64;

/// The route that needs no badge.
pub(super) fn open_routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{BASE}/sign-in"),
            Access::Anyone,
            About::new(
                "Sign in with user name and password; with a new_password beside it, which takes its place",
            )
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
    /// What takes the place of the password with this sign-in.
    new_password: Option<Value>,
    bearer: bool,
}

impl Credentials {
    fn read(body: &Object) -> Result<Self, Problem> {
        let mut errors = FieldErrors::default();
        for name in body.keys() {
            if !["username", "password", "new_password", "bearer"].contains(&name.as_str()) {
                errors.push(
                    name.chars().take(64).collect::<String>(),
                    "This field is not known.",
                );
            }
        }
        let username = text(body, "username", USERNAME_MAX, &mut errors);
        let password = text(body, "password", PASSWORD_CHARS_MAX, &mut errors);
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
                new_password: body
                    .get("new_password")
                    .filter(|new| !new.is_null())
                    .cloned(),
                bearer,
            })
        } else {
            Err(Problem::invalid(errors))
        }
    }
}

pub(super) fn text(
    body: &Object,
    name: &'static str,
    max: usize,
    errors: &mut FieldErrors,
) -> String {
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
    let (parts, body) = request.into_parts();
    let bytes = json::read_bytes(body, site.limits.token_body_bytes_max, &site.limits).await?;
    let credentials = Credentials::read(&json::read_object(&bytes)?)?;
    let published = site
        .engine
        .as_fresh_as_the_log()
        .await
        .map_err(Problem::from)?;
    let known = Known(published);
    let user = known.world().user_named(&credentials.username);
    let attempt = Attempt {
        peer,
        user,
        username: credentials.username,
        origin: origin_of(&site, peer, &parts.headers, user),
        password: credentials.password,
        new_password: credentials.new_password,
        carrier: if credentials.bearer {
            Carrier::Bearer
        } else {
            Carrier::Cookie
        },
    };
    let answer = attempt.make(&site, &known).await;
    if answer
        .as_ref()
        .is_err_and(|problem| problem.status == StatusCode::UNAUTHORIZED)
    {
        sleep_until(came + REFUSED_AFTER).await;
    }
    Ok(answer?)
}

/// Where a sign-in as `user` comes from.
pub(super) fn origin_of(
    site: &Site,
    peer: Peer,
    headers: &HeaderMap,
    user: Option<UserId>,
) -> Origin {
    let now = site.engine.clock().now();
    Origin {
        network: network_of(peer.address),
        device: user.and_then(|user| device_of(headers, user, &site.sealer, now)),
    }
}

/// Somebody shows a password: to sign in, to change it, or both.
pub(super) struct Attempt {
    pub(super) peer: Peer,
    /// Who has the name.
    pub(super) user: Option<UserId>,
    pub(super) username: String,
    pub(super) origin: Origin,
    pub(super) password: SecretText,
    pub(super) new_password: Option<Value>,
    /// How the badge is handed out.
    pub(super) carrier: Carrier,
}

impl Attempt {
    /// Does the same work for a user name that does not exist as for a wrong password, and says the same.
    pub(super) async fn make(self, site: &Site, known: &Known) -> Result<Response, Problem> {
        let world = known.world();
        let matches = self.password_matches(site, world).await?;
        let Some(user) = self.user else {
            return Err(refused(site, self.peer, Refusal::SignInFailed));
        };
        let fresh = site.engine.fresh();
        let badge = BadgeText::draw(user, &site.sealer, &fresh);
        let lifetime = badge::lifetime(world);
        let mut command = SignIn::new(user, matches, self.origin.clone());
        let cause = Cause {
            // Until the password is proven, nobody is.
            actor: if matches {
                Actor::User(user)
            } else {
                Actor::Stranger
            },
            surface: Surface::ConsoleApi,
            address: Some(self.peer.address),
        };
        let mut side = None;
        if matches {
            let new_password = self.new_password(site, world, user).await?;
            command.new_password = new_password.as_ref().map(|new| new.reference.clone());
            let password = world
                .users
                .get(&user)
                .and_then(|user| user.password.clone());
            command.compared_with.clone_from(&password);
            side = password.map(|password| {
                let grant = Grant {
                    password,
                    new_password,
                    generation: world.sign_in_generation(user),
                    lifetime,
                };
                badge::hand_out(&badge, grant, &site.sealer)
            });
        }
        let command = Command::User(user::Command::SignIn(command));
        let mut submission = Submission::new(command, cause, Lane::People);
        if let Some(side) = side {
            submission = submission.with_side(side);
        }
        let done = match site.engine.execute(submission).await {
            Ok(done) if matches => done,
            Ok(_) => return Err(refused(site, self.peer, Refusal::SignInFailed)),
            Err(ExecuteError::Refused {
                refusal: refusal @ (Refusal::SignInFailed | Refusal::SignInLocked { .. }),
                ..
            }) => return Err(refused(site, self.peer, refusal)),
            Err(error) => return Err(error.into()),
        };
        let published = site.engine.published();
        let settings =
            permission::effective(&published.world, user).ok_or_else(badge::not_signed_in)?;
        let expires_at = done.decided_at.plus(lifetime);
        let mut body = shown(user, &settings, expires_at, &badge, site);
        if self.carrier == Carrier::Bearer {
            body.insert("token".to_owned(), Value::from(badge.expose()));
        }
        let mut response = Answer::done(&done, body).into_response();
        if self.carrier == Carrier::Cookie {
            let now = site.engine.clock().now();
            add_cookie(&mut response, &badge::set_cookie(&badge, lifetime));
            add_cookie(
                &mut response,
                &device_cookie(user, &site.sealer, &fresh, now),
            );
        }
        Ok(response)
    }

    /// Whether the password is the user's. It is not looked at while its source is locked or its network has failed too often.
    async fn password_matches(&self, site: &Site, world: &World) -> Result<bool, Problem> {
        let now = site.engine.clock().now();
        let source = self.origin.source();
        let network = &self.origin.network;
        let limits = &site.sign_in_limits;
        let locked = match self.user {
            Some(user) => world.sign_in_locked_for(user, &source, now),
            None => limits.unknown_locked_for(&self.username, &source, now),
        };
        if let Some(seconds) = locked {
            return Err(refused(site, self.peer, Refusal::SignInLocked { seconds }));
        }
        let is_known = self.origin.device.is_some()
            || self
                .user
                .is_some_and(|user| world.signs_in_from(user, network, now));
        let (familiarity, place) = if is_known {
            let name = format!("{} {source}", self.username.to_lowercase());
            (Familiarity::Known, Source::Known(name))
        } else {
            (Familiarity::Stranger, Source::Stranger(network.clone()))
        };
        // A browser that proved itself does not share a budget with its network.
        let budget = self.origin.device.as_ref().map_or(network, |_| &source);
        let reservation = limits
            .reserve(familiarity, budget, now)
            .map_err(|seconds| refused(site, self.peer, Refusal::SignInLocked { seconds }))?;
        let reference = self
            .user
            .and_then(|user| world.users.get(&user))
            .and_then(|user| user.password.as_ref());
        let matches = site
            .password_matches(reference, &self.password, &place)
            .await?;
        if !matches {
            reservation.spend();
            if self.user.is_none() {
                limits.unknown_failed(&self.username, &source, now);
            }
        }
        Ok(matches)
    }

    /// The new password, hashed and sealed, where one was given.
    async fn new_password(
        &self,
        site: &Site,
        world: &World,
        user: UserId,
    ) -> Result<Option<NewPassword>, Problem> {
        let Some(given) = &self.new_password else {
            return Ok(None);
        };
        let text = read_password("new_password", given, world)?;
        if text.expose() == self.password.expose() {
            let message = "The new_password must not be the present password.";
            return Err(Refusal::field("new_password", message).into());
        }
        let proven = Source::Proven(format!("user-{user}"));
        Ok(Some(NewPassword::seal(site, text, &proven).await?))
    }
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
