//! Which permission a route needs, and what is said where it is missing (ERR-31, AUTH-22 to AUTH-28).

use domain::site::api_account::ApiAccount;
use domain::{Command, audit};

use crate::caller::{Caller, Known, Principal};
use crate::error::Problem;
use crate::site::Site;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token; limited by source address (AUTH-33).
    Anyone,
    /// Anybody, without a token and without a limit: probes, which are answered from memory and tell nothing.
    Probe,
    /// An agent, which says over its link who it is; how many may connect is the hub's to say.
    Agent,
    /// An API account that has this permission. The Configuration API is also for administrators who signed in, and its
    /// description for everybody who did (CONF-06).
    ApiAccount(Permission),
    /// A user who has signed in.
    User,
    /// An administrator who has signed in.
    Administrator,
}

/// What an API account may be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Nothing but to be an account.
    Any,
    /// "Configuration API > Allow Access" (CONF-05).
    Configuration,
    /// "Command API > Read-Only" or more.
    CommandRead,
    /// "Command API > Full Access".
    CommandFull,
    /// "Allow Access to Access Session Reports and Recordings".
    ReportingSupport,
    /// License usage reports.
    ReportingLicense,
    /// "Allow Access to Vault Account Activity Reports".
    ReportingVault,
}

/// What an account gets for a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Granted,
    /// It may use the surface, but not for this.
    NotForThis,
    /// It has no permission at all for the surface.
    NotAtAll,
}

impl Permission {
    /// What `account` gets for it.
    #[must_use]
    pub fn verdict(self, account: &ApiAccount) -> Verdict {
        let reports_at_all = account.perm_reporting_support
            || account.perm_reporting_license
            || account.perm_reporting_vault
            || account.perm_reporting_jump_item
            || account.perm_reporting_syslog;
        let (granted, at_all) = match self {
            Self::Any => (true, true),
            // The published description says 403 for every missing permission of this surface.
            Self::Configuration => (account.perm_configuration, true),
            Self::CommandRead => (account.perm_command != "deny", false),
            Self::CommandFull => (
                account.perm_command == "full_access",
                account.perm_command != "deny",
            ),
            Self::ReportingSupport => (account.perm_reporting_support, reports_at_all),
            Self::ReportingLicense => (account.perm_reporting_license, reports_at_all),
            Self::ReportingVault => (account.perm_reporting_vault, reports_at_all),
        };
        match (granted, at_all) {
            (true, _) => Verdict::Granted,
            (false, true) => Verdict::NotForThis,
            (false, false) => Verdict::NotAtAll,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Any => "be an API account",
            Self::Configuration => "use the Configuration API",
            Self::CommandRead => "use the Command API",
            Self::CommandFull => "run this command, which needs full access to the Command API",
            Self::ReportingSupport => "read access session reports",
            Self::ReportingLicense => "read license usage reports",
            Self::ReportingVault => "read Vault account activity reports",
        }
    }
}

/// Asks whether `caller` has what `access` needs. A refusal is in the log before it is answered.
///
/// # Errors
/// 403, or 404 "Document Not Found" where there is no permission at all for the surface (ERR-31).
pub async fn require(
    site: &Site,
    caller: &Caller,
    known: &Known,
    access: Access,
    action: &str,
) -> Result<(), Problem> {
    let world = known.world();
    let problem = match (access, caller.principal) {
        (Access::Anyone | Access::Probe | Access::Agent, _)
        | (Access::User, Principal::User(_)) => return Ok(()),
        (Access::Administrator, Principal::User(user)) if world.is_administrator(user) => {
            return Ok(());
        }
        (Access::Administrator, Principal::User(_)) => {
            Problem::from(domain::Refusal::AdministratorNeeded)
        }
        (Access::ApiAccount(permission), Principal::ApiAccount(id)) => {
            let Some(account) = world.api_accounts.get(&id) else {
                return Err(Problem::access_denied());
            };
            match permission.verdict(account) {
                Verdict::Granted => return Ok(()),
                Verdict::NotForThis => Problem::forbidden(
                    "permission_missing",
                    format!(
                        "The API account is not permitted to {}.",
                        permission.title()
                    ),
                ),
                Verdict::NotAtAll => Problem::document_not_found(),
            }
        }
        // What is for any API account, a description of the API, is for everybody who signed in (CONF-06).
        (Access::ApiAccount(Permission::Any), Principal::User(_)) => return Ok(()),
        (Access::ApiAccount(Permission::Configuration), Principal::User(user)) => {
            if world.is_administrator(user) {
                return Ok(());
            }
            Problem::from(domain::Refusal::AdministratorNeeded)
        }
        // Elsewhere a token of one kind opens no door of the other.
        (Access::User | Access::Administrator, Principal::ApiAccount(_))
        | (Access::ApiAccount(_), Principal::User(_)) => return Err(Problem::access_denied()),
    };
    Err(record_refusal(site, caller, problem, action).await)
}

/// Writes a refusal that no command stands for into the log, or counts it where it repeats one of the last minute; the answer
/// carries the event's id.
///
/// If it can't be written, the answer is still no, without an id.
pub async fn record_refusal(
    site: &Site,
    caller: &Caller,
    mut problem: Problem,
    action: &str,
) -> Problem {
    let refused = audit::ActionRefused {
        code: problem.code.to_owned(),
        message: problem.message.clone(),
        command: action.to_owned(),
        subject: Some(caller.name()),
        inputs: None,
    };
    let cause = caller.cause();
    let command = Command::Audit(audit::Command::Record(refused.clone()));
    let submission = engine::Submission::new(command, cause.clone(), caller.lane());
    match site.engine.execute(submission).await {
        Ok(_) => problem.event = site.engine.refusal_event(&refused, &cause),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                action,
                "a refusal was not recorded"
            );
        }
    }
    problem
}
