//! Whether an installer can still be used, who may handle it, and what its creator may reach.

use super::{JumpClientInstaller, VALID_MINUTES_MAX, VALID_MINUTES_MIN};
use crate::access::permission;
use crate::access::role::JumpItemPermission;
use crate::fleet::capacity;
use crate::ids::{JumpClientInstallerId, JumpGroupRef, UserId};
use crate::record::{self, Change};
use crate::{Actor, Context, Decision, Refusal, Timestamp, World, happened, time};

/// What has become of an installer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It brings clients.
    Valid,
    /// Its time is over (INST-04).
    Expired,
    /// The server was upgraded since it was made (INST-08), or what it was made for is not there any more: its group, or that
    /// the site has passive clients.
    Invalidated,
}

impl Standing {
    /// Its word in answers and filters.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
        }
    }
}

impl JumpClientInstaller {
    /// What has become of it by `now`.
    #[must_use]
    pub fn standing(&self, world: &World, now: Timestamp) -> Standing {
        if now >= self.expiration_timestamp {
            Standing::Expired
        } else if self.site_builds < world.site_builds() || self.has_a_place(world).is_err() {
            Standing::Invalidated
        } else {
            Standing::Valid
        }
    }

    /// Whether its clients could be anywhere: its group is there (an installer outlives it, and can be deleted), and the site may
    /// have clients of their kind (CLNT-61).
    fn has_a_place(&self, world: &World) -> Result<(), Refusal> {
        let group = self.group();
        if !world.has_group(group) {
            return Err(Refusal::NoSuchJumpGroup { group });
        }
        capacity::connection_type_allowed(&world.settings, &self.connection_type)
    }

    /// Whether it still brings clients: asked by whoever registers one, hands it out or packs it.
    ///
    /// Its creator's right to its own group is not asked again: it was there when the installer was made, and INST-59 asks at
    /// registration for another group alone, so that a roll-out outlives the account of who began it. The list says of whom the
    /// right has gone ([`creator_may_deploy`](Self::creator_may_deploy)); whoever may handle the group deletes the installer.
    ///
    /// # Errors
    /// [`Refusal::InstallerExpired`] (INST-04), [`Refusal::InstallerInvalidated`] (INST-08), or what is not there any more.
    pub fn usable(&self, world: &World, now: Timestamp) -> Result<(), Refusal> {
        match self.standing(world, now) {
            Standing::Valid => Ok(()),
            Standing::Expired => Err(Refusal::InstallerExpired),
            Standing::Invalidated => {
                self.has_a_place(world)?;
                Err(Refusal::InstallerInvalidated)
            }
        }
    }

    /// Whether who made it may deploy Jump Clients into `group` now (INST-59): a user by their role there, an API account by
    /// its permission everywhere. One that is gone or switched off may nowhere.
    #[must_use]
    pub fn creator_may_deploy(&self, world: &World, group: JumpGroupRef) -> bool {
        let may = match (self.created_by_user_id, self.created_by_api_account_id) {
            (Some(user), _) => {
                world.users.get(&user).is_some_and(|user| user.enabled)
                    && may_deploy(world, user, group).is_ok()
            }
            (None, Some(account)) => world
                .api_accounts
                .get(&account)
                .is_some_and(|account| account.enabled && account.perm_configuration),
            (None, None) => false,
        };
        may && world.has_group(group)
    }

    /// Notes who makes it.
    pub(super) fn made_by(&mut self, actor: &Actor) {
        match actor {
            Actor::User(user) => self.created_by_user_id = Some(*user),
            Actor::ApiAccount(account) => self.created_by_api_account_id = Some(*account),
            _ => {}
        }
    }
}

/// Asks for the right to put new items into a group (ROLE-16).
pub(super) fn may_deploy(world: &World, user: UserId, group: JumpGroupRef) -> Result<(), Refusal> {
    let access = permission::access_to_group(world, user, group)
        .ok_or(Refusal::NoSuchJumpGroup { group })?;
    if access.role.allows(JumpItemPermission::CreateAndDeploy) {
        Ok(())
    } else {
        Err(Refusal::RoleLacks {
            permission: JumpItemPermission::CreateAndDeploy,
        })
    }
}

/// Whether `user` may see, download, hand out, extend and delete the installers of `group`: administrators all of them,
/// others where they may deploy (INST-11, INST-62).
///
/// # Errors
/// [`Refusal::RoleLacks`], or that the group is out of the user's sight.
pub fn may_handle(world: &World, user: UserId, group: JumpGroupRef) -> Result<(), Refusal> {
    if world.is_administrator(user) {
        Ok(())
    } else {
        may_deploy(world, user, group)
    }
}

/// The installer, if it is there and whoever asks may handle it.
pub(super) fn handled<'w>(
    world: &'w World,
    id: JumpClientInstallerId,
    context: &Context,
) -> Result<&'w JumpClientInstaller, Refusal> {
    let gone = Refusal::not_found(<JumpClientInstaller as record::Record>::TITLE);
    let installer = world.installers.get(&id).ok_or(gone)?;
    if let Some(user) = context.role_holder() {
        may_handle(world, user, installer.group())?;
    }
    Ok(installer)
}

/// Moves the end of an installer's time to `valid_minutes` from now: only later, and at most a year ahead (INST-12). What is
/// over stays over.
pub(super) fn decide_extend(
    world: &World,
    id: JumpClientInstallerId,
    valid_minutes: i64,
    context: &Context,
) -> Decision {
    let installer = handled(world, id, context)?;
    installer.usable(world, context.now)?;
    if !(VALID_MINUTES_MIN..=VALID_MINUTES_MAX).contains(&valid_minutes) {
        return Err(Refusal::field(
            "valid_duration",
            format!(
                "The valid_duration field must be an integer between {VALID_MINUTES_MIN} and {VALID_MINUTES_MAX}."
            ),
        ));
    }
    let end = context.now.plus(valid_minutes * time::MINUTE);
    if end <= installer.expiration_timestamp {
        return Err(Refusal::field(
            "valid_duration",
            format!(
                "The installer is valid until {}: it can only be extended, not shortened.",
                installer.expiration_timestamp.to_rfc3339()
            ),
        ));
    }
    let change = Change {
        old: installer.expiration_timestamp.0.into(),
        new: end.0.into(),
    };
    let changes = [("expiration_timestamp".to_owned(), change)].into();
    happened(crate::Event::JumpClientInstaller(
        id,
        record::Event::Changed(changes),
    ))
}
