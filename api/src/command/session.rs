//! The commands about one session: its attributes, another user in it, its end (CMD-20 to CMD-31, SESS-35).

use std::collections::BTreeMap;

use domain::ids::{Lsid, UserId};
use domain::session::access_session::{self, AccessSession, EXTERNAL_KEY, Join, SetAttributes};
use domain::{Command, Refusal, World};

use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::error::Problem;
use crate::form::Parameters;
use crate::site::Site;
use crate::xml::{self, Document};

/// What stands before the code name of an attribute in a parameter's name.
const CUSTOM: &str = "session.custom.";
/// What the external key is called among attributes (CMD-29).
const EXTERNAL_KEY_TITLE: &str = "External Key";
/// What stands for an address or a program that is not known: the user comes by an API account's word.
const UNKNOWN: &str = "Unknown";

/// A command about one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    GetAttributes,
    SetAttributes,
    Join,
    Terminate,
}

impl Action {
    /// All of them by name.
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("get_session_attributes", Self::GetAttributes),
        ("set_session_attributes", Self::SetAttributes),
        ("join_session", Self::Join),
        ("terminate_session", Self::Terminate),
    ];

    pub(super) fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, action)| *action == self);
        named.map_or("", |(name, _)| name)
    }

    /// Runs the command; the answer is its document.
    pub(super) async fn run(
        self,
        site: &Site,
        caller: &Caller,
        known: &Known,
        parameters: &Parameters,
        namespace: &str,
    ) -> Result<Vec<u8>, Problem> {
        let lsid = lsid(parameters)?;
        let command = match self {
            Self::GetAttributes => {
                let session = active(known.world(), lsid)?;
                return Ok(attributes_of(known.world(), session, namespace));
            }
            Self::SetAttributes => set_attributes(lsid, parameters)?,
            Self::Join => access_session::Command::Join(Join {
                lsid,
                user: user(parameters, known.world())?,
                address: UNKNOWN.to_owned(),
                user_system: UNKNOWN.to_owned(),
                // Whom the Jump Policy names is told; the API account answers for it that the user knows.
                notification_consent: true,
            }),
            Self::Terminate => access_session::Command::End { lsid },
        };
        let command = Command::AccessSession(command);
        site.execute(caller, &Change::default(), command, None)
            .await
            .map_err(|error| *error.0)?;
        let success = |text| xml::single("success", &[("xmlns", namespace)], text);
        Ok(success(match self {
            Self::GetAttributes | Self::SetAttributes => "Session attributes were set",
            Self::Join => "Successfully joined",
            Self::Terminate => "Successfully terminated",
        }))
    }
}

/// SESS-20: whatever is no session id names no session.
fn lsid(parameters: &Parameters) -> Result<Lsid, Problem> {
    let text = parameters
        .get("lsid")
        .ok_or_else(|| Problem::malformed("The parameter lsid is required."))?;
    let named: Result<Lsid, _> = text.parse();
    named.map_err(|_| Refusal::SessionNotActive.into())
}

fn active(world: &World, lsid: Lsid) -> Result<&AccessSession, Problem> {
    let session = world.sessions.get(&lsid);
    session.ok_or_else(|| Refusal::SessionNotActive.into())
}

fn user(parameters: &Parameters, world: &World) -> Result<UserId, Problem> {
    let text = parameters
        .get("user_id")
        .ok_or_else(|| Problem::malformed("The parameter user_id is required."))?;
    let user = text.parse().ok().map(UserId);
    user.filter(|user| world.users.contains(user))
        .ok_or_else(|| Problem::not_found("User"))
}

/// CMD-21, CMD-22, CMD-25: an empty value takes an attribute away; what is not named stays.
fn set_attributes(lsid: Lsid, parameters: &Parameters) -> Result<access_session::Command, Problem> {
    let mut attributes: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut external_key = None;
    for (name, value) in parameters.iter() {
        match name.strip_prefix(CUSTOM) {
            Some(EXTERNAL_KEY) => external_key = Some(value.to_owned()),
            Some(code_name) => {
                let value = Some(value).filter(|value| !value.is_empty());
                attributes.insert(code_name.to_owned(), value.map(str::to_owned));
            }
            None if matches!(name, "action" | "lsid") => {}
            None => {
                let shown: String = name.chars().take(64).collect();
                return Err(Problem::malformed(format!(
                    "The parameter {shown} is not known."
                )));
            }
        }
    }
    if attributes.is_empty() && external_key.is_none() {
        return Err(Problem::malformed("No session attribute is given."));
    }
    Ok(access_session::Command::SetAttributes(SetAttributes {
        lsid,
        attributes,
        external_key,
    }))
}

/// CMD-27, CMD-29.
fn attributes_of(world: &World, session: &AccessSession, namespace: &str) -> Vec<u8> {
    let mut document = Document::new();
    document.open("custom_attributes", &[("xmlns", namespace)]);
    let mut tell = |display_name: &str, code_name: &str, value: &str| {
        document.leaf(
            "custom_attribute",
            &[("display_name", display_name), ("code_name", code_name)],
            value,
        );
    };
    for (code_name, value) in &session.attributes {
        let display_name = world
            .session_attribute_named(code_name)
            .and_then(|id| world.custom_session_attributes.get(&id))
            .map_or(code_name.as_str(), |attribute| {
                attribute.display_name.as_str()
            });
        tell(display_name, code_name, value);
    }
    if !session.external_key.is_empty() {
        tell(EXTERNAL_KEY_TITLE, EXTERNAL_KEY, &session.external_key);
    }
    document.finish()
}
