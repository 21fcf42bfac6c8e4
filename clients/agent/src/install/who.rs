//! For whom a client is installed: who may be named, and where their home is.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use link_protocol::package::PackageKind;
use link_protocol::parameters::Parameters;
use nix::unistd::{Uid, User, geteuid};

use super::InstallError;

/// Who installs.
pub(super) struct Me {
    /// Their number.
    pub(super) uid: u32,
    /// The user who became root by sudo.
    sudo: Option<u32>,
}

impl Me {
    pub(super) fn now() -> Self {
        let sudo = std::env::var("SUDO_UID")
            .ok()
            .and_then(|uid| uid.parse().ok());
        Self {
            uid: geteuid().as_raw(),
            sudo,
        }
    }
}

/// The user the client is to run as (INST-46, INST-47, CLNT-09).
pub(super) fn user_of(
    kind: PackageKind,
    given: &Parameters,
    me: &Me,
) -> Result<User, InstallError> {
    let is_service = kind == PackageKind::Desktop && me.uid == 0;
    let by_id = |uid: u32| -> Result<User, InstallError> {
        let user = User::from_uid(Uid::from_raw(uid)).map_err(InstallError::Users)?;
        user.ok_or_else(|| InstallError::NoSuchUser(uid.to_string()))
    };
    let user = match &given.user {
        Some(name) => User::from_name(name)
            .map_err(InstallError::Users)?
            .ok_or_else(|| InstallError::NoSuchUser(name.clone()))?,
        None if me.uid != 0 => by_id(me.uid)?,
        // Whoever became root to install is who it is for.
        None if is_service => match me.sudo.filter(|uid| *uid != 0) {
            Some(uid) => by_id(uid)?,
            None => return Err(InstallError::ServiceWithoutUser),
        },
        None => return Err(InstallError::RootWithoutUser),
    };
    if me.uid != 0 && user.uid.as_raw() != me.uid {
        return Err(InstallError::AnotherUser(user.name));
    }
    if is_service && user.uid.is_root() {
        return Err(InstallError::ServiceWithoutUser);
    }
    if user.uid.is_root() && !given.allow_root {
        return Err(InstallError::RootNotAllowed);
    }
    Ok(user)
}

/// The home of the user. Whoever installs for themselves may have said where it is, as every program of theirs believes it.
pub(super) fn home_of(user: &User, me: &Me, said: Option<PathBuf>) -> PathBuf {
    let is_own = |home: &PathBuf| {
        let metadata = std::fs::symlink_metadata(home);
        home.is_absolute()
            && home
                .to_str()
                .is_some_and(|home| !home.chars().any(char::is_control))
            && metadata.is_ok_and(|home| home.is_dir() && home.uid() == me.uid)
    };
    said.filter(|_| me.uid != 0)
        .filter(is_own)
        .unwrap_or_else(|| user.dir.clone())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What stands before a user's name here where `--allow-root` was said.
    const ALLOWED: &str = "allowed ";

    fn given(user: Option<&str>) -> Parameters {
        let allowed = user.and_then(|user| user.strip_prefix(ALLOWED));
        Parameters {
            user: allowed.or(user).map(str::to_owned),
            allow_root: allowed.is_some(),
            ..Parameters::default()
        }
    }

    fn name(
        kind: PackageKind,
        user: Option<&str>,
        uid: u32,
        sudo: Option<u32>,
    ) -> Result<String, String> {
        user_of(kind, &given(user), &Me { uid, sudo })
            .map(|user| user.name)
            .map_err(|error| error.to_string())
    }

    /// CLNT-06: whoever installs for themselves says where their home is, and nobody says where another's is.
    #[test]
    fn a_home_is_said_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let own = home.metadata().unwrap().uid();
        let mut user = User::from_uid(Uid::from_raw(65_534)).unwrap().unwrap();
        user.dir = "/nonexistent".into();
        let found = |uid: u32, said: &Path| {
            home_of(&user, &Me { uid, sudo: None }, Some(said.to_owned())) == said
        };
        // The folder belongs to whoever runs this; root's own word does not count.
        assert_eq!(found(own, &home), own != 0);
        assert!(!found(own + 1, &home));
        assert!(!found(own, Path::new("relative")));
        assert!(!found(own, &home.join("none")));
        let me = Me {
            uid: own,
            sudo: None,
        };
        assert_eq!(home_of(&user, &me, None), user.dir);
    }

    /// INST-44, INST-46, INST-47, CLNT-09
    #[test]
    fn a_client_runs_as_who_was_named_and_as_root_only_if_root_was() {
        use PackageKind::{Desktop, Headless};
        let nobody = 65_534;
        let cases = [
            (Headless, None, nobody, None, Ok("nobody")),
            (Headless, Some("nobody"), nobody, None, Ok("nobody")),
            (Headless, Some("nobody"), 0, None, Ok("nobody")),
            (
                Headless,
                Some("root"),
                0,
                None,
                Err("is not to run as root"),
            ),
            (Headless, Some("allowed root"), 0, None, Ok("root")),
            (
                Headless,
                None,
                0,
                None,
                Err("not recommended to run the Jump Client as root"),
            ),
            (Headless, None, 0, Some(nobody), Err("--user <username>")),
            (
                Headless,
                Some("no-such-user"),
                0,
                None,
                Err("there is no user no-such-user"),
            ),
            (
                Headless,
                Some("root"),
                nobody,
                None,
                Err("only root can install for another user"),
            ),
            (Desktop, None, nobody, None, Ok("nobody")),
            (Desktop, Some("nobody"), 0, None, Ok("nobody")),
            (Desktop, None, 0, Some(nobody), Ok("nobody")),
            (Desktop, None, 0, None, Err("must not run as root")),
            (Desktop, None, 0, Some(0), Err("must not run as root")),
            (Desktop, Some("root"), 0, None, Err("must not run as root")),
            (
                Desktop,
                Some("allowed root"),
                0,
                None,
                Err("must not run as root"),
            ),
        ];
        for (kind, user, uid, sudo, expected) in cases {
            let found = name(kind, user, uid, sudo);
            match expected {
                Ok(expected) => {
                    assert_eq!(found.as_deref(), Ok(expected), "{kind:?} {user:?} {uid}")
                }
                Err(said) => {
                    let error = found.unwrap_err();
                    assert!(error.contains(said), "{kind:?} {user:?} {uid}: {error}");
                }
            }
        }
    }
}
