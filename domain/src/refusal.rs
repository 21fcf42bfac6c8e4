//! Every reason to say no, with the exact message users see and its class.
//!
//! A refusal is a value, not a state change: nothing is folded from it. The words are those of the guides wherever the
//! guides have words; the rule's id stands beside each.

use crate::access::role::JumpItemPermission;
use crate::ids::{JumpGroupRef, JumpItemRef};
use crate::policy::gates::Need;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// What a refusal means to a caller; `api` maps classes to status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalClass {
    /// What was named is not there, or the caller may not know that it is.
    NotFound,
    /// It is there, but in a state that does not allow this.
    Conflict,
    /// The caller may not. Recorded as an event of its own.
    Forbidden,
    /// What was sent is not right; it names the fields.
    Invalid,
    /// Not now; the same request may pass later.
    Unavailable,
}

/// What is wrong with each field of a body, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FieldErrors(pub Vec<(String, String)>);

impl FieldErrors {
    /// One error on one field.
    #[must_use]
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![(field.into(), message.into())])
    }

    /// Adds an error.
    pub fn push(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push((field.into(), message.into()));
    }

    /// `Ok(value)` where nothing is wrong.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with all that was found.
    pub fn into_result<T>(self, value: T) -> Result<T, Refusal> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Refusal::Invalid(self))
        }
    }
}

impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("The given data was invalid."),
            [(field, message), ..] => write!(f, "{field}: {message}"),
        }
    }
}

/// A reason to say no.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// One or more fields are not right.
    #[error("{0}")]
    Invalid(FieldErrors),

    /// No record of this kind has this id, or the caller may not know of it.
    #[error("{what} not found.")]
    NotFound {
        /// The kind in the guides' words, such as `Jump Group`.
        what: &'static str,
    },

    /// A record is named by others and stays (ROLE-33).
    #[error("{what} is in use by {}.", .by.join(", "))]
    InUse {
        /// The kind in the guides' words.
        what: &'static str,
        /// Who uses it, each as `kind "name"`; at most 20, then a count.
        by: Vec<String>,
    },

    /// The first start happened already.
    #[error("This site has been set up already.")]
    SiteExists,

    /// Agents need at least one thing to trust and, once they know an address, one to go to.
    #[error("{what} cannot be withdrawn: it is the last one. Add another first.")]
    LastOfTrust {
        /// The kind of entry.
        what: &'static str,
    },

    /// Clients that have confirmed no other entry of the list would not come back.
    #[error(
        "{what} cannot be withdrawn: {clients} Jump Clients have not confirmed another one and would be cut off. To cut them off, ask with cut_off=true."
    )]
    WouldCutOff {
        /// The kind of entry.
        what: &'static str,
        /// How many clients.
        clients: u32,
    },

    /// No other anchor makes agents trust the certificate in use.
    #[error(
        "Trust anchor cannot be withdrawn: the certificate of this server is trusted by no other one, and all Jump Clients would be cut off. To cut them off, ask with cut_off=true."
    )]
    AnchorInUse,

    // --- who asks ---
    /// User name or password is wrong; which of the two is not said.
    #[error("The username or password is incorrect.")]
    SignInFailed,

    /// Too many wrong passwords came for the user from the same source.
    #[error("There were too many failed sign-ins. Try again in {seconds} second(s).")]
    SignInLocked {
        /// When to try again. Unit: seconds.
        seconds: u64,
    },

    /// The password was right, and has expired or was set by somebody else.
    #[error("Your password must be changed: sign in with a new_password beside the password.")]
    PasswordChangeRequired,

    /// A user's own password is changed by showing the present one.
    #[error("Change your own password by showing the present one.")]
    OwnPassword,

    /// The account is switched off.
    #[error("This account has been disabled.")]
    UserDisabled,

    /// Only an administrator may do this.
    #[error("Only an administrator may do this.")]
    AdministratorNeeded,

    /// An API account must not change who administers the site (threat D). The words are those that integrations know
    /// (config-api.md 8).
    #[error("This API cannot update administrators.")]
    AdministratorsNotByApi,

    /// The API account is switched off, deleted, or comes from an address it may not come from (AUTH-29).
    #[error("The API account may not be used.")]
    ApiAccountDisabled,

    /// The API account's permissions do not include this (AUTH-28).
    #[error("The API account does not have the permission \"{permission}\".")]
    ApiPermissionNeeded {
        /// The permission in the guides' words, with its API in front.
        permission: &'static str,
    },

    /// An API account without any permission is of no use (AUTH-25).
    #[error("At least one permission must be enabled.")]
    NoApiPermission,

    // --- may they ---
    /// The user's own permissions do not let them start sessions at all (GPOL-04).
    #[error("You are not allowed to access endpoints.")]
    EndpointAccessNotAllowed,

    /// The user's own permissions do not include this Jump method (GPOL-05).
    #[error("You are not allowed to use the Jump method \"{method}\".")]
    JumpMethodNotAllowed {
        /// The method as the guides name it, such as `Jump Clients`.
        method: &'static str,
    },

    /// The one role that counts lacks the permission (ROLE-16 to ROLE-25).
    #[error("Your Jump Item Role does not include the permission \"{}\".", .permission.label())]
    RoleLacks {
        /// What would be needed.
        permission: JumpItemPermission,
    },

    /// Someone else's session.
    #[error("Only a member of the session or an administrator may do this.")]
    NotYourSession,

    // --- may they now ---
    /// The schedule of the Jump Policy does not permit a session now (ERR-32, POL-13, POL-14).
    #[error("The Jump Policy \"{policy}\" does not permit a session at this time. {}", next_opening(.next_open, .zone))]
    OutsideSchedule {
        /// The policy's display name.
        policy: String,
        /// When the item is available next; none if its schedule never opens.
        next_open: Option<Timestamp>,
        /// The IANA zone the schedule is kept in.
        zone: String,
    },

    /// The policy asks for a second factor, and none can be given yet (decision in rules-notes).
    #[error(
        "The Jump Policy \"{policy}\" requires a second factor, and second factors cannot be used on this site yet."
    )]
    SecondFactorUnavailable {
        /// The policy's display name.
        policy: String,
    },

    /// The policy asks for approval, and nobody is left who could give it. Fails closed.
    #[error(
        "The Jump Policy \"{policy}\" requires approval, and nobody can approve. Please contact your administrator."
    )]
    NoApprover {
        /// The policy's display name.
        policy: String,
    },

    /// Approval was asked for where none is needed.
    #[error("This Jump Item can be accessed without approval.")]
    ApprovalNotNeeded,

    /// Another request that is good for anyone has a time in common with this one (APPR-26).
    #[error("The requested time overlaps another request for this Jump Item.")]
    RequestOverlaps,

    /// Too many requests of the user for the item wait for an answer: each is a mail to every approver.
    #[error("Too many of your requests for this Jump Item are pending already.")]
    TooManyPending,

    /// Too many requests of the user wait for an answer.
    #[error("Too many of your requests are pending already.")]
    TooManyPendingInAll,

    /// The user's requests of the last hour were too many, or too many mails.
    #[error("You have made too many requests within an hour. Please try again later.")]
    TooManyRequests,

    /// An approver has too many requests to answer, and the user's are more than an equal part of them.
    #[error(
        "Too many requests wait for these approvers already. Please try again when some have been answered."
    )]
    InboxFull,

    /// The window of the request is over (APPR-33, APPR-37).
    #[error("The time of this request is over.")]
    RequestOver,

    /// A denial stands (APPR-13).
    #[error("This request has been denied.")]
    RequestDenied,

    /// It was taken back or given up.
    #[error("This request has been cancelled.")]
    RequestCancelled,

    /// A user has joined the approved session (APPR-14).
    #[error("The approved access is in use and can no longer be denied.")]
    RequestInUse,

    /// The requester can't approve, unless the policy lets anyone (APPR-32).
    #[error("You cannot answer your own request.")]
    SelfApproval,

    /// Not an approver of the request, or not any more (APPR-37).
    #[error("You are not an approver of this request.")]
    NotAnApprover,

    /// Somebody else's to cancel (APPR-28, APPR-38).
    #[error("Only the user who made this request can cancel it.")]
    CancelNotAllowed,

    /// The policy asks for a ticket and no ticket system is set (ERR-27; no full stop at the end).
    #[error("No ticket system URL is configured. Please contact your administrator")]
    NoTicketSystem,

    /// The policy asks for a ticket and nothing is set to ask the user with (ERR-28).
    #[error("User Prompt Not Configured.")]
    NoTicketPrompt,

    /// The start is possible, and the user has to supply more for it (APPR-01, POL-25, POL-32).
    #[error("Before the session can start, it needs: {}.", titles(.needs))]
    StartNeeds {
        /// What is missing, in the order of the gates.
        needs: Vec<Need>,
    },

    /// There is nothing to answer: no ticket system is set (TICK-36).
    #[error("No ticket system URL is configured.")]
    TicketSystemNotConfigured,

    /// No such request waits: never asked, answered already, given up, or out of time (TICK-37).
    #[error("The request_id is not valid.")]
    TicketRequestNotValid,

    /// More users are starting sessions at once than the site allows (ERR-09, LIM-07, SESS-23).
    #[error("The server is currently too busy. Please try again later.")]
    TooManyStarting,

    // --- the Jump Client ---
    /// Deleted, or out of the caller's sight (ERR-05, ERR-17).
    #[error("The Jump Client does not exist.")]
    JumpClientGone,

    /// Marked offline when the start was checked (ERR-06, ERR-18, ERR-20).
    #[error("The Jump Client is offline.")]
    JumpClientOffline,

    /// The connection dropped between the check and the spawn (ERR-12, ERR-20).
    #[error("The active Jump Client is not connected.")]
    JumpClientNotConnected,

    /// Uninstalled at the endpoint (ERR-07, ERR-19).
    #[error("The specified Jump Client has been uninstalled.")]
    JumpClientUninstalled,

    /// Switched off at the endpoint (ERR-15, CLNT-29).
    #[error(
        "The Jump Client has been disabled by the user and will not allow a session to start at this time."
    )]
    JumpClientDisabled,

    /// The token is wrong, lost, or used by two machines (ERR-14, CLNT-30).
    #[error(
        "The Jump Client identification check failed. This may indicate that a new system has obtained the network address of the Jump Client you are attempting to access."
    )]
    JumpClientIdentityFailed,

    /// The item is in a session already, and simultaneous access is off (ERR-08, CLNT-52).
    #[error("Permission denied joining existing access session.")]
    JoinDenied,

    /// The session has as many members or invitations as it can have.
    #[error("The access session has as many members as it can have.")]
    SessionFull,

    /// The agent could not bring the session up (ERR-10).
    #[error("An internal error occurred while spawning the access session.")]
    SpawnFailed,

    /// The agent did not bring the session up in time (ERR-11; "a access" is literal).
    #[error("An internal operation was taking too long while trying to spawn a access session.")]
    SpawnTimedOut,

    /// A passive client was called, and none of its addresses answered (ERR-13).
    #[error("Timeout while trying to connect to the Jump Client.")]
    CallTimedOut,

    // --- mail ---
    /// No mail can leave the site (POL-30).
    #[error("No mail server is configured.")]
    NoMailServer,

    // --- the Jumpoint ---
    /// The user may not deploy or make items through the Jumpoint (ROLE-17, JPT-27).
    #[error("You are not allowed to use the Jumpoint \"{jumpoint}\".")]
    JumpointNotAllowed {
        /// What the Jumpoint is called.
        jumpoint: String,
    },

    /// Nobody may jump through the Jumpoint (JPT-06).
    #[error("The associated Jumpoint is disabled.")]
    JumpointDisabled,

    /// The Jumpoint does not serve this method (ITEM-49, JPT-07).
    #[error("The associated Jumpoint does not allow the Jump method \"{method}\".")]
    JumpointLacksMethod {
        /// The method as the guides name it.
        method: &'static str,
    },

    /// No node of the Jumpoint is connected (ERR-03).
    #[error("The associated Jumpoint is not currently online.")]
    JumpointOffline,

    /// What let a start begin did not hold any more when the endpoint had brought it up (SESS-17, POL-14): the words of the gate
    /// that had closed.
    #[error("{why}")]
    StartWithdrawn {
        /// Those words.
        why: String,
    },

    // --- the session ---
    /// No such session is active.
    #[error("The access session does not exist or has ended.")]
    SessionNotActive,

    /// Only the owner may invite and hand the session on (SESS-34).
    #[error("Only the owner of the access session may do this.")]
    NotTheOwner,

    /// The owner's own permissions do not let them share sessions with users of other teams (GPOL-17).
    #[error("You are not allowed to share sessions with teams that you do not belong to.")]
    SharingNotAllowed,

    /// Someone who is not in the session can't own it.
    #[error("The user is not a member of the access session.")]
    NotAMember,

    /// The owner of a session is one who may start sessions on its item (SESS-21).
    #[error(
        "The user may not start sessions on the Jump Item, and so cannot own the access session."
    )]
    MayNotOwn,

    /// Who invited the user may not share the session with them any more (SESS-34, GPOL-17).
    #[error("The invitation to the access session is not valid any more.")]
    InvitationNotValid,

    /// The user's own permissions do not let them set the external key.
    #[error("You are not allowed to edit the external key.")]
    ExternalKeyNotAllowed,

    /// More happened in the session than is written down of one.
    #[error("The access session has as many details as are recorded of one.")]
    TooManyDetails,

    // --- the startup group ---
    /// The eleventh item (SESS-29).
    #[error("The Jump on Startup group may not have more than 10 Jump Items.")]
    StartupGroupFull,

    /// Startup items are there at once or not at all (SESS-31).
    #[error("Only an active Jump Client may be in the Jump on Startup group.")]
    StartupNeedsActive,

    // --- the installer ---
    /// Unknown, deleted, or its secret is wrong (INST-13).
    #[error("The installer is not valid.")]
    InstallerInvalid,

    /// Past its validity (INST-04).
    #[error("The installer has expired.")]
    InstallerExpired,

    /// The server was upgraded since the installer was made (INST-08).
    #[error("The installer was made before the server was upgraded and is not valid any more.")]
    InstallerInvalidated,

    /// The site has as many Jump Clients as it may have (ERR-01).
    #[error("The total number of deployable Jump Clients for this site has been reached.")]
    JumpClientsFull,

    /// The site has as many active Jump Clients as it may have (ERR-02).
    #[error("The total number of deployable active Jump Clients for this site has been reached.")]
    ActiveJumpClientsFull,

    /// The machine has a client, and the site wants one a machine (INST-57).
    #[error("This computer already has the Jump Client \"{client}\".")]
    DuplicateMachine {
        /// What it is called.
        client: String,
    },

    /// Sessions run on as many endpoints as there are licenses (LIM-09, LIM-10).
    #[error(
        "All {licenses} licenses are in use. One is free again when the last session on its endpoint has ended."
    )]
    NoFreeLicense {
        /// How many there are.
        licenses: u32,
    },

    /// A value was passed that the installer does not let anyone override (INST-23).
    #[error("The installer does not allow the {field} to be overridden.")]
    OverrideNotAllowed {
        /// Which value.
        field: &'static str,
    },

    /// Items can't be made in this group by whoever asks.
    #[error("The {} Jump Group {} does not exist.", .group.type_name(), .group.number())]
    NoSuchJumpGroup {
        /// The group that was named.
        group: JumpGroupRef,
    },

    /// Another run of the node has taken this one's place.
    #[error("This node has been declared stopped.")]
    NodeStopped,
}

fn titles(needs: &[Need]) -> String {
    let titles: Vec<&str> = needs.iter().map(Need::title).collect();
    titles.join(", ")
}

fn next_opening(next: &Option<Timestamp>, zone: &str) -> String {
    let Some(next) = next else {
        return "Its schedule has no time at which sessions are permitted.".to_owned();
    };
    format!("Next available: {}.", moment_in(*next, zone))
}

/// A moment for people, in a zone that is named beside it; in UTC where there is no such zone.
pub(crate) fn moment_in(moment: Timestamp, zone: &str) -> String {
    let utc = moment.to_utc();
    match zone.parse::<chrono_tz::Tz>() {
        Ok(zone) => format!(
            "{} ({zone})",
            utc.with_timezone(&zone).format("%A, %Y-%m-%d %H:%M")
        ),
        Err(_) => format!("{} (UTC)", utc.format("%A, %Y-%m-%d %H:%M")),
    }
}

impl Refusal {
    /// A record of the kind `what` is not there.
    #[must_use]
    pub const fn not_found(what: &'static str) -> Self {
        Self::NotFound { what }
    }

    /// An item was deleted, or is out of the caller's sight (ERR-05, ERR-17).
    #[must_use]
    pub const fn item_gone(item: JumpItemRef) -> Self {
        match item {
            JumpItemRef::JumpClient(_) => Self::JumpClientGone,
            JumpItemRef::ShellJump(_) => Self::NotFound {
                what: "Shell Jump Item",
            },
        }
    }

    /// One field is not right.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, message))
    }

    /// What this means to a caller.
    #[must_use]
    pub const fn class(&self) -> RefusalClass {
        match self {
            Self::Invalid(_) | Self::NoApiPermission => RefusalClass::Invalid,
            Self::NotFound { .. }
            | Self::JumpClientGone
            | Self::TicketSystemNotConfigured
            | Self::SessionNotActive
            | Self::NoSuchJumpGroup { .. } => RefusalClass::NotFound,
            Self::InUse { .. }
            | Self::SiteExists
            | Self::LastOfTrust { .. }
            | Self::WouldCutOff { .. }
            | Self::AnchorInUse
            | Self::StartNeeds { .. }
            | Self::StartWithdrawn { .. }
            | Self::ApprovalNotNeeded
            | Self::RequestOverlaps
            | Self::TooManyPending
            | Self::TooManyPendingInAll
            | Self::TooManyRequests
            | Self::InboxFull
            | Self::RequestOver
            | Self::RequestDenied
            | Self::RequestCancelled
            | Self::RequestInUse
            | Self::JumpClientOffline
            | Self::JumpClientNotConnected
            | Self::JumpClientUninstalled
            | Self::JumpClientDisabled
            | Self::JumpClientIdentityFailed
            | Self::JumpointOffline
            | Self::JumpointDisabled
            | Self::JumpointLacksMethod { .. }
            | Self::SpawnFailed
            | Self::SessionFull
            | Self::NotAMember
            | Self::TooManyDetails
            | Self::StartupGroupFull
            | Self::StartupNeedsActive
            | Self::InstallerExpired
            | Self::InstallerInvalidated
            | Self::JumpClientsFull
            | Self::ActiveJumpClientsFull
            | Self::DuplicateMachine { .. }
            | Self::NoFreeLicense { .. }
            | Self::OverrideNotAllowed { .. }
            | Self::NoMailServer
            | Self::NodeStopped => RefusalClass::Conflict,
            Self::SignInFailed
            | Self::SignInLocked { .. }
            | Self::PasswordChangeRequired
            | Self::OwnPassword
            | Self::UserDisabled
            | Self::AdministratorNeeded
            | Self::AdministratorsNotByApi
            | Self::ApiAccountDisabled
            | Self::ApiPermissionNeeded { .. }
            | Self::EndpointAccessNotAllowed
            | Self::JumpMethodNotAllowed { .. }
            | Self::RoleLacks { .. }
            | Self::JumpointNotAllowed { .. }
            | Self::NotYourSession
            | Self::OutsideSchedule { .. }
            | Self::SecondFactorUnavailable { .. }
            | Self::NoApprover { .. }
            | Self::SelfApproval
            | Self::NotAnApprover
            | Self::CancelNotAllowed
            | Self::NoTicketSystem
            | Self::TicketRequestNotValid
            | Self::NoTicketPrompt
            | Self::JoinDenied
            | Self::NotTheOwner
            | Self::SharingNotAllowed
            | Self::MayNotOwn
            | Self::InvitationNotValid
            | Self::ExternalKeyNotAllowed
            | Self::InstallerInvalid => RefusalClass::Forbidden,
            Self::TooManyStarting | Self::SpawnTimedOut | Self::CallTimedOut => {
                RefusalClass::Unavailable
            }
        }
    }

    /// A short stable word for machines, beside the message for people: the variant in snake case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotFound { .. } => "not_found",
            Self::InUse { .. } => "in_use",
            Self::SiteExists => "site_exists",
            Self::LastOfTrust { .. } => "last_of_trust",
            Self::WouldCutOff { .. } => "would_cut_off",
            Self::AnchorInUse => "anchor_in_use",
            Self::SignInFailed => "sign_in_failed",
            Self::SignInLocked { .. } => "sign_in_locked",
            Self::PasswordChangeRequired => "password_change_required",
            Self::OwnPassword => "own_password",
            Self::UserDisabled => "user_disabled",
            Self::AdministratorsNotByApi => "administrators_not_by_api",
            Self::AdministratorNeeded => "administrator_needed",
            Self::ApiAccountDisabled => "api_account_disabled",
            Self::ApiPermissionNeeded { .. } => "api_permission_needed",
            Self::NoApiPermission => "no_api_permission",
            Self::EndpointAccessNotAllowed => "endpoint_access_not_allowed",
            Self::JumpMethodNotAllowed { .. } => "jump_method_not_allowed",
            Self::RoleLacks { .. } => "role_lacks",
            Self::NotYourSession => "not_your_session",
            Self::OutsideSchedule { .. } => "outside_schedule",
            Self::SecondFactorUnavailable { .. } => "second_factor_unavailable",
            Self::NoApprover { .. } => "no_approver",
            Self::ApprovalNotNeeded => "approval_not_needed",
            Self::RequestOverlaps => "request_overlaps",
            Self::TooManyPending => "too_many_pending",
            Self::TooManyPendingInAll => "too_many_pending_in_all",
            Self::TooManyRequests => "too_many_requests",
            Self::InboxFull => "inbox_full",
            Self::RequestOver => "request_over",
            Self::RequestDenied => "request_denied",
            Self::RequestCancelled => "request_cancelled",
            Self::RequestInUse => "request_in_use",
            Self::SelfApproval => "self_approval",
            Self::NotAnApprover => "not_an_approver",
            Self::CancelNotAllowed => "cancel_not_allowed",
            Self::NoTicketSystem => "no_ticket_system",
            Self::TicketSystemNotConfigured => "ticket_system_not_configured",
            Self::TicketRequestNotValid => "ticket_request_not_valid",
            Self::NoTicketPrompt => "no_ticket_prompt",
            Self::StartNeeds { .. } => "start_needs",
            Self::StartWithdrawn { .. } => "start_withdrawn",
            Self::TooManyStarting => "too_many_starting",
            Self::JumpClientGone => "jump_client_gone",
            Self::JumpClientOffline => "jump_client_offline",
            Self::JumpClientNotConnected => "jump_client_not_connected",
            Self::JumpClientUninstalled => "jump_client_uninstalled",
            Self::JumpClientDisabled => "jump_client_disabled",
            Self::JumpClientIdentityFailed => "jump_client_identity_failed",
            Self::JumpointNotAllowed { .. } => "jumpoint_not_allowed",
            Self::JumpointDisabled => "jumpoint_disabled",
            Self::JumpointLacksMethod { .. } => "jumpoint_lacks_method",
            Self::JumpointOffline => "jumpoint_offline",
            Self::JoinDenied => "join_denied",
            Self::SpawnFailed => "spawn_failed",
            Self::SpawnTimedOut => "spawn_timed_out",
            Self::CallTimedOut => "call_timed_out",
            Self::NoMailServer => "no_mail_server",
            Self::SessionNotActive => "session_not_active",
            Self::SessionFull => "session_full",
            Self::NotTheOwner => "not_the_owner",
            Self::SharingNotAllowed => "sharing_not_allowed",
            Self::NotAMember => "not_a_member",
            Self::MayNotOwn => "may_not_own",
            Self::InvitationNotValid => "invitation_not_valid",
            Self::ExternalKeyNotAllowed => "external_key_not_allowed",
            Self::TooManyDetails => "too_many_details",
            Self::StartupGroupFull => "startup_group_full",
            Self::StartupNeedsActive => "startup_needs_active",
            Self::InstallerInvalid => "installer_invalid",
            Self::InstallerExpired => "installer_expired",
            Self::InstallerInvalidated => "installer_invalidated",
            Self::JumpClientsFull => "jump_clients_full",
            Self::ActiveJumpClientsFull => "active_jump_clients_full",
            Self::DuplicateMachine { .. } => "duplicate_machine",
            Self::NoFreeLicense { .. } => "no_free_license",
            Self::OverrideNotAllowed { .. } => "override_not_allowed",
            Self::NoSuchJumpGroup { .. } => "no_such_jump_group",
            Self::NodeStopped => "node_stopped",
        }
    }
}
