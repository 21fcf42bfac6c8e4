//! API accounts, for administrators: the published API can only read them (AUTH-09 to AUTH-11, AUTH-22 to AUTH-26).
//!
//! A client secret is shown in the one answer that made it and kept as a keyed hash, sealed. A repeat of that request by its
//! Idempotency-Key gets the first answer without the secret: it is not there any more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::Command;
use domain::ids::ApiAccountId;
use domain::record::{self, Object, Record};
use domain::site::api_account::{self, ApiAccount};
use engine::{Done, Side};
use secrets::SecretText;
use serde_json::Value;

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::resource::{PathId, Resource, accepted, location_in_list, made_by};
use crate::console::BASE;
use crate::console::administration::{ACCESS, records};
use crate::credential::{new_client_secret, new_reference, put_away, seal_client_secret};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/api-accounts");
    records::<ApiAccount>(site, &path)
        .route(
            Method::POST,
            &path,
            ACCESS,
            About::new("Creates one and shows its client secret, this once")
                .takes("ApiAccount")
                .gives(Gives::Created("ApiAccountWithSecret")),
            create,
        )
        .route(
            Method::POST,
            &format!("{path}/{{id}}/regenerate-secret"),
            ACCESS,
            About::new("Puts a new client secret in place of the old, ends all tokens, and shows it, this once")
                .gives(Gives::One("ApiAccountWithSecret")),
            regenerate_secret,
        )
}

/// A secret that was drawn, and how it is put away.
struct Drawn {
    secret: SecretText,
    reference: domain::ids::SecretRef,
    side: Side,
}

fn draw(site: &Site) -> Drawn {
    // From one draw for the reference and another for the secret: the one is in the log.
    let reference = new_reference(&site.engine.fresh());
    let secret = new_client_secret(&site.engine.fresh());
    let side = put_away(
        &reference,
        seal_client_secret(&site.sealer, &reference, &secret),
    );
    Drawn {
        secret,
        reference,
        side,
    }
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let mut body = accepted::<ApiAccount>(&change.body, &known)?;
    let drawn = draw(&site);
    body.insert(
        "client_secret".to_owned(),
        Value::from(drawn.reference.0.clone()),
    );
    let command = Command::ApiAccount(api_account::Command::Record(record::Command::Create(body)));
    let done = site
        .execute(&caller, &change, command, Some(drawn.side))
        .await?;
    let (id, account) = made_by::<ApiAccount>(&done)?;
    let mut shown = account.show(&site, &site.engine.published().world, id);
    show_secret(&mut shown, &done, &drawn.secret);
    Ok(Answer::created(
        &done,
        location_in_list(&parts, &site, id),
        shown,
    ))
}

async fn regenerate_secret(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(account): PathId<ApiAccountId>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let drawn = draw(&site);
    let command = Command::ApiAccount(api_account::Command::RegenerateSecret {
        account,
        client_secret: drawn.reference,
    });
    let done = site
        .execute(&caller, &change, command, Some(drawn.side))
        .await?;
    let published = site.engine.published();
    let kept = ApiAccount::find(&published.world, account)
        .ok_or_else(|| Problem::not_found(ApiAccount::TITLE))?;
    let mut shown = kept.show(&site, &published.world, account);
    show_secret(&mut shown, &done, &drawn.secret);
    Ok(Answer::done(&done, shown))
}

fn show_secret(shown: &mut Object, done: &Done, secret: &SecretText) {
    if !done.repeated {
        shown.insert("client_secret".to_owned(), Value::from(secret.expose()));
    }
}
