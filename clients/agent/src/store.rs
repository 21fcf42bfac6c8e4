//! The state folder: who this machine is on its site, and what it trusts.
//!
//! One file, `identity.json`, mode 0600, in a folder of mode 0700 that one process at a time holds locked. The file is
//! never changed in place: it is written beside, synced, renamed, and the folder synced. When
//! [`Store::change`] has answered, the change survives a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use link_protocol::{AddressList, AnchorList, Secret, Settings};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// The version of the file written here.
const VERSION: u32 = 1;
const FILE: &str = "identity.json";
const LOCK: &str = "lock";

/// Largest file that is read. Unit: bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What an agent must not forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    v: u32,
    /// Where the server is, best first.
    pub urls: Vec<String>,
    /// The version of the site's list of addresses in `urls`; 0 is what a key said, or a server that has no list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub addresses_version: u64,
    /// The address that worked last where `urls` does not hold it: tried after them until one of them has worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_before: Option<String>,
    /// What to trust.
    pub anchors: AnchorList,
    /// The list under which a connection worked last, until one under `anchors` has worked: a list that does not cover the
    /// server must not lock the machine out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors_before: Option<AnchorList>,
    /// The registration under way, until the identity is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// Who this machine is, once the server has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// What the server said last about how to be; kept because it holds also where the server can't be reached (CLNT-19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// When the server was last there. Unit: seconds since 1970 UTC, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<i64>,
}

/// A registration under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The installer it is made with.
    pub installer_id: String,
    /// What makes a repeated registration the same one: 32 hexadecimal digits.
    pub nonce: String,
}

/// An identity the server gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The client's id on its site.
    pub id: u64,
    /// The newest token.
    pub token: Secret,
}

impl State {
    /// The state before registration.
    #[must_use]
    pub fn new(urls: Vec<String>, anchors: AnchorList) -> Self {
        Self {
            v: VERSION,
            urls,
            addresses_version: 0,
            url_before: None,
            anchors,
            anchors_before: None,
            attempt: None,
            client: None,
            settings: None,
            seen_at: None,
        }
    }

    /// Takes a newer anchor list over. Of several that come before one has worked, the list of before them all is kept.
    pub(crate) fn take_anchors(&mut self, anchors: AnchorList) {
        let held = std::mem::replace(&mut self.anchors, anchors);
        self.anchors_before.get_or_insert(held);
    }

    /// Takes a newer address list over, sent by the server at `url`; empty where that is none of the site's addresses.
    pub(crate) fn take_addresses(&mut self, addresses: AddressList, url: &str) {
        let working = self.url_before.take().unwrap_or_else(|| url.to_owned());
        self.addresses_version = addresses.version;
        self.url_before =
            (!working.is_empty() && !addresses.urls.contains(&working)).then_some(working);
        self.urls = addresses.urls;
    }

    /// The addresses in the order in which they are tried.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.urls.iter().chain(&self.url_before).cloned().collect()
    }

    /// Notes that a connection to `url` has worked, with the newest anchors or those of before.
    pub(crate) fn worked(&mut self, url: &str, with: Trusted) {
        if with == Trusted::Newest {
            self.anchors_before = None;
        }
        if self.urls.iter().any(|known| known == url) {
            self.url_before = None;
        }
    }
}

/// Which of the two anchor lists a connection was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// The newest one.
    Newest,
    /// The one of before.
    Before,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// Why the state can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent holds the folder. Two with one identity would be taken for a clone.
    #[error("another agent uses the state folder {}", .0.display())]
    InUse(PathBuf),
    /// Others than the owner may read or write the file.
    #[error("{} is open to others; run: chmod 600 {}", .0.display(), .0.display())]
    OpenToOthers(PathBuf),
    /// It is not a state file, or one of a newer version.
    #[error("{} is damaged or was written by a newer version", .0.display())]
    Damaged(PathBuf),
    /// Reading or writing failed.
    #[error("could not {tried} {}", path.display())]
    Io {
        /// What was tried: a verb.
        tried: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The locked state folder and what it holds.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    state: Option<State>,
    registered: watch::Sender<bool>,
    /// Held for its lock.
    _lock: File,
}

impl Store {
    /// Opens the folder, making it if need be, locks it and reads what is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&folder)
            .map_err(|source| io_error("create", &folder, source))?;
        let path = folder.join(LOCK);
        let lock = private(OpenOptions::new().write(true).create(true))
            .open(&path)
            .map_err(|source| io_error("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(folder)),
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path, source)),
        }
        let state = read(&folder.join(FILE))?;
        let registered = watch::Sender::new(has_client(state.as_ref()));
        Ok(Self {
            folder,
            state,
            registered,
            _lock: lock,
        })
    }

    /// What is on disk; none before the first change.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Says whether there is an identity on disk, and when one comes.
    #[must_use]
    pub fn registered(&self) -> watch::Receiver<bool> {
        self.registered.subscribe()
    }

    /// Remembers that the server was there at `at`, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// As [`Store::change`].
    pub async fn seen(&mut self, at: i64) -> Result<(), StoreError> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let next = State {
            seen_at: Some(at),
            ..state.clone()
        };
        self.change(next).await
    }

    /// The state folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts `next` on disk, synced, and only then takes it over.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was held before is then still held, on disk and in memory.
    pub async fn change(&mut self, next: State) -> Result<(), StoreError> {
        let written = self.writing(next).await?;
        self.took(written);
        Ok(())
    }

    /// Puts `next` on disk, synced, for a caller who has other things to do meanwhile; [`Store::took`] takes it over then. One at
    /// a time. Answers what was written.
    pub(crate) fn writing(
        &self,
        next: State,
    ) -> impl Future<Output = Result<State, StoreError>> + Send + 'static + use<> {
        let is_same = self.state.as_ref() == Some(&next);
        let folder = self.folder.clone();
        async move {
            if is_same {
                return Ok(next);
            }
            let beside = folder.clone();
            let written =
                tokio::task::spawn_blocking(move || write(&beside, &next).map(|()| next)).await;
            written.map_err(|error| io_error("write", &folder, io::Error::other(error)))?
        }
    }

    /// Takes over what is on disk now.
    pub(crate) fn took(&mut self, written: State) {
        let registered = has_client(Some(&written));
        self.state = Some(written);
        self.registered.send_if_modified(|known| {
            let is_new = *known != registered;
            *known = registered;
            is_new
        });
    }
}

fn has_client(state: Option<&State>) -> bool {
    state.is_some_and(|state| state.client.is_some())
}

fn read(path: &Path) -> Result<Option<State>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error("read", path, source)),
    };
    let metadata = file
        .metadata()
        .map_err(|source| io_error("read", path, source))?;
    if is_open_to_others(&metadata) {
        return Err(StoreError::OpenToOthers(path.to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error("read", path, source))?;
    let damaged = || StoreError::Damaged(path.to_owned());
    let state: State = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if state.v != VERSION
        || state.urls.is_empty()
        || state.anchors.check().is_err()
        || state
            .anchors_before
            .as_ref()
            .is_some_and(|anchors| anchors.check().is_err())
        || state
            .settings
            .as_ref()
            .is_some_and(|settings| settings.check().is_err())
    {
        return Err(damaged());
    }
    Ok(Some(state))
}

fn write(folder: &Path, state: &State) -> Result<(), StoreError> {
    let (path, beside) = (folder.join(FILE), folder.join("identity.json.new"));
    let text = serde_json::to_vec_pretty(state).map(Zeroizing::new);
    let text = text.map_err(|error| io_error("write", &path, io::Error::other(error)))?;
    // Left over from a crash; the lock says that nobody else is writing it.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &beside, error));
        }
        _ => {}
    }
    private(OpenOptions::new().write(true).create_new(true))
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        })
        .map_err(|source| io_error("write", &beside, source))?;
    fs::rename(&beside, &path).map_err(|source| io_error("replace", &path, source))?;
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io_error("sync", folder, source))
}

/// A folder can't be opened as a file there, and its journal keeps the rename.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

fn io_error(tried: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        tried,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use link_protocol::Anchor;

    use super::*;

    fn state() -> State {
        let anchors = AnchorList {
            version: 1,
            list: vec![Anchor::System],
        };
        let mut state = State::new(vec!["https://gatebook.example".to_owned()], anchors);
        state.client = Some(Client {
            id: 7,
            token: Secret::new("t".repeat(43)),
        });
        state
    }

    #[tokio::test]
    async fn a_change_is_on_disk_for_its_owner_only_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let mut store = Store::open(&path).unwrap();
        assert!(store.state().is_none());
        store.change(state()).await.unwrap();
        drop(store);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(FILE)), 0o600);
        assert_eq!(Store::open(&path).unwrap().state(), Some(&state()));
    }

    #[tokio::test]
    async fn what_a_crash_left_beside_the_file_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("identity.json.new"), "half of it").unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.change(state()).await.unwrap();
        drop(store);
        assert_eq!(Store::open(folder.path()).unwrap().state(), Some(&state()));
    }

    #[tokio::test]
    async fn a_failed_write_keeps_what_was_held() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.change(state()).await.unwrap();
        // A folder in the way fails the write, for root as well.
        fs::create_dir(folder.path().join("identity.json.new")).unwrap();
        let mut next = state();
        next.client = Some(Client {
            id: 7,
            token: Secret::new("u".repeat(43)),
        });
        assert!(store.change(next).await.is_err());
        assert_eq!(store.state(), Some(&state()));
        drop(store);
        assert_eq!(Store::open(folder.path()).unwrap().state(), Some(&state()));
    }

    #[test]
    fn a_folder_serves_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open(folder.path()).unwrap();
        assert!(matches!(
            Store::open(folder.path()),
            Err(StoreError::InUse(_))
        ));
    }

    #[test]
    fn damaged_newer_and_open_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let good = serde_json::to_string(&state()).unwrap();
        for text in [
            "",
            "{}",
            &good.replace("\"v\":1", "\"v\":2"),
            &good[..good.len() - 1],
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(Store::open(folder.path()), Err(StoreError::Damaged(_))),
                "{text}"
            );
        }
        fs::write(&path, &good).unwrap();
        assert!(Store::open(folder.path()).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Store::open(folder.path()),
            Err(StoreError::OpenToOthers(_))
        ));
    }

    /// threat C
    #[test]
    fn threat_c_debug_shows_no_token() {
        assert!(!format!("{:?}", state()).contains("tttt"));
    }
}
