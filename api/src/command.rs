//! The Command API: `/api/command`, XML (CMD-01 to CMD-10, CMD-52 to CMD-58, HLTH-01 to HLTH-07). The commands about one
//! session are in [`session`], the one that makes shortcuts is in [`import`]; [`schema`] is the XML schema that every answer keeps.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use domain::Surface;
use domain::site::api_account::ApiAccount;

use crate::access::{self, Access, Permission};
use crate::caller::{Caller, Known};
use crate::error::Problem;
use crate::form::Parameters;
use crate::health;
use crate::route::{About, Gives, Routes, for_api_accounts};
use crate::site::Site;
use crate::xml::Document;
use crate::xml_answer;
use crate::xml_namespace;

mod import;
pub mod schema;
mod session;

/// The version of the documented API (CMD-56).
pub const API_VERSION: &str = "1.22.2";

const PATH: &str = "/api/command";

/// GET and POST mean the same (CMD-01); the schema is for anybody.
#[must_use]
pub fn routes(site: &Arc<Site>) -> Routes {
    let about = || About::new("Run a command of the Command API").gives(Gives::Text("text/xml"));
    let anyone = Access::ApiAccount(Permission::Any);
    let commands = Routes::new(site)
        .route(Method::GET, PATH, anyone, about(), answer)
        .route(Method::POST, PATH, anyone, about(), answer);
    let schema = Routes::new(site).route(
        Method::GET,
        "/api/command.xsd",
        Access::Anyone,
        About::new("The XML schema of the Command API's answers").gives(Gives::Text("text/xml")),
        schema::answer,
    );
    for_api_accounts(commands, None, Surface::CommandApi).merge(schema.open())
}

/// A command of the published list (CMD-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    GetApiInformation,
    CheckHealth,
    ImportJumpShortcut,
    /// One about a session.
    Session(session::Action),
    /// One that this version can't run yet.
    NotYet(&'static str),
}

/// Every published command with the permission it needs (CMD-08 to CMD-12, HLTH-01, HLTH-10).
const ACTIONS: &[(&str, Permission)] = &[
    ("get_api_info", Permission::Any),
    ("check_health", Permission::CommandRead),
    ("get_logged_in_reps", Permission::CommandRead),
    ("get_session_attributes", Permission::CommandRead),
    ("get_connected_client_list", Permission::CommandRead),
    ("get_connected_clients", Permission::CommandRead),
    ("join_session", Permission::CommandFull),
    ("set_session_attributes", Permission::CommandFull),
    ("import_jump_shortcut", Permission::CommandFull),
    ("terminate_session", Permission::CommandFull),
    ("set_failover_role", Permission::CommandFull),
    ("set_rep_status", Permission::CommandFull),
    ("send_chat_message", Permission::CommandFull),
];

impl Action {
    fn named(name: &str) -> Option<(Self, Permission)> {
        let (name, permission) = ACTIONS.iter().find(|(known, _)| *known == name)?;
        let action = match *name {
            "get_api_info" => Self::GetApiInformation,
            "check_health" => Self::CheckHealth,
            "import_jump_shortcut" => Self::ImportJumpShortcut,
            other => session::Action::ALL
                .iter()
                .find(|(known, _)| *known == other)
                .map_or(Self::NotYet(other), |(_, action)| Self::Session(*action)),
        };
        Some((action, *permission))
    }
}

async fn answer(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    request: Request,
) -> Response {
    let settings = &known.world().settings;
    let namespace = xml_namespace::of(Surface::CommandApi, settings).unwrap_or_default();
    let error = |message: &str| xml_answer::error(namespace, message);
    let parameters = match Parameters::read(request, site.limits.body_within).await {
        Ok(parameters) => parameters,
        Err(unreadable) => return Problem::from(unreadable).to_xml(namespace),
    };
    let Some(name) = parameters.get("action") else {
        return error("The parameter action is required.");
    };
    let Some((action, permission)) = Action::named(name) else {
        return error("The action is not known.");
    };
    let needed = Access::ApiAccount(permission);
    let route = format!("{PATH} {}", name_of(action));
    if let Err(problem) = access::require(&site, &caller, &known, needed, &route).await {
        return problem.to_xml(namespace);
    }
    let document = match action {
        Action::GetApiInformation => api_information(&site, &caller, &known, namespace),
        Action::CheckHealth => health_check(&site, &known, namespace).await,
        Action::ImportJumpShortcut => {
            match import::run(&site, &caller, &known, &parameters, namespace).await {
                Ok(document) => document,
                Err(problem) => return in_words(problem).to_xml(namespace),
            }
        }
        Action::Session(action) => {
            match action
                .run(&site, &caller, &known, &parameters, namespace)
                .await
            {
                Ok(document) => document,
                Err(problem) => return in_words(problem).to_xml(namespace),
            }
        }
        Action::NotYet(name) => {
            return error(&format!("The action {name} is not available yet."));
        }
    };
    xml_answer::document(document)
}

fn name_of(action: Action) -> &'static str {
    match action {
        Action::GetApiInformation => "get_api_info",
        Action::CheckHealth => "check_health",
        Action::ImportJumpShortcut => "import_jump_shortcut",
        Action::Session(action) => action.name(),
        Action::NotYet(name) => name,
    }
}

/// The words of a problem for an `<error>`: what is wrong with which parameter, where that is known.
fn in_words(mut problem: Problem) -> Problem {
    let wrong: Vec<&str> = problem
        .errors
        .0
        .iter()
        .map(|(_, message)| message.as_str())
        .collect();
    if !wrong.is_empty() {
        problem.message = wrong.join(" ");
    }
    problem
}

/// CMD-52 to CMD-57.
fn api_information(site: &Site, caller: &Caller, known: &Known, namespace: &str) -> Vec<u8> {
    let nobody = ApiAccount::default();
    let account = known.account(caller).unwrap_or(&nobody);
    let mut document = Document::new();
    document.open("api_information", &[("xmlns", namespace)]);
    document.leaf("api_version", &[], API_VERSION);
    document.leaf("company_name", &[], &known.world().settings.company_name);
    document.leaf("build", &[], &site.version);
    document.number("timestamp", site.engine.clock().now().unix_seconds());
    document.open("permissions", &[]);
    for (name, value) in permissions(account) {
        document.leaf("permission", &[("name", name)], value);
    }
    document.finish()
}

/// `perm_reporting` and `perm_reporting_support` are one right under the guide's and the field's name (CMD-57).
fn permissions(account: &ApiAccount) -> [(&'static str, &str); 11] {
    let flag = |on: bool| if on { "1" } else { "0" };
    let reporting = flag(account.perm_reporting_support);
    [
        ("perm_backup", flag(account.perm_backup)),
        ("perm_command", account.perm_command.as_str()),
        ("perm_configuration", flag(account.perm_configuration)),
        (
            "perm_configuration_vault_account",
            flag(account.perm_configuration_vault_account),
        ),
        ("perm_ecm", flag(account.perm_ecm)),
        ("perm_reporting", reporting),
        ("perm_reporting_support", reporting),
        (
            "perm_reporting_license",
            flag(account.perm_reporting_license),
        ),
        ("perm_reporting_vault", flag(account.perm_reporting_vault)),
        ("perm_vault_backup", flag(account.perm_vault_backup)),
        ("perm_scim", flag(account.perm_scim)),
    ]
}

/// HLTH-02 to HLTH-07. There is no failover without a second role, so everything about it but the role itself is absent.
async fn health_check(site: &Site, known: &Known, namespace: &str) -> Vec<u8> {
    let illness = health::diagnose(site).await.err();
    let id = known
        .world()
        .site
        .as_ref()
        .map_or("", |site| site.site_id.as_str());
    let mut document = Document::new();
    document.open("health_check", &[("xmlns", namespace)]);
    document.leaf("appliance", &[("id", id)], site.own_host());
    document.leaf("version", &[], &site.version);
    document.leaf("success", &[], if illness.is_none() { "1" } else { "0" });
    let problem = illness
        .map(|illness| illness.to_string())
        .or_else(|| health::warnings(site).next().map(str::to_owned));
    if let Some(problem) = problem {
        document.leaf("error_message", &[], &problem);
    }
    document.leaf("failover_role", &[], "none");
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CMD-05
    #[test]
    fn all_thirteen_published_commands_are_known() {
        assert_eq!(ACTIONS.len(), 13);
        for (name, _) in ACTIONS {
            assert_eq!(
                Action::named(name).map(|(action, _)| name_of(action)),
                Some(*name)
            );
        }
        assert_eq!(Action::named("get_support_teams"), None);
    }
}
