//! Mail templates: subject and body of notifications and approval mails, per language (POL-44 to POL-48, POL-53, POL-54).
//!
//! A template is text with macros such as `%JUMP_ITEM.NAME%`. There is nothing else in it to run: no condition, no loop, no
//! code. Macros come from a list, and what is put in their place is never looked at again, so a value can't smuggle one in.
//!
//! States: as shipped → set → as shipped again (`Reset`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::MailTemplateId;
use crate::{Context, Decision, FieldErrors, World, happened, nothing};

#[cfg(test)]
mod tests;

/// Most characters of a subject.
const SUBJECT_CHARS_MAX: usize = 255;
/// Most characters of a body.
const BODY_CHARS_MAX: usize = 65_536;
/// Most templates that are set: languages times kinds, far beyond any site.
const TEMPLATES_MAX: usize = 400;

/// The macro whose value is made by Gatebook and may hold markup: what the mail has to say, with the approver's link.
pub const CONTENT: &str = "CONTENT";

/// What a template is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// A session started or ended.
    Notification,
    /// A request for approval, and what became of it.
    Approval,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Notification, Self::Approval];

    /// The macros a template of this kind may use (POL-45, POL-46).
    #[must_use]
    pub const fn macros(self) -> &'static [&'static str] {
        match self {
            Self::Notification => &[
                CONTENT,
                "JUMP_ITEM.NAME",
                "JUMP_ITEM.FQDN",
                "JUMP_ITEM.JUMP_GROUP.NAME",
                "USER.DISPLAY_NAME",
                "EVENT.NAME",
                "EVENT.TIME",
            ],
            Self::Approval => &[
                CONTENT,
                "AUTHORIZATION_REQUEST.ID",
                "AUTHORIZATION_REQUEST.STATE",
                "AUTHORIZATION_REQUEST.CREATOR.DISPLAY_NAME",
                "JUMP_ITEM.NAME",
                "AUTHORIZATION_REQUEST.START_TIME",
                "AUTHORIZATION_REQUEST.DURATION",
                "AUTHORIZATION_REQUEST.REASON",
            ],
        }
    }
}

impl fmt::Display for MailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notification => "notification",
            Self::Approval => "approval",
        })
    }
}

/// The text names no kind of template, or no language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a mail template")]
pub struct NotATemplate;

impl FromStr for MailKind {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or(NotATemplate)
    }
}

/// Whether `code` has the form of a locale code: 2 to 10 characters, a language and perhaps a region, in lower case.
#[must_use]
pub fn is_language(code: &str) -> bool {
    let mut parts = code.split('-');
    let language = parts.next().unwrap_or_default();
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase());
    let signs = |part: &str| {
        (1..=8).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    code.len() <= 10 && (2..=3).contains(&language.len()) && letters(language) && parts.all(signs)
}

/// The text of a mail before its values are known.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct MailTemplate {
    /// The subject: one line of text.
    pub subject: String,
    /// The body: HTML.
    pub body: String,
}

/// What may be asked of templates.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Put a text of one's own in place of the one that is shipped, or add a language.
    Set(MailTemplateId, MailTemplate),
    /// Go back to what is shipped.
    Reset(MailTemplateId),
}

/// A template went back to what is shipped. Expected rate: a few a year.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reset {}

/// What happens to a template. Expected rate: a few a year.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// It was set.
    Set(MailTemplate),
    /// It is as shipped again.
    Reset(Reset),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &["MailTemplateSet", "MailTemplateReset"];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Set(_) => "MailTemplateSet",
            Self::Reset(_) => "MailTemplateReset",
        }
    }

    /// Reads an event back; `None` if the name is not one of a template's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "MailTemplateSet" => serde_json::from_slice(text).map(|event| Some(Self::Set(event))),
            "MailTemplateReset" => {
                serde_json::from_slice(text).map(|event| Some(Self::Reset(event)))
            }
            _ => Ok(None),
        }
    }
}

/// Decides what becomes of `command`.
///
/// # Errors
/// [`Refusal::Invalid`](crate::Refusal::Invalid) naming what is not right.
pub fn decide(world: &World, command: &Command, _context: &Context) -> Decision {
    match command {
        Command::Set(id, template) => decide_set(world, id, template),
        Command::Reset(id) if !world.mail_templates.contains(id) => nothing(),
        Command::Reset(id) => happened(crate::Event::MailTemplate(
            id.clone(),
            Event::Reset(Reset {}),
        )),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: &MailTemplateId, event: &Event) {
    match event {
        Event::Set(template) => {
            world.mail_templates.insert(id.clone(), template.clone());
        }
        Event::Reset(_) => {
            world.mail_templates.remove(id);
        }
    }
}

fn decide_set(world: &World, id: &MailTemplateId, template: &MailTemplate) -> Decision {
    if world.mail_templates.get(id) == Some(template) {
        return nothing();
    }
    let mut errors = check(id, template);
    if !world.mail_templates.contains(id) && world.mail_templates.len() >= TEMPLATES_MAX {
        errors.push(
            "language",
            format!("No more than {TEMPLATES_MAX} templates can be set."),
        );
    }
    errors.into_result(())?;
    happened(crate::Event::MailTemplate(
        id.clone(),
        Event::Set(template.clone()),
    ))
}

/// What is wrong with a template: its language's code, its lengths, its macros.
#[must_use]
pub fn check(id: &MailTemplateId, template: &MailTemplate) -> FieldErrors {
    let mut errors = FieldErrors::default();
    if !is_language(&id.language) {
        errors.push(
            "language",
            "The language field must be a locale code such as en-us.",
        );
    }
    check_subject(id.kind, &template.subject, &mut errors);
    check_body(id.kind, &template.body, &mut errors);
    errors
}

fn check_subject(kind: MailKind, subject: &str, errors: &mut FieldErrors) {
    check_length("subject", subject, SUBJECT_CHARS_MAX, errors);
    if subject.chars().any(char::is_control) {
        errors.push("subject", "The subject field must be a single line.");
    }
    for name in macros_in(subject) {
        if name == CONTENT {
            errors.push(
                "subject",
                "The macro %CONTENT% can only be used in the body.",
            );
        } else {
            check_macro("subject", kind, name, errors);
        }
    }
}

fn check_body(kind: MailKind, body: &str, errors: &mut FieldErrors) {
    check_length("body", body, BODY_CHARS_MAX, errors);
    for name in macros_in(body) {
        check_macro("body", kind, name, errors);
    }
    if kind == MailKind::Approval && !macros_in(body).any(|name| name == CONTENT) {
        errors.push(
            "body",
            "The body field must use %CONTENT%, which holds the link of the approver.",
        );
    }
}

fn check_length(field: &str, text: &str, max: usize, errors: &mut FieldErrors) {
    if text.trim().is_empty() {
        errors.push(field, format!("The {field} field must not be empty."));
    } else if text.chars().count() > max {
        errors.push(
            field,
            format!("The {field} field must not be longer than {max} characters."),
        );
    } else if text.contains('\0') {
        errors.push(
            field,
            format!("The {field} field must not hold a NUL character."),
        );
    }
}

fn check_macro(field: &str, kind: MailKind, name: &str, errors: &mut FieldErrors) {
    if !kind.macros().contains(&name) {
        errors.push(field, format!("The macro %{name}% is not known."));
    }
}

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    /// The name between the percent signs.
    Macro(&'t str),
}

/// Cuts a template into its pieces. A percent sign that begins no macro is text.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = template;
    let mut from = 0;
    while let Some(start) = rest[from..].find('%').map(|at| from + at) {
        let inside = &rest[start + 1..];
        let length = inside
            .bytes()
            .take_while(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'.'))
            .count();
        if length > 0 && inside.as_bytes().get(length) == Some(&b'%') {
            if start > 0 {
                found.push(Piece::Text(&rest[..start]));
            }
            found.push(Piece::Macro(&inside[..length]));
            rest = &inside[length + 1..];
            from = 0;
        } else {
            from = start + 1;
        }
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

fn macros_in(template: &str) -> impl Iterator<Item = &str> {
    pieces(template)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Macro(name) => Some(name),
            Piece::Text(_) => None,
        })
}

/// What is put in the place of a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacroValue {
    /// Text, of whatever origin: escaped in the body.
    Text(String),
    /// Markup that Gatebook made, with every value in it escaped already.
    Markup(String),
}

/// The text of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The subject: one line of text.
    pub subject: String,
    /// The body: HTML.
    pub body: String,
}

impl MailTemplate {
    /// Puts values in the place of macros. One without a value becomes nothing; what was put in is not looked at again.
    #[must_use]
    pub fn render(&self, value: impl Fn(&str) -> Option<MacroValue>) -> Rendered {
        let subject: String = pieces(&self.subject)
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Macro(name) => match value(name) {
                    Some(MacroValue::Text(text)) => text.chars().map(shown).collect(),
                    Some(MacroValue::Markup(_)) | None => String::new(),
                },
            })
            .collect();
        let body = pieces(&self.body)
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Macro(name) => match value(name) {
                    Some(MacroValue::Text(text)) => escape(&text),
                    Some(MacroValue::Markup(markup)) => markup,
                    None => String::new(),
                },
            })
            .collect();
        Rendered {
            subject: one_line(&subject),
            body,
        }
    }
}

/// Text as HTML shows it: nothing in it is markup.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            _ if c.is_control() => escaped.push(' '),
            _ => escaped.push(shown(c)),
        }
    }
    escaped
}

/// A mark that turns the direction of the text behind it, so that a reader sees another text than is there.
#[must_use]
pub const fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is shown in the place of a character of somebody's text.
const fn shown(c: char) -> char {
    if is_direction_mark(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// A subject is one line, whatever a value holds.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SUBJECT_CHARS_MAX)
        .collect()
}
