//! The languages of mails: what is shipped for each, and what an operator adds by a file (POL-29, POL-44, POL-47, POL-53, POL-54).
//!
//! A language is one JSON file: the two templates as they are before anybody edits them, the sentences that `%CONTENT%` stands
//! for, a few words, and how a time is written. A further language costs a file and no code.

use std::collections::BTreeMap;

use domain::World;
use domain::ids::MailTemplateId;
use domain::site::mail_template::{self, MailKind, MailTemplate};
use serde::Deserialize;

/// The languages that come with the program.
const SHIPPED: [&str; 2] = [
    include_str!("languages/en-us.json"),
    include_str!("languages/de.json"),
];

/// The language of last resort.
const LAST_RESORT: &str = "en-us";

/// Largest file of a language. Unit: bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// All that mails say in one language.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// Its locale code, such as `en-us`.
    pub language: String,
    /// The template of notifications as shipped.
    pub notification: MailTemplate,
    /// The template of approval mails as shipped.
    pub approval: MailTemplate,
    /// Sentences.
    pub content: Content,
    /// Words.
    pub words: Words,
}

/// The sentences `%CONTENT%` stands for. Text, not markup.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each member is named like the mail it is of")]
pub struct Content {
    pub approval_requested: String,
    pub request_approved: String,
    pub request_denied: String,
    pub session_started: String,
    pub session_ended: String,
    pub test: String,
    pub test_subject: String,
    #[serde(default)]
    pub installer: InstallerOffer,
}

/// What is said to who is to install a Jump Client (INST-16). In English where a language does not have it: files of operators
/// may be older than it is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each member is named by its English word")]
pub struct InstallerOffer {
    pub subject: String,
    pub offered: String,
    pub sender: String,
    pub platform: String,
    pub valid_until: String,
}

impl Default for InstallerOffer {
    fn default() -> Self {
        Self {
            subject: "Jump Client Installer".to_owned(),
            offered: "You are asked to install a Jump Client, by which your computer can be reached for support. Download and run the installer:".to_owned(),
            sender: "Sent by".to_owned(),
            platform: "Platform".to_owned(),
            valid_until: "Valid until".to_owned(),
        }
    }
}

/// Words that stand in the place of macros. `time` is a format of `strftime`, always of a time in UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each member is named by its English word")]
pub struct Words {
    pub pending: String,
    pub approved: String,
    pub denied: String,
    pub start: String,
    pub end: String,
    pub comments: String,
    pub hours: String,
    pub minutes: String,
    /// In English where a language does not have it: files of operators may be older than it is.
    #[serde(default = "seconds")]
    pub seconds: String,
    pub time: String,
}

fn seconds() -> String {
    "Second(s)".to_owned()
}

/// A language can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadLanguage {
    /// Its text is not of the form.
    #[error("it is not the JSON of a language")]
    Json(#[from] serde_json::Error),
    /// A part of it is not right.
    #[error("{0}")]
    Content(String),
}

/// Every language there is.
#[derive(Clone, Debug)]
pub struct Languages(BTreeMap<String, Language>);

impl Languages {
    /// Those that come with the program.
    ///
    /// # Panics
    /// Never: a test reads the files that are built in.
    #[must_use]
    pub fn shipped() -> Self {
        let mut languages = Self(BTreeMap::new());
        for text in SHIPPED {
            languages
                .add(text)
                .expect("a language that is built in can be read");
        }
        languages
    }

    /// Adds the language of a file, or puts it in the place of one that is there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<&Language, BadLanguage> {
        let language: Language = serde_json::from_str(text)?;
        for kind in MailKind::ALL {
            let id = MailTemplateId {
                kind,
                language: language.language.clone(),
            };
            if let Some((field, message)) = mail_template::check(&id, language.template(kind))
                .0
                .into_iter()
                .next()
            {
                return Err(BadLanguage::Content(format!("{kind} {field}: {message}")));
            }
        }
        if !is_time_format(&language.words.time) {
            return Err(BadLanguage::Content(
                "words.time is not a format of a time".to_owned(),
            ));
        }
        let code = language.language.clone();
        Ok(self.0.entry(code).insert_entry(language).into_mut())
    }

    /// Their locale codes.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The template that is shipped for exactly this language.
    #[must_use]
    pub fn template(&self, id: &MailTemplateId) -> Option<&MailTemplate> {
        Some(self.0.get(&id.language)?.template(id.kind))
    }

    /// The language that comes nearest to `code`: itself, the same without its region, the site's own, English (POL-29).
    pub(super) fn nearest(&self, world: &World, code: &str) -> Option<&Language> {
        candidates(code, &world.mail_settings.default_language)
            .into_iter()
            .find_map(|code| self.0.get(code))
    }

    /// The template of a mail in the language that comes nearest to `code`: as an administrator set it, or as shipped (POL-48).
    pub(super) fn nearest_template<'a>(
        &'a self,
        world: &'a World,
        kind: MailKind,
        code: &str,
    ) -> Option<&'a MailTemplate> {
        candidates(code, &world.mail_settings.default_language)
            .into_iter()
            .find_map(|code| {
                let id = MailTemplateId {
                    kind,
                    language: code.to_owned(),
                };
                let set = world.mail_templates.get(&id);
                set.or_else(|| self.template(&id))
            })
    }
}

impl Language {
    fn template(&self, kind: MailKind) -> &MailTemplate {
        match kind {
            MailKind::Notification => &self.notification,
            MailKind::Approval => &self.approval,
        }
    }
}

fn candidates<'c>(code: &'c str, default: &'c str) -> [&'c str; 5] {
    let of_no_region = |code: &'c str| code.split('-').next().unwrap_or(code);
    [
        code,
        of_no_region(code),
        default,
        of_no_region(default),
        LAST_RESORT,
    ]
}

fn is_time_format(format: &str) -> bool {
    let mut items = chrono::format::StrftimeItems::new(format);
    !format.is_empty() && !items.any(|item| matches!(item, chrono::format::Item::Error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: MailKind, language: &str) -> MailTemplateId {
        MailTemplateId {
            kind,
            language: language.to_owned(),
        }
    }

    /// POL-44
    #[test]
    fn the_subject_of_notifications_is_the_guides() {
        let languages = Languages::shipped();
        let template = languages.template(&id(MailKind::Notification, "en-us"));
        assert_eq!(
            template.map(|template| template.subject.as_str()),
            Some("Session %EVENT.NAME% Notification - %JUMP_ITEM.NAME%")
        );
    }

    /// POL-47
    #[test]
    fn the_subject_of_approval_mails_ends_with_the_state() {
        let languages = Languages::shipped();
        let template = languages.template(&id(MailKind::Approval, "en-us"));
        assert_eq!(
            template.map(|template| template.subject.as_str()),
            Some(
                "Session Authorization Request %AUTHORIZATION_REQUEST.ID% - %JUMP_ITEM.NAME% - %AUTHORIZATION_REQUEST.STATE%"
            )
        );
    }

    /// POL-45, POL-53
    #[test]
    fn the_body_of_notifications_is_the_guides() {
        let languages = Languages::shipped();
        let template = languages.template(&id(MailKind::Notification, "en-us"));
        let body = "<p>%CONTENT%</p>
<div>System Details:</div>
<div style=\"padding-left: 3em\">System Name: %JUMP_ITEM.NAME%</div>
<div style=\"padding-left: 3em\">System FQDN: %JUMP_ITEM.FQDN%</div>
<div style=\"padding-left: 3em\">Group: %JUMP_ITEM.JUMP_GROUP.NAME%</div>
<div>User:</div>
<div style=\"padding-left: 3em\">Name: %USER.DISPLAY_NAME%</div>
<div>Event:</div>
<div style=\"padding-left: 3em\">Type: %EVENT.NAME%</div>
<div style=\"padding-left: 3em\">Time: %EVENT.TIME%</div>";
        assert_eq!(template.map(|template| template.body.as_str()), Some(body));
    }

    /// POL-46, POL-54, APPR-35
    #[test]
    fn the_body_of_approval_mails_is_the_guides() {
        let languages = Languages::shipped();
        let template = languages.template(&id(MailKind::Approval, "en-us"));
        let body = "<p>%CONTENT%</p>
<div>Request # %AUTHORIZATION_REQUEST.ID%</div>
<div>Request State: %AUTHORIZATION_REQUEST.STATE%</div>
<div>Requesting User: %AUTHORIZATION_REQUEST.CREATOR.DISPLAY_NAME%</div>
<div>Requested System:</div>
<div style=\"padding-left: 3em\">%JUMP_ITEM.NAME%</div>
<div>Requested Time:</div>
<div style=\"padding-left: 3em\">%AUTHORIZATION_REQUEST.START_TIME% for %AUTHORIZATION_REQUEST.DURATION%</div>
<div>Requested Reason:</div>
<div style=\"padding-left: 3em\">%AUTHORIZATION_REQUEST.REASON%</div>";
        assert_eq!(template.map(|template| template.body.as_str()), Some(body));
    }

    /// POL-29, POL-48
    #[test]
    fn the_nearest_language_is_taken() {
        let languages = Languages::shipped();
        assert_eq!(languages.codes().collect::<Vec<_>>(), ["de", "en-us"]);
        let mut world = World::default();
        // asked, site's own, taken
        for (asked, own, taken) in [
            ("de", "en-us", "de"),
            ("de-at", "en-us", "de"),
            ("en-us", "de", "en-us"),
            ("fr", "de-ch", "de"),
            ("fr", "it", "en-us"),
            ("", "it", "en-us"),
        ] {
            world.mail_settings.default_language = own.to_owned();
            let nearest = languages.nearest(&world, asked);
            assert_eq!(
                nearest.map(|language| language.language.as_str()),
                Some(taken),
                "{asked}"
            );
        }
        let french = MailTemplate {
            subject: "Session".to_owned(),
            body: "%CONTENT%".to_owned(),
        };
        let set = domain::Event::MailTemplate(
            id(MailKind::Notification, "fr"),
            mail_template::Event::Set(french.clone()),
        );
        world.apply(&set, domain::Timestamp(0));
        assert_eq!(
            languages.nearest_template(&world, MailKind::Notification, "fr-ca"),
            Some(&french)
        );
        let shipped = languages.template(&id(MailKind::Approval, "en-us"));
        assert_eq!(
            languages.nearest_template(&world, MailKind::Approval, "fr-ca"),
            shipped
        );
    }

    /// POL-29: a further language is a file; one that could not work is refused as a whole.
    #[test]
    fn a_language_is_added_by_a_file() {
        let mut languages = Languages::shipped();
        let french = SHIPPED[0].replace("\"en-us\"", "\"fr\"");
        assert_eq!(
            languages
                .add(&french)
                .map(|added| added.language.clone())
                .ok(),
            Some("fr".to_owned())
        );
        assert_eq!(languages.codes().count(), 3);
        for (what, broken) in [
            ("no JSON", "{".to_owned()),
            ("code", SHIPPED[0].replace("\"en-us\"", "\"../x\"")),
            ("macro", SHIPPED[0].replace("%EVENT.NAME%", "%SECRET%")),
            ("no link", SHIPPED[0].replace("%CONTENT%", "")),
            ("time", SHIPPED[0].replace("%Y-%m-%d", "%Q")),
            ("member", SHIPPED[0].replace("\"pending\"", "\"open\"")),
        ] {
            assert!(languages.add(&broken).is_err(), "{what}");
        }
        assert_eq!(languages.codes().count(), 3);
    }
}
