//! What happens inside a session, as reports tell it (REP-44 to REP-54, REP-84): a typed list with bounded sizes.
//!
//! The beginning, the end, and who comes and goes are events of the session itself and are not recorded here. Nothing of a
//! detail is kept in the world.

use serde::{Deserialize, Serialize};

use crate::ids::Lsid;
use crate::session::access_session::{AccessSession, Event};
use crate::{Actor, Context, Decision, FieldErrors, Refusal, World, happened, nothing};

#[cfg(test)]
mod tests;

/// Details of one session.
pub const DETAILS_MAX: u32 = 100_000;
/// Longest body, in characters.
pub const BODY_CHARS_MAX: usize = 16_384;
/// Longest value, in characters.
pub const VALUE_CHARS_MAX: usize = 4_096;
/// Files of one detail.
pub const FILES_MAX: usize = 100;
/// Categories of system information.
pub const CATEGORIES_MAX: usize = 64;
/// Columns of one category.
pub const FIELDS_MAX: usize = 32;
/// All texts of one system information together, in bytes.
pub const SYSTEM_INFORMATION_BYTES_MAX: usize = 262_144;

/// Write down something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// In which session.
    pub lsid: Lsid,
    /// What.
    pub detail: Detail,
}

/// Something happened in a session. Expected rate: as people work; bounded by [`DETAILS_MAX`] a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetailRecorded {
    /// Who did it.
    pub by: By,
    /// What.
    pub detail: Detail,
}

/// Who did something (REP-48, REP-49).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The endpoint.
    Endpoint,
    /// The member with this connection.
    Member {
        /// The number of the connection.
        gsnumber: u32,
    },
}

/// To whom something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toward {
    /// All who take part.
    Everyone,
    /// The endpoint.
    Endpoint,
    /// The member with this connection.
    Member {
        /// The number of the connection.
        gsnumber: u32,
    },
}

/// What happened. Which parts a kind has, [`Kind::form`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Of which kind.
    pub kind: Kind,
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toward: Option<Toward>,
    /// What was said or shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Files that it was about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Values by name, in the order of the kind's form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
    /// What the endpoint told of itself (REP-52, REP-53).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system_information: Vec<Category>,
}

/// A file that something was done to (REP-51).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name, with its path where known.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
}

/// A table of system information: as many fields in each row as headers (REP-53).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// What it is about.
    pub name: String,
    /// The headers.
    pub fields: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Detail {
    /// One of this kind with nothing beside it.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            toward: None,
            body: None,
            files: Vec::new(),
            values: Vec::new(),
            system_information: Vec::new(),
        }
    }
}

/// The parts of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The word in reports.
    pub word: &'static str,
    /// Whether it has a body, which then is required.
    pub body: bool,
    /// How many files it has.
    pub files: Files,
    /// The values it may have, by name.
    pub values: &'static [&'static str],
    /// Whether it is done toward someone, everyone if it does not say whom.
    pub toward: bool,
}

/// How many files a kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// None.
    No,
    /// One.
    One,
    /// One or more.
    Many,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $word:literal, body $body:literal, files $files:ident, toward $toward:literal, $values:expr;)*) => {
        /// Kinds of details that are recorded (REP-45, REP-46, REP-84).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its word in reports and the parts it has.
            #[must_use]
            pub const fn form(self) -> Form {
                match self {
                    $(Self::$kind => Form {
                        word: $word,
                        body: $body,
                        files: Files::$files,
                        values: $values,
                        toward: $toward,
                    },)*
                }
            }
        }
    };
}

kinds! {
    /// A message of the chat.
    ChatMessage "Chat Message", body true, files No, toward true, &[];
    /// A command shell was opened, and is recorded (REP-47).
    CommandShellSessionStarted "Command Shell Session Started", body false, files No, toward false, &["instance"];
    /// A member or the endpoint is in another state, such as viewing or controlling the screen.
    ConferenceMemberStateChanged "Conference Member State Changed", body false, files No, toward false, &["state", "hostname", "os", "private_ip", "public_ip"];
    /// Credentials were put in for the user.
    CredentialInjectionAttempt "Credential Injection Attempt", body false, files No, toward false, &["credentials", "username"];
    /// Putting credentials in failed.
    CredentialInjectionAttemptFailed "Credential Injection Attempt Failed", body false, files No, toward false, &["credentials", "username", "reason"];
    /// A folder was made.
    DirectoryCreated "Directory Created", body false, files No, toward false, &["filename"];
    /// A file was deleted.
    FileDeleted "File Deleted", body false, files One, toward false, &[];
    /// Files were fetched from the endpoint.
    FileDownload "File Download", body false, files Many, toward false, &[];
    /// Fetching files failed.
    FileDownloadFailed "File Download Failed", body false, files Many, toward false, &["reason"];
    /// A file was renamed or moved.
    FileMoved "File Moved", body false, files One, toward false, &["destination"];
    /// Files were put on the endpoint.
    FileUpload "File Upload", body false, files Many, toward false, &[];
    /// Putting files failed.
    FileUploadFailed "File Upload Failed", body false, files Many, toward false, &["reason"];
    /// A transfer ended, with the hash of what arrived.
    FileTransferComplete "File Transfer Complete", body false, files No, toward false, &["filename", "sha256"];
    /// Registry keys were written to a file.
    RegistryExported "Registry Exported", body false, files No, toward false, &["key", "filename"];
    /// Registry keys were read from a file.
    RegistryImported "Registry Imported", body false, files No, toward false, &["filename"];
    /// A registry key was made.
    RegistryKeyAdded "Registry Key Added", body false, files No, toward false, &["key"];
    /// A registry key was deleted.
    RegistryKeyDeleted "Registry Key Deleted", body false, files No, toward false, &["key"];
    /// A registry key was renamed.
    RegistryKeyRenamed "Registry Key Renamed", body false, files No, toward false, &["key", "new_name"];
    /// A registry value was made.
    RegistryValueAdded "Registry Value Added", body false, files No, toward false, &["key", "name", "value", "type"];
    /// A registry value was deleted.
    RegistryValueDeleted "Registry Value Deleted", body false, files No, toward false, &["key", "name"];
    /// A registry value was changed.
    RegistryValueModified "Registry Value Modified", body false, files No, toward false, &["key", "name", "value", "type"];
    /// A registry value was renamed.
    RegistryValueRenamed "Registry Value Renamed", body false, files No, toward false, &["key", "name", "new_name"];
    /// The screen is recorded.
    ScreenRecording "Screen Recording", body false, files No, toward false, &["state"];
    /// A picture of the screen was taken.
    ScreenshotCaptured "Screenshot Captured", body false, files No, toward false, &["filename"];
    /// The user was let through to a service at the endpoint.
    ServiceAccessAllowed "Service Access Allowed", body false, files No, toward false, &["service", "host", "port"];
    /// Another window is in front at the endpoint.
    SessionForegroundWindowChanged "Session Foreground Window Changed", body false, files No, toward false, &["exeName", "windowName"];
    /// The mouse was clicked at the endpoint.
    SessionMouseLeftClicked "Session Mouse Left Clicked", body false, files No, toward false, &["exeName", "windowName"];
    /// A window was closed at the endpoint.
    SessionWindowClosed "Session Window Closed", body false, files No, toward false, &["exeName", "windowName"];
    /// Something was typed into, or shown by, a command shell.
    RemoteShellEvent "Remote Shell Event", body false, files No, toward false, &["text"];
    /// A special action ran at the endpoint.
    SpecialActionExecuted "Special Action Executed", body false, files No, toward false, &["action_name"];
    /// The endpoint told what it is at the session's start (REP-52).
    SystemInformationRetrieved "System Information Retrieved", body false, files No, toward false, &[];
}

/// Decides whether the detail is written down.
///
/// # Errors
/// [`Refusal::SessionNotActive`] where the session does not run or the caller has no part in it,
/// [`Refusal::TooManyDetails`], and [`Refusal::Invalid`] where the detail has not the form of its kind.
pub fn decide(world: &World, record: &Record, context: &Context) -> Decision {
    let session = world
        .sessions
        .get(&record.lsid)
        .filter(|session| session.established)
        .ok_or(Refusal::SessionNotActive)?;
    let by = part_of(session, context)?;
    check(session, &record.detail)?;
    if session.details >= DETAILS_MAX {
        return Err(Refusal::TooManyDetails);
    }
    if record.detail.kind == Kind::SystemInformationRetrieved {
        match by {
            By::Endpoint if session.system_information => return nothing(),
            By::Endpoint => {}
            By::Member { .. } => {
                return Err(Refusal::field(
                    "kind",
                    "Only the endpoint tells what it is.",
                ));
            }
        }
    }
    let unrecorded = matches!(
        record.detail.kind,
        Kind::CommandShellSessionStarted | Kind::ScreenRecording
    );
    if unrecorded && session.recordings_disabled {
        return nothing();
    }
    happened(crate::Event::AccessSession(
        record.lsid,
        Event::DetailRecorded(DetailRecorded {
            by,
            detail: record.detail.clone(),
        }),
    ))
}

/// The caller's part in the session.
fn part_of(session: &AccessSession, context: &Context) -> Result<By, Refusal> {
    match context.actor() {
        Actor::JumpClient(client) if session.endpoint == Some(*client) => Ok(By::Endpoint),
        Actor::User(user) => session
            .member(*user)
            .map(|member| By::Member {
                gsnumber: member.gsnumber,
            })
            .ok_or(Refusal::SessionNotActive),
        _ => Err(Refusal::SessionNotActive),
    }
}

fn check(session: &AccessSession, detail: &Detail) -> Result<(), Refusal> {
    let form = detail.kind.form();
    let mut errors = FieldErrors::default();
    match &detail.body {
        None if form.body => errors.push("body", "The body field is required."),
        Some(_) if !form.body => errors.push("body", "This kind of detail has no body."),
        Some(body) if body.is_empty() => errors.push("body", "The body field is required."),
        Some(body) if body.chars().count() > BODY_CHARS_MAX => errors.push(
            "body",
            format!("The body field may not be greater than {BODY_CHARS_MAX} characters."),
        ),
        _ => {}
    }
    check_toward(session, detail, form, &mut errors);
    check_files(detail, form, &mut errors);
    for (name, value) in &detail.values {
        if !form.values.contains(&name.as_str()) {
            let shown: String = name.chars().take(64).collect();
            errors.push(
                format!("values.{shown}"),
                "This kind of detail has no such value.",
            );
        } else if value.chars().count() > VALUE_CHARS_MAX {
            errors.push(
                format!("values.{name}"),
                format!("The value may not be greater than {VALUE_CHARS_MAX} characters."),
            );
        }
    }
    let mut names: Vec<&str> = detail
        .values
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < detail.values.len() {
        errors.push("values", "A value may be given once.");
    }
    check_system_information(detail, &mut errors);
    errors.into_result(())
}

fn check_toward(session: &AccessSession, detail: &Detail, form: Form, errors: &mut FieldErrors) {
    match detail.toward {
        Some(_) if !form.toward => {
            errors.push("toward", "This kind of detail is done toward nobody.");
        }
        Some(Toward::Member { gsnumber })
            if !session
                .members
                .iter()
                .any(|member| member.gsnumber == gsnumber) =>
        {
            errors.push("toward", "The session has no member of this number.");
        }
        _ => {}
    }
}

fn check_files(detail: &Detail, form: Form, errors: &mut FieldErrors) {
    let fits = match form.files {
        Files::No => detail.files.is_empty(),
        Files::One => detail.files.len() == 1,
        Files::Many => (1..=FILES_MAX).contains(&detail.files.len()),
    };
    if !fits {
        errors.push(
            "files",
            match form.files {
                Files::No => "This kind of detail has no files.".to_owned(),
                Files::One => "This kind of detail has one file.".to_owned(),
                Files::Many => format!("This kind of detail has 1 to {FILES_MAX} files."),
            },
        );
    }
    let named = |file: &File| (1..=VALUE_CHARS_MAX).contains(&file.name.chars().count());
    if !detail.files.iter().all(named) {
        errors.push(
            "files",
            format!("The name of a file has 1 to {VALUE_CHARS_MAX} characters."),
        );
    }
}

fn check_system_information(detail: &Detail, errors: &mut FieldErrors) {
    let categories = &detail.system_information;
    if detail.kind != Kind::SystemInformationRetrieved {
        if !categories.is_empty() {
            errors.push(
                "system_information",
                "This kind of detail has no system information.",
            );
        }
        return;
    }
    if categories.is_empty() || categories.len() > CATEGORIES_MAX {
        errors.push(
            "system_information",
            format!("System information has 1 to {CATEGORIES_MAX} categories."),
        );
    }
    let table = |category: &Category| {
        !category.name.is_empty()
            && (1..=FIELDS_MAX).contains(&category.fields.len())
            && category
                .rows
                .iter()
                .all(|row| row.len() == category.fields.len())
    };
    if !categories.iter().all(table) {
        errors.push(
            "system_information",
            format!("A category has a name, 1 to {FIELDS_MAX} fields, and as many in each row."),
        );
    }
    let bytes: usize = categories
        .iter()
        .map(|category| {
            let cells = category.rows.iter().flatten();
            category.name.len()
                + category
                    .fields
                    .iter()
                    .chain(cells)
                    .map(String::len)
                    .sum::<usize>()
        })
        .sum();
    if bytes > SYSTEM_INFORMATION_BYTES_MAX {
        errors.push(
            "system_information",
            format!(
                "System information may not be greater than {SYSTEM_INFORMATION_BYTES_MAX} bytes."
            ),
        );
    }
}
