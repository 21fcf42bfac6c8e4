//! The directory of a site on a node: which files lie there, how they are written, and the lock that keeps a second
//! program out.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use eventstore::{Access, EventStore, Location, Options};

/// Where a site is kept: a directory, and perhaps a database and a key file elsewhere.
#[derive(Clone)]
pub struct Place {
    directory: PathBuf,
    database: Option<String>,
    key_file: Option<PathBuf>,
}

impl Place {
    /// The site in `directory`, its log in `database` where one is named.
    #[must_use]
    pub fn new(directory: PathBuf, database: Option<String>, key_file: Option<PathBuf>) -> Self {
        Self {
            directory,
            database,
            key_file,
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether several nodes may share the log.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.database.is_some()
    }

    /// Where the log is.
    #[must_use]
    pub fn location(&self) -> Location {
        match &self.database {
            Some(url) => Location::Postgres { url: url.clone() },
            None => Location::Sqlite {
                directory: self.directory.clone(),
            },
        }
    }

    /// The key file.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.key_file
            .clone()
            .unwrap_or_else(|| self.directory.join("key"))
    }

    /// The first credentials, written by the first start.
    #[must_use]
    pub fn first_run(&self) -> PathBuf {
        self.directory.join("first-run.json")
    }

    /// The certificate of the site's authority, for curl.
    #[must_use]
    pub fn authority_certificate(&self) -> PathBuf {
        self.directory.join("site-ca.pem")
    }

    /// The socket on which a running server takes orders from whoever owns the directory.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// Where an operator puts further languages of mails.
    #[must_use]
    pub fn mail_languages(&self) -> PathBuf {
        self.directory.join("mail-languages")
    }

    /// Where snapshots lie.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    /// Makes the directory if it is missing: for its owner alone.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(&self) -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .with_context(|| format!("making the directory {}", self.directory.display()))
    }

    /// Takes the directory for this process alone, as long as the answer lives.
    ///
    /// # Errors
    /// Another process has it, or what the system says.
    pub fn lock(&self) -> Result<DirectoryLock> {
        match self.try_lock()? {
            Some(lock) => Ok(lock),
            None => bail!(
                "another gatebook runs in {}: stop it first",
                self.directory.display()
            ),
        }
    }

    /// As [`Place::lock`]; none if another process has it.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_lock(&self) -> Result<Option<DirectoryLock>> {
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(DirectoryLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", path.display()))
            }
        }
    }

    /// Opens the log to read and to append; makes or migrates it.
    ///
    /// # Errors
    /// As [`EventStore::open`].
    pub async fn open(&self) -> Result<EventStore, eventstore::OpenError> {
        EventStore::open(&self.location(), Options::default()).await
    }

    /// Opens the log for reading, beside a running server.
    ///
    /// # Errors
    /// As [`EventStore::open`].
    pub async fn open_for_reading(&self) -> Result<EventStore, eventstore::OpenError> {
        let options = Options {
            access: Access::ReadOnly,
            ..Options::default()
        };
        EventStore::open(&self.location(), options).await
    }
}

/// Keeps other processes out of the directory until it is dropped or the process ends, however it ends.
pub struct DirectoryLock {
    _file: File,
}

/// Writes `bytes` to `path` for its owner alone: the file appears whole, replaces what was there, and is on disk when
/// this returns.
///
/// # Errors
/// What the system says; nothing is left behind then.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(path, bytes, 0o600)
}

/// As [`write_private`], readable by everyone.
///
/// # Errors
/// As [`write_private`].
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(path, bytes, 0o644)
}

/// Puts the certificate of the site's authority where curl finds it, unless it is there.
///
/// # Errors
/// It can't be written.
pub fn write_certificate(place: &Place, pem: &str) -> Result<()> {
    let file = place.authority_certificate();
    if fs::read(&file).is_ok_and(|there| there == pem.as_bytes()) {
        return Ok(());
    }
    write_public(&file, pem.as_bytes()).with_context(|| format!("writing {}", file.display()))
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    // Left by a process that was killed and had our number.
    remove_if_there(&beside)?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // The failed write is what is reported; the rest of a file may or may not be there.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_folder_of(path)
}

/// Removes a file; it is fine if there is none.
///
/// # Errors
/// What the system says.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Brings the names in the folder of `path` to disk.
///
/// # Errors
/// What the system says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_directory_is_its_owners_and_one_process_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("a/site"), None, None);
        place.make().unwrap();
        assert_eq!(mode_of(place.directory()), 0o700);
        let held = place.lock().unwrap();
        assert!(place.try_lock().unwrap().is_none());
        drop(held);
        assert!(place.try_lock().unwrap().is_some());
    }

    #[test]
    fn a_file_is_written_whole_with_its_mode_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first-run.json");
        write_public(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_private(&folder.path().join("missing/file"), b"").is_err());
    }
}
