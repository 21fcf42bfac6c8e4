//! Mail templates: the text of each kind in each language, as shipped until an administrator sets another (POL-44, POL-48).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use domain::ids::MailTemplateId;
use domain::record::Object;
use domain::site::mail_template::{self, MailKind, MailTemplate, is_language};
use domain::{Command, FieldErrors, World};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/mail-templates");
    let one = format!("{path}/{{kind}}/{{language}}");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            ACCESS,
            About::new("Every mail template").gives(Gives::One("MailTemplates")),
            list,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("A mail template").gives(Gives::One("MailTemplate")),
            get,
        )
        .route(
            Method::PUT,
            &one,
            ACCESS,
            About::new("Sets subject and body of a mail template")
                .takes("MailTemplateText")
                .gives(Gives::One("MailTemplate")),
            set,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Puts a mail template back to what is shipped, or takes its language away"),
            reset,
        )
}

async fn list(State(site): State<Arc<Site>>, known: Known) -> Result<Answer<Value>, JsonError> {
    let world = known.world();
    let mut ids: BTreeSet<MailTemplateId> = world
        .mail_templates
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    for language in site.mail_languages.codes() {
        ids.extend(MailKind::ALL.map(|kind| MailTemplateId {
            kind,
            language: language.to_owned(),
        }));
    }
    let templates: Vec<Value> = ids
        .iter()
        .filter_map(|id| shown(&site, world, id).ok())
        .collect();
    Ok(Answer::known(&known.0, json!({"templates": templates})))
}

async fn get(
    State(site): State<Arc<Site>>,
    known: Known,
    Path(names): Path<(String, String)>,
) -> Result<Answer<Value>, JsonError> {
    let template = shown(&site, known.world(), &id_of(&names)?)?;
    Ok(Answer::known(&known.0, template))
}

async fn set(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Path(names): Path<(String, String)>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let id = id_of(&names)?;
    let template = read(&change.body)?;
    let command = Command::MailTemplate(mail_template::Command::Set(id.clone(), template));
    let done = site.execute(&caller, &change, command, None).await?;
    let body = shown(&site, &site.engine.published().world, &id)?;
    Ok(Answer::done(&done, body))
}

async fn reset(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Path(names): Path<(String, String)>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let id = id_of(&names)?;
    shown(&site, known.world(), &id)?;
    let command = Command::MailTemplate(mail_template::Command::Reset(id));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

fn not_found() -> Problem {
    Problem::not_found("Mail template")
}

fn id_of((kind, language): &(String, String)) -> Result<MailTemplateId, Problem> {
    let kind = kind.parse().map_err(|_| not_found())?;
    if !is_language(language) {
        return Err(not_found());
    }
    Ok(MailTemplateId {
        kind,
        language: language.clone(),
    })
}

/// What was read can be sent back; beside subject and body nothing of it counts.
fn read(body: &Object) -> Result<MailTemplate, Problem> {
    let mut errors = FieldErrors::default();
    for name in body.keys() {
        let is_known = [
            "subject",
            "body",
            "kind",
            "language",
            "as_shipped",
            "macros",
        ];
        if !is_known.contains(&name.as_str()) {
            errors.push(name.clone(), format!("The {name} field is not known."));
        }
    }
    let mut text = |name: &str| match body.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(_) => {
            errors.push(name, format!("The {name} field must be a string."));
            String::new()
        }
        None => {
            errors.push(name, format!("The {name} field is required."));
            String::new()
        }
    };
    let template = MailTemplate {
        subject: text("subject"),
        body: text("body"),
    };
    if errors.0.is_empty() {
        Ok(template)
    } else {
        Err(Problem::invalid(errors))
    }
}

fn shown(site: &Site, world: &World, id: &MailTemplateId) -> Result<Value, Problem> {
    let set = world.mail_templates.get(id);
    let template = set
        .or_else(|| site.mail_languages.template(id))
        .ok_or_else(not_found)?;
    let macros: Vec<String> = id
        .kind
        .macros()
        .iter()
        .map(|name| format!("%{name}%"))
        .collect();
    Ok(json!({
        "kind": id.kind,
        "language": id.language,
        "subject": template.subject,
        "body": template.body,
        "as_shipped": set.is_none(),
        "macros": macros,
    }))
}
