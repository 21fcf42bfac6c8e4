//! What may be asked of trust anchors and addresses.

use proptest::prelude::*;

use crate::fleet::jump_client;
use crate::ids::{AgentAnchorId, JumpClientId, LinkId, NodeEpoch, SiteAddressId};
use crate::site::agent_trust::Command as Trust;
use crate::testing::{ADMIN, Asks};
use crate::{Actor, Cause, Command};

/// An administrator changes a list, or a client says which it has on disk.
pub(super) fn any_trust_command() -> impl Strategy<Value = (Cause, Command)> {
    (0..6_u32, 1..4_u32, 1..4_u32, any::<bool>())
        .prop_map(|(choice, a, b, flag)| command(choice, a, b, flag))
}

fn command(choice: u32, a: u32, b: u32, flag: bool) -> (Cause, Command) {
    let trust = match choice {
        0 => Trust::Begin {
            anchors: vec!["system".to_owned()],
            anchors_version: u64::from(b),
            addresses: vec!["https://access.example.com".to_owned()],
        },
        1 => Trust::AddAnchor(format!("sha256:{}", a.to_string().repeat(64))),
        2 => Trust::WithdrawAnchor {
            anchor: AgentAnchorId(a),
            in_use: b == 1,
            cut_off: flag,
        },
        3 => Trust::AddAddress {
            url: format!("https://{a}.example.com"),
            place: flag.then_some(1),
        },
        4 => Trust::WithdrawAddress {
            address: SiteAddressId(a),
            cut_off: flag,
        },
        _ => {
            let client = JumpClientId(a);
            let said = jump_client::Command::ConfirmTrust {
                client,
                link: LinkId {
                    node: NodeEpoch(1),
                    connection: u64::from(a),
                },
                anchors: Some(u64::from(b)),
                addresses: flag.then_some(u64::from(b)),
            };
            return (client.cause(), said.into());
        }
    };
    let actor = if choice == 0 {
        Actor::Operator
    } else {
        Actor::User(ADMIN)
    };
    (actor.cause(), trust.into())
}
