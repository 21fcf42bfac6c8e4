//! An installer's link by mail, to one or more recipients (INST-16). The link itself is in no event: it is made when the mail
//! leaves, and several recipients install from the same.

use std::collections::BTreeSet;

use super::standing::handled;
use crate::ids::{JumpClientInstallerId, MailDeliveryId};
use crate::site::mail_address::is_address;
use crate::site::mail_delivery::{self, InstallerOffered, Mail, Message};
use crate::site::mail_template::is_language;
use crate::{Actor, Context, Decision, FieldErrors, Refusal, World};

/// Most recipients at once; below the number of fresh values of a command.
pub const RECIPIENTS_MAX: usize = 50;

/// Mail the link of an installer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailLink {
    /// Which installer.
    pub installer: JumpClientInstallerId,
    /// For which platform, by its word in links (INST-17); whoever asks knows that there is such a one.
    pub platform: String,
    /// What people call the platform.
    pub platform_title: String,
    /// To whom; who is named twice gets one mail.
    pub recipients: Vec<String>,
    /// The locale code of the mails' language.
    pub language: String,
}

pub(super) fn decide(world: &World, link: &MailLink, context: &Context) -> Decision {
    let installer = handled(world, link.installer, context)?;
    installer.usable(world, context.now)?;
    check(link)?;
    if !world.mail_settings.is_configured() {
        return Err(Refusal::NoMailServer);
    }
    let sender = match context.actor() {
        Actor::User(user) => world.users.get(user).map(|user| &user.public_display_name),
        _ => None,
    };
    let offered = InstallerOffered {
        installer: link.installer,
        platform: link.platform.clone(),
        platform_title: link.platform_title.clone(),
        sender: sender.cloned().unwrap_or_default(),
        valid_until: installer.expiration_timestamp,
    };
    let mut told = BTreeSet::new();
    let recipients = link
        .recipients
        .iter()
        .filter(|recipient| told.insert(recipient.to_lowercase()));
    Ok(recipients
        .enumerate()
        .map(|(index, recipient)| {
            let mail = Mail {
                recipient: recipient.clone(),
                language: link.language.clone(),
                message: Message::InstallerOffered(offered.clone()),
            };
            let id = MailDeliveryId(context.fresh.value(index));
            crate::Event::MailDelivery(id, mail_delivery::Event::Queued(mail))
        })
        .collect())
}

fn check(link: &MailLink) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    if link.recipients.is_empty() || link.recipients.len() > RECIPIENTS_MAX {
        errors.push(
            "recipients",
            format!("The recipients field must hold 1 to {RECIPIENTS_MAX} addresses."),
        );
    }
    let is_bad = |recipient: &&String| !is_address(recipient);
    if let Some(position) = link
        .recipients
        .iter()
        .position(|recipient| is_bad(&recipient))
    {
        errors.push(
            "recipients",
            format!(
                "The recipients field must hold valid email addresses; number {} is none.",
                position + 1
            ),
        );
    }
    if !is_language(&link.language) {
        errors.push(
            "language",
            "The language field must be a locale code such as en-us.",
        );
    }
    errors.into_result(())
}
