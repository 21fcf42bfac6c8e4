//! What is attached to a session, and what happens inside it (SESS-36, REP-44 to REP-54).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use domain::ids::Lsid;
use domain::session::access_session::{self, SetAttributes};
use domain::session::details::{Category, Detail, File, Kind, Record, Toward};
use domain::{Command, Refusal};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::change::Change;
use crate::console::BASE;
use crate::console::fields::Fields;
use crate::console::items::user_of;
use crate::console::named::Named;
use crate::console::session_members::do_it;
use crate::console::sessions::{hide_what_is_not_theirs, session_of, shown};
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let one = format!("{BASE}/sessions/{{lsid}}");
    Routes::new(site)
        .route(
            Method::PATCH,
            &format!("{one}/attributes"),
            Access::User,
            About::new("Attach attributes and the external key; null takes one away")
                .takes("SessionAttributes")
                .gives(Gives::One("Session")),
            set_attributes,
        )
        .route(
            Method::POST,
            &format!("{one}/details"),
            Access::User,
            About::new("Record something that happened in the session").takes("SessionDetail"),
            record_detail,
        )
}

async fn set_attributes(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let mut fields = Fields::of(&change.body);
    let external_key = fields.text("external_key");
    let mut attributes: BTreeMap<String, Option<String>> = BTreeMap::new();
    match fields.take("attributes") {
        None => {}
        Some(Value::Object(members)) => {
            for (name, value) in members {
                match value {
                    Value::Null => {
                        attributes.insert(name.clone(), None);
                    }
                    Value::String(value) => {
                        attributes.insert(name.clone(), Some(value.clone()));
                    }
                    _ => fields.wrong("attributes", "An attribute must be a string or null."),
                }
            }
        }
        Some(_) => fields.wrong("attributes", "The attributes field must be an object."),
    }
    let command = fields.finish(Some(SetAttributes {
        lsid,
        attributes,
        external_key,
    }))?;
    let command = Command::AccessSession(access_session::Command::SetAttributes(command));
    site.execute(&caller, &change, command, None)
        .await
        .map_err(hide_what_is_not_theirs)?;
    let published = site.engine.published();
    let session = session_of(&published.world, user, lsid).ok_or(Refusal::SessionNotActive)?;
    Ok(Answer::known(&published, shown(&site, user, lsid, session)))
}

async fn record_detail(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(lsid): Named<Lsid>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let mut fields = Fields::of(&change.body);
    let detail = detail(&mut fields);
    let detail = fields.finish(detail)?;
    let record = Box::new(Record { lsid, detail });
    let command = access_session::Command::RecordDetail(record);
    do_it(&site, &caller, &change, command).await
}

fn detail(fields: &mut Fields<'_>) -> Option<Detail> {
    let kind: Option<Kind> = parsed(fields, "kind");
    if kind.is_none() && fields.take("kind").is_none() {
        fields.wrong("kind", "The kind field is required.");
    }
    let toward: Option<Toward> = parsed(fields, "toward");
    let body = fields.text("body");
    let files: Vec<File> = parsed(fields, "files").unwrap_or_default();
    let values: BTreeMap<String, String> = parsed(fields, "values").unwrap_or_default();
    let system_information: Vec<Category> =
        parsed(fields, "system_information").unwrap_or_default();
    let kind = kind?;
    // In the order of the kind; what it does not know comes last and is refused by name.
    let known = kind.form().values;
    let mut values: Vec<(String, String)> = values.into_iter().collect();
    values.sort_by_key(|(name, _)| {
        known
            .iter()
            .position(|known| known == name)
            .unwrap_or(known.len())
    });
    Some(Detail {
        toward,
        body,
        files,
        values,
        system_information,
        ..Detail::new(kind)
    })
}

/// A member that has a form of its own.
fn parsed<T: DeserializeOwned>(fields: &mut Fields<'_>, name: &'static str) -> Option<T> {
    let value = fields.take(name)?;
    match T::deserialize(value) {
        Ok(read) => Some(read),
        Err(_) => {
            fields.wrong(name, format!("The {name} field does not have its form."));
            None
        }
    }
}
