//! The last words to a client that is served no more.

use domain::ids::JumpClientId;
use domain::{Refusal, World};
use link_protocol::refusing::CloseCode;
use link_protocol::{Refused, RefusedCode, ServerFrame, limits};

use super::for_people;
use crate::mailbox::End;

/// Why a client is served no more, by what the world says of it.
pub(super) fn out_of_service(world: &World, client: JumpClientId) -> Option<End> {
    match world.endpoint(client) {
        None => Some(cut(RefusedCode::ClientRemoved, &Refusal::JumpClientGone)),
        Some(client) if client.quarantined => Some(quarantined()),
        Some(_) => None,
    }
}

/// The end of a link whose identity is in quarantine.
pub(crate) fn quarantined() -> End {
    cut(RefusedCode::Quarantined, &Refusal::JumpClientIdentityFailed)
}

fn cut(code: RefusedCode, refusal: &Refusal) -> End {
    let refused = Refused {
        code,
        message: for_people(&refusal.to_string(), limits::MESSAGE_CHARS_MAX),
        retry_after_ms: None,
        is_final: true,
    };
    End {
        code: CloseCode::Refused,
        last: Some(Box::new(ServerFrame::Refused(refused))),
        reason: "served no more",
    }
}
