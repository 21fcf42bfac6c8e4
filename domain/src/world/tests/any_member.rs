//! What members of sessions ask of them, and of their Jump on Startup groups.

use proptest::prelude::*;

use super::any_command::session_draw;
use crate::ids::{JumpClientId, JumpItemRef, Lsid, UserId};
use crate::session::{access_session, details, startup_group};
use crate::testing::{Asks, CARA, drawn};
use crate::{Actor, Cause, Command};

/// How many commands there are to choose from.
const CHOICES: u32 = 12;

/// A user, or a due date, asks for something.
pub(super) fn any_member_command() -> impl Strategy<Value = (Cause, Command)> {
    let numbers = || 1..4_u32;
    let actor = prop_oneof![
        1 => Just(Actor::System),
        6 => numbers().prop_map(|user| Actor::User(UserId(user))),
    ];
    (
        actor,
        0..CHOICES,
        numbers(),
        numbers(),
        numbers(),
        any::<bool>(),
    )
        .prop_map(|(actor, choice, a, b, c, flag)| (actor.cause(), command(choice, a, b, c, flag)))
}

fn command(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let user = UserId(a);
    let item = JumpItemRef::JumpClient(JumpClientId(b));
    let lsid = Lsid(drawn(session_draw(item), 0));
    match choice {
        0 | 1 => access_session::Command::Join(access_session::Join {
            lsid,
            user,
            address: String::new(),
            user_system: String::new(),
            notification_consent: flag,
        })
        .into(),
        2 => access_session::Command::Invite {
            lsid,
            user: if flag { CARA } else { user },
        }
        .into(),
        3 => access_session::Command::AcceptInvitation {
            lsid,
            address: String::new(),
            user_system: String::new(),
        }
        .into(),
        4 if flag => access_session::Command::CloseInvitation { lsid, user }.into(),
        4 => access_session::Command::Leave { lsid }.into(),
        5 => access_session::Command::TransferOwnership { lsid, to: user }.into(),
        6 => access_session::Command::NoteActivity { lsid }.into(),
        7 if flag => access_session::Command::RemoveInactive { lsid }.into(),
        7 | 8 => access_session::Command::AnnounceEnd { lsid }.into(),
        9 => access_session::Command::SetAttributes(access_session::SetAttributes {
            lsid,
            attributes: [(format!("a{a}"), flag.then(|| format!("{c}")))].into(),
            external_key: (c == 1).then(|| format!("K{a}")),
        })
        .into(),
        10 => access_session::Command::RecordDetail(Box::new(details::Record {
            lsid,
            detail: details::Detail {
                body: Some(format!("{c}")),
                ..details::Detail::new(details::Kind::ChatMessage)
            },
        }))
        .into(),
        _ if flag => startup_group::Command::Add { user, item }.into(),
        _ => startup_group::Command::Remove { user, item }.into(),
    }
}
