//! Every reason to say no, word by word.

use super::{FieldErrors, Refusal, RefusalClass};
use crate::access::role::JumpItemPermission;
use crate::ids::{JumpGroupId, JumpGroupRef};
use crate::policy::gates::Need;
use crate::testing::MONDAY;

fn every_refusal() -> Vec<(Refusal, &'static str, RefusalClass)> {
    use RefusalClass::{Conflict, Forbidden, Invalid, NotFound, Unavailable};
    let policy = || "Thursdays".to_owned();
    vec![
        (
            Refusal::field("name", "The name has already been taken."),
            "name: The name has already been taken.",
            Invalid,
        ),
        (
            Refusal::NotFound { what: "Jump Group" },
            "Jump Group not found.",
            NotFound,
        ),
        (
            Refusal::InUse {
                what: "Jump Policy",
                by: vec!["installer 1".to_owned(), "2 more".to_owned()],
            },
            "Jump Policy is in use by installer 1, 2 more.",
            Conflict,
        ),
        (
            Refusal::MayNotOwn,
            "The user may not start sessions on the Jump Item, and so cannot own the access session.",
            Forbidden,
        ),
        (
            Refusal::InvitationNotValid,
            "The invitation to the access session is not valid any more.",
            Forbidden,
        ),
        (
            Refusal::SiteExists,
            "This site has been set up already.",
            Conflict,
        ),
        (
            Refusal::LastOfTrust {
                what: "Trust anchor",
            },
            "Trust anchor cannot be withdrawn: it is the last one. Add another first.",
            Conflict,
        ),
        (
            Refusal::WouldCutOff {
                what: "Site address",
                clients: 214,
            },
            "Site address cannot be withdrawn: 214 Jump Clients have not confirmed another one and would be cut off. To cut them off, ask with cut_off=true.",
            Conflict,
        ),
        (
            Refusal::AnchorInUse,
            "Trust anchor cannot be withdrawn: the certificate of this server is trusted by no other one, and all Jump Clients would be cut off. To cut them off, ask with cut_off=true.",
            Conflict,
        ),
        (
            Refusal::SignInFailed,
            "The username or password is incorrect.",
            Forbidden,
        ),
        (
            Refusal::SignInLocked { seconds: 5 },
            "There were too many failed sign-ins. Try again in 5 second(s).",
            Forbidden,
        ),
        (
            Refusal::PasswordChangeRequired,
            "Your password must be changed: sign in with a new_password beside the password.",
            Forbidden,
        ),
        (
            Refusal::OwnPassword,
            "Change your own password by showing the present one.",
            Forbidden,
        ),
        (
            Refusal::AdministratorsNotByApi,
            "This API cannot update administrators.",
            Forbidden,
        ),
        (
            Refusal::UserDisabled,
            "This account has been disabled.",
            Forbidden,
        ),
        (
            Refusal::AdministratorNeeded,
            "Only an administrator may do this.",
            Forbidden,
        ),
        (
            Refusal::ApiAccountDisabled,
            "The API account may not be used.",
            Forbidden,
        ),
        (
            Refusal::ApiPermissionNeeded {
                permission: "Command API: Full Access",
            },
            "The API account does not have the permission \"Command API: Full Access\".",
            Forbidden,
        ),
        (
            Refusal::NoApiPermission,
            "At least one permission must be enabled.",
            Invalid,
        ),
        (
            Refusal::EndpointAccessNotAllowed,
            "You are not allowed to access endpoints.",
            Forbidden,
        ),
        (
            Refusal::JumpMethodNotAllowed {
                method: "Jump Clients",
            },
            "You are not allowed to use the Jump method \"Jump Clients\".",
            Forbidden,
        ),
        (
            Refusal::RoleLacks {
                permission: JumpItemPermission::Start,
            },
            "Your Jump Item Role does not include the permission \"Start Sessions\".",
            Forbidden,
        ),
        (
            Refusal::NotYourSession,
            "Only a member of the session or an administrator may do this.",
            Forbidden,
        ),
        (
            Refusal::OutsideSchedule {
                policy: policy(),
                next_open: Some(MONDAY),
                zone: "Europe/Berlin".to_owned(),
            },
            "The Jump Policy \"Thursdays\" does not permit a session at this time. Next available: Monday, 2026-03-02 10:00 (Europe/Berlin).",
            Forbidden,
        ),
        (
            Refusal::SecondFactorUnavailable { policy: policy() },
            "The Jump Policy \"Thursdays\" requires a second factor, and second factors cannot be used on this site yet.",
            Forbidden,
        ),
        (
            Refusal::NoApprover { policy: policy() },
            "The Jump Policy \"Thursdays\" requires approval, and nobody can approve. Please contact your administrator.",
            Forbidden,
        ),
        (
            Refusal::ApprovalNotNeeded,
            "This Jump Item can be accessed without approval.",
            Conflict,
        ),
        (
            Refusal::RequestOverlaps,
            "The requested time overlaps another request for this Jump Item.",
            Conflict,
        ),
        (
            Refusal::TooManyPending,
            "Too many of your requests for this Jump Item are pending already.",
            Conflict,
        ),
        (
            Refusal::TooManyPendingInAll,
            "Too many of your requests are pending already.",
            Conflict,
        ),
        (
            Refusal::TooManyRequests,
            "You have made too many requests within an hour. Please try again later.",
            Conflict,
        ),
        (
            Refusal::InboxFull,
            "Too many requests wait for these approvers already. Please try again when some have been answered.",
            Conflict,
        ),
        (
            Refusal::RequestOver,
            "The time of this request is over.",
            Conflict,
        ),
        (
            Refusal::RequestDenied,
            "This request has been denied.",
            Conflict,
        ),
        (
            Refusal::RequestCancelled,
            "This request has been cancelled.",
            Conflict,
        ),
        (
            Refusal::RequestInUse,
            "The approved access is in use and can no longer be denied.",
            Conflict,
        ),
        (
            Refusal::SelfApproval,
            "You cannot answer your own request.",
            Forbidden,
        ),
        (
            Refusal::NotAnApprover,
            "You are not an approver of this request.",
            Forbidden,
        ),
        (
            Refusal::CancelNotAllowed,
            "Only the user who made this request can cancel it.",
            Forbidden,
        ),
        (
            Refusal::TicketSystemNotConfigured,
            "No ticket system URL is configured.",
            NotFound,
        ),
        (
            Refusal::TicketRequestNotValid,
            "The request_id is not valid.",
            Forbidden,
        ),
        (
            Refusal::NoTicketSystem,
            "No ticket system URL is configured. Please contact your administrator",
            Forbidden,
        ),
        (
            Refusal::NoTicketPrompt,
            "User Prompt Not Configured.",
            Forbidden,
        ),
        (
            Refusal::StartNeeds {
                needs: vec![
                    Need::Ticket {
                        prompt: "Ticket?".to_owned(),
                        sensitive: false,
                    },
                    Need::Credentials,
                ],
            },
            "Before the session can start, it needs: ticket ID, credentials.",
            Conflict,
        ),
        (
            Refusal::TooManyStarting,
            "The server is currently too busy. Please try again later.",
            Unavailable,
        ),
        (
            Refusal::JumpClientGone,
            "The Jump Client does not exist.",
            NotFound,
        ),
        (
            Refusal::JumpClientOffline,
            "The Jump Client is offline.",
            Conflict,
        ),
        (
            Refusal::JumpClientNotConnected,
            "The active Jump Client is not connected.",
            Conflict,
        ),
        (
            Refusal::JumpClientUninstalled,
            "The specified Jump Client has been uninstalled.",
            Conflict,
        ),
        (
            Refusal::JumpClientDisabled,
            "The Jump Client has been disabled by the user and will not allow a session to start at this time.",
            Conflict,
        ),
        (
            Refusal::JumpClientIdentityFailed,
            "The Jump Client identification check failed. This may indicate that a new system has obtained the network address of the Jump Client you are attempting to access.",
            Conflict,
        ),
        (
            Refusal::JoinDenied,
            "Permission denied joining existing access session.",
            Forbidden,
        ),
        (
            Refusal::SpawnFailed,
            "An internal error occurred while spawning the access session.",
            Conflict,
        ),
        (
            Refusal::StartWithdrawn {
                why: "Your user account is disabled.".to_owned(),
            },
            "Your user account is disabled.",
            Conflict,
        ),
        (
            Refusal::SpawnTimedOut,
            "An internal operation was taking too long while trying to spawn a access session.",
            Unavailable,
        ),
        (
            Refusal::CallTimedOut,
            "Timeout while trying to connect to the Jump Client.",
            Unavailable,
        ),
        (
            Refusal::NoMailServer,
            "No mail server is configured.",
            Conflict,
        ),
        (
            Refusal::SessionNotActive,
            "The access session does not exist or has ended.",
            NotFound,
        ),
        (
            Refusal::InstallerInvalid,
            "The installer is not valid.",
            Forbidden,
        ),
        (
            Refusal::InstallerExpired,
            "The installer has expired.",
            Conflict,
        ),
        (
            Refusal::OverrideNotAllowed { field: "tag" },
            "The installer does not allow the tag to be overridden.",
            Conflict,
        ),
        (
            Refusal::NoSuchJumpGroup {
                group: JumpGroupRef::Shared(JumpGroupId(4)),
            },
            "The shared Jump Group 4 does not exist.",
            NotFound,
        ),
        (
            Refusal::NodeStopped,
            "This node has been declared stopped.",
            Conflict,
        ),
    ]
}

/// ERR-05, ERR-07, ERR-08, ERR-09, ERR-10, ERR-11, ERR-12, ERR-13, ERR-14, ERR-15, ERR-17, ERR-18, ERR-19, ERR-27, ERR-32
#[test]
fn the_words_are_those_of_the_guides() {
    for (refusal, words, class) in every_refusal() {
        assert_eq!(refusal.to_string(), words, "{refusal:?}");
        assert_eq!(refusal.class(), class, "{refusal:?}");
    }
}

#[test]
fn every_code_is_the_variants_name_and_its_own() {
    let mut codes = Vec::new();
    for (refusal, ..) in every_refusal() {
        let debug = format!("{refusal:?}");
        let variant: String = debug.chars().take_while(|c| c.is_alphanumeric()).collect();
        let mut snake = String::new();
        for c in variant.chars() {
            if c.is_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        assert_eq!(refusal.code(), snake);
        codes.push(snake);
    }
    let count = codes.len();
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), count, "a variant stands in the table twice");
}

#[test]
fn an_unknown_zone_is_told_in_utc_and_no_error_at_all_has_words_too() {
    let refusal = Refusal::OutsideSchedule {
        policy: "P".to_owned(),
        next_open: Some(MONDAY),
        zone: "Mars".to_owned(),
    };
    assert!(
        refusal
            .to_string()
            .ends_with("Next available: Monday, 2026-03-02 09:00 (UTC).")
    );
    assert_eq!(
        FieldErrors::default().to_string(),
        "The given data was invalid."
    );
    assert_eq!(FieldErrors::default().into_result(1), Ok(1));
}
