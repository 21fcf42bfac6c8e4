//! Commands about access requests at random.

use proptest::prelude::*;
use serde_json::json;

use crate::Command;
use crate::ids::{AccessRequestId, JumpClientId, JumpItemRef, JumpPolicyId, UserId};
use crate::policy::access_request::{Command as Request, Submit};
use crate::policy::jump_policy::JumpPolicy;
use crate::testing::{BERT, MONDAY, PC1, change};
use crate::time::MINUTE;

/// A policy that asks two users for approval.
pub(super) fn asks_for_approval(policy: &mut JumpPolicy) {
    policy.approval_required = true;
    policy.approval_display_name = "Manager".to_owned();
    policy.approval_user_ids = vec!["1".to_owned(), "2".to_owned()];
}

/// Somebody asks for something about access requests.
pub(super) fn any_request_command() -> impl Strategy<Value = Command> {
    (0..14_u32, 1..4_u32, 1..4_u32, any::<bool>())
        .prop_map(|(choice, a, b, flag)| command(choice, a, b, flag))
}

fn command(choice: u32, a: u32, b: u32, flag: bool) -> Command {
    let request = AccessRequestId(a);
    let comment = format!("{b}");
    let speaking_for = Some(UserId(b));
    match choice {
        0 => change::<JumpPolicy>(
            JumpPolicyId(a),
            json!({
                "approval_required": b > 1, "approval_display_name": "Manager",
                "approval_user_ids": ["1", "2"], "approval_email_addresses": ["boss@example.com"],
                "approval_scope": if flag { "anyone" } else { "requestor" },
                "approval_max_duration": 60 * a, "schedule_enabled": false, "schedule_strict": false,
            }),
        ),
        1..=5 => Request::Submit(Submit {
            user: if flag { BERT } else { UserId(a) },
            item: JumpItemRef::JumpClient(if flag { PC1 } else { JumpClientId(b) }),
            reason: "patch".to_owned(),
            start_at: MONDAY.plus(i64::from(a * b) * 30 * MINUTE),
            duration_seconds: 3_600 * b,
        })
        .into(),
        6..=9 => Request::Approve {
            request,
            comment,
            speaking_for,
        }
        .into(),
        10 => Request::Deny {
            request,
            comment,
            speaking_for,
        }
        .into(),
        11 => Request::Cancel { request }.into(),
        _ => Request::Expire { request }.into(),
    }
}
