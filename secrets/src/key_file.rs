//! The key file: which keys there are, newest first, in a text format with a version.
//!
//! ```text
//! gatebook-key-file 1
//! hash 1f0c66d2 <64 hex digits>
//! seal 9b7be1a4 <64 hex digits>
//! seal 03c5d2f8 <64 hex digits>
//! ```
//!
//! The first `seal` line is the key that seals; all of them open. The one `hash` line is the root of
//! the keyed hashes and stays when the sealing keys rotate, because a hash can't be renewed without
//! the value it was made of. Lines that are empty or start with `#` are skipped. The eight digits are
//! an id computed from the key, so a damaged line is found when the file is read and not when the
//! first secret fails to open.
//!
//! The file is never changed in place: it is written anew beside itself, synced, and renamed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// First line of every key file of the format written here.
const HEADING: &str = "gatebook-key-file 1";

/// Largest key file that is read. Unit: bytes. Room for some hundred keys.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Length of every key. Unit: bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// Names a key without giving it away: the first four bytes of a hash of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; 4]);

impl KeyId {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"gatebook key id\0")
            .chain_update(key)
            .finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A key with its id. Wiped from memory when dropped; its `Debug` shows only the id.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl Key {
    fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self {
            id: KeyId::of(&bytes),
            bytes,
        }
    }

    /// A key from the system's random source.
    fn random() -> Result<Self, KeyFileError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| KeyFileError::NoRandomness)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Why a key file could not be made, read or rewritten. The texts never hold key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// A file is there already; it may be the only copy of the keys and is never overwritten.
    #[error("key file {} exists already and is never overwritten", .0.display())]
    Exists(PathBuf),
    /// There is no such file.
    #[error("key file {} does not exist; without it no stored secret can be opened", .0.display())]
    Missing(PathBuf),
    /// Others than the owner may read or write the file.
    #[error(
        "key file {} is open to others (mode {mode:04o}); run: chmod 600 {}",
        path.display(),
        path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key file, is damaged, or was written by a newer version.
    #[error("key file {} is not usable: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without any of its bytes.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("could not {tried} key file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: a verb.
        tried: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A key named for removal is not in the file, or is the one that seals.
    #[error("key {0} is not in the key file, or is its newest")]
    NoSuchOlderKey(KeyId),
    /// The system's random source gave nothing.
    #[error("the system's random source failed")]
    NoRandomness,
}

/// The keys of a key file, as read or as just written.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    pub(crate) hash: Key,
    /// Newest first, never empty.
    pub(crate) seal: Vec<Key>,
}

impl KeyFile {
    /// Makes a key file with one sealing key and one hashing key, mode 0600, synced to disk.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] where anything has that name already, and I/O errors.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let made = Self {
            path: path.to_owned(),
            hash: Key::random()?,
            seal: vec![Key::random()?],
        };
        let beside = made.write_beside()?;
        // A link, unlike a rename, fails when the name is taken; so the file appears whole or not at all.
        let linked = fs::hard_link(&beside, path);
        fs::remove_file(&beside).map_err(|source| made.io("tidy up after", source))?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyFileError::Exists(path.to_owned()));
            }
            Err(source) => return Err(made.io("create", source)),
        }
        made.sync_directory()?;
        Ok(made)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError::Missing`], [`KeyFileError::OpenToOthers`] when group or world have any right to it,
    /// [`KeyFileError::Malformed`], and I/O errors.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let io = |source| KeyFileError::Io {
            path: path.to_owned(),
            tried: "read",
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyFileError::Missing(path.to_owned()));
            }
            Err(source) => return Err(io(source)),
        };
        // Asked of the open file, not of the name, so that what is checked is what is read.
        let metadata = file.metadata().map_err(io)?;
        refuse_open_to_others(path, &metadata)?;
        let mut text = Zeroizing::new(String::new());
        let length = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        match length {
            Ok(length) if length as u64 > FILE_BYTES_MAX => Err(malformed(path, "it is too long")),
            Ok(_) => Self::parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(malformed(path, "it is not text"))
            }
            Err(source) => Err(io(source)),
        }
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ids of the sealing keys, newest first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.seal.iter().map(|key| key.id).collect()
    }

    /// Puts a new sealing key in front, keeping the others so that older secrets still open.
    ///
    /// The file is read again first, under a lock on its folder, so that two programs that rotate at
    /// once lose no key.
    ///
    /// # Errors
    /// As [`KeyFile::load`], and I/O errors of writing.
    pub fn rotate(&mut self) -> Result<KeyId, KeyFileError> {
        let key = Key::random()?;
        let id = key.id;
        self.rewrite(|now| {
            now.seal.insert(0, key);
            Ok(())
        })?;
        Ok(id)
    }

    /// Adds a new sealing key behind the newest: it opens from now on and seals only after
    /// [`KeyFile::prefer`]. For sites that carry copies of the file to several nodes: first the file
    /// with the added key goes to all of them, then each prefers it.
    ///
    /// # Errors
    /// As [`KeyFile::rotate`].
    pub fn add_key(&mut self) -> Result<KeyId, KeyFileError> {
        let key = Key::random()?;
        let id = key.id;
        self.rewrite(|now| {
            now.seal.insert(1, key);
            Ok(())
        })?;
        Ok(id)
    }

    /// Makes a key that is in the file the one that seals.
    ///
    /// # Errors
    /// [`KeyFileError::NoSuchOlderKey`] if the key is unknown; otherwise as [`KeyFile::rotate`].
    pub fn prefer(&mut self, id: KeyId) -> Result<(), KeyFileError> {
        self.rewrite(|now| {
            let place = now.seal.iter().position(|key| key.id == id);
            let place = place.ok_or(KeyFileError::NoSuchOlderKey(id))?;
            let key = now.seal.remove(place);
            now.seal.insert(0, key);
            Ok(())
        })
    }

    /// Removes a sealing key. What was sealed under it can never be opened again: seal it anew first.
    ///
    /// # Errors
    /// [`KeyFileError::NoSuchOlderKey`] for the newest key and for unknown ones.
    pub fn remove_key(&mut self, id: KeyId) -> Result<(), KeyFileError> {
        self.rewrite(|now| {
            let place = now.seal.iter().position(|key| key.id == id);
            match place {
                None | Some(0) => Err(KeyFileError::NoSuchOlderKey(id)),
                Some(place) => {
                    now.seal.remove(place);
                    Ok(())
                }
            }
        })
    }

    fn rewrite(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<(), KeyFileError>,
    ) -> Result<(), KeyFileError> {
        let folder = File::open(folder_of(&self.path)).map_err(|source| self.io("lock", source))?;
        folder.lock().map_err(|source| self.io("lock", source))?;
        let mut now = Self::load(&self.path)?;
        change(&mut now)?;
        let beside = now.write_beside()?;
        fs::rename(&beside, &self.path).map_err(|source| self.io("replace", source))?;
        now.sync_directory()?;
        *self = now;
        Ok(())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, KeyFileError> {
        let mut lines = text.lines().enumerate();
        match lines.next().map(|(_, line)| line.trim_end()) {
            Some(HEADING) => {}
            Some(line) if line.starts_with("gatebook-key-file ") => {
                return Err(malformed(
                    path,
                    "it was written by a newer version of the program",
                ));
            }
            _ => return Err(malformed(path, "its first line is not that of a key file")),
        }
        let mut hash = None;
        let mut seal: Vec<Key> = Vec::new();
        for (index, line) in lines {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let damaged = || malformed(path, &format!("line {} is damaged", index + 1));
            let mut words = line.split_ascii_whitespace();
            let (Some(kind), Some(id), Some(digits), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(damaged());
            };
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| damaged())?;
            let key = Key::from_bytes(bytes);
            if key.id.to_string() != id {
                return Err(damaged());
            }
            match kind {
                "hash" if hash.is_none() => hash = Some(key),
                "seal" if seal.iter().all(|other| other.id != key.id) => seal.push(key),
                _ => return Err(damaged()),
            }
        }
        let hash = hash.ok_or_else(|| malformed(path, "it has no hash line"))?;
        if seal.is_empty() {
            return Err(malformed(path, "it has no seal line"));
        }
        Ok(Self {
            path: path.to_owned(),
            hash,
            seal,
        })
    }

    fn render(&self) -> Zeroizing<String> {
        // Sized at once: a string that grows leaves copies of the keys behind in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(128 * (self.seal.len() + 2)));
        text.push_str(HEADING);
        text.push('\n');
        for (kind, key) in
            std::iter::once(("hash", &self.hash)).chain(self.seal.iter().map(|key| ("seal", key)))
        {
            let mut digits = Zeroizing::new([0; KEY_BYTES * 2]);
            hex::encode_to_slice(key.bytes.as_slice(), digits.as_mut_slice())
                .expect("the buffer is twice as long as the key");
            text.push_str(kind);
            text.push(' ');
            text.push_str(&key.id.to_string());
            text.push(' ');
            digits
                .iter()
                .for_each(|digit| text.push(char::from(*digit)));
            text.push('\n');
        }
        text
    }

    /// Writes and syncs a file of mode 0600 beside the key file and returns its name.
    fn write_beside(&self) -> Result<PathBuf, KeyFileError> {
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(|_| KeyFileError::NoRandomness)?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", hex::encode(salt)));
        let beside = self.path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&beside).and_then(|mut file| {
            file.write_all(self.render().as_bytes())?;
            file.sync_all()
        });
        if let Err(source) = written {
            // The failed write is what is reported; the rest of a file may or may not be there.
            let _ = fs::remove_file(&beside);
            return Err(self.io("write", source));
        }
        Ok(beside)
    }

    fn sync_directory(&self) -> Result<(), KeyFileError> {
        File::open(folder_of(&self.path))
            .and_then(|folder| folder.sync_all())
            .map_err(|source| self.io("sync the folder of", source))
    }

    fn io(&self, tried: &'static str, source: io::Error) -> KeyFileError {
        KeyFileError::Io {
            path: self.path.clone(),
            tried,
            source,
        }
    }
}

fn malformed(path: &Path, reason: &str) -> KeyFileError {
    KeyFileError::Malformed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn refuse_open_to_others(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::OpenToOthers {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_open_to_others(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_new_key_file_is_for_its_owner_only_and_loads() {
        let folder = folder();
        let path = folder.path().join("key");
        let made = KeyFile::create(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        let loaded = KeyFile::load(&path).unwrap();
        assert_eq!(loaded.key_ids(), made.key_ids());
        assert_eq!(loaded.hash.bytes, made.hash.bytes);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = folder();
        let path = folder.path().join("key");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(
            KeyFile::create(&path),
            Err(KeyFileError::Exists(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// threat C
    #[test]
    fn threat_c_a_key_file_others_may_read_is_refused_with_what_to_do() {
        let folder = folder();
        let path = folder.path().join("key");
        KeyFile::create(&path).unwrap();
        for (mode, accepted) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o660, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match KeyFile::load(&path) {
                Ok(_) => assert!(accepted, "mode {mode:o}"),
                Err(error) => {
                    assert!(!accepted, "mode {mode:o}");
                    assert!(error.to_string().contains("chmod 600"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_missing_file_says_so() {
        let error = KeyFile::load(folder().path().join("key")).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing(_)));
    }

    #[test]
    fn damaged_foreign_and_newer_files_are_refused_without_showing_a_byte() {
        let folder = folder();
        let path = folder.path().join("key");
        KeyFile::create(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let key = good
            .lines()
            .nth(2)
            .unwrap()
            .split(' ')
            .nth(2)
            .unwrap()
            .to_owned();
        let flipped = if key.starts_with('0') { "1" } else { "0" };
        let cases = [
            ("", "first line"),
            ("hello\n", "first line"),
            ("gatebook-key-file 2\n", "newer version"),
            ("gatebook-key-file 1\n", "no hash line"),
            (
                &good.lines().take(2).collect::<Vec<_>>().join("\n"),
                "no seal line",
            ),
            (
                &good.replace(&key, &format!("{flipped}{}", &key[1..])),
                "line 3 is damaged",
            ),
            (&good.replace(&key, &key[2..]), "line 3 is damaged"),
            (&good.replace("seal", "lock"), "line 3 is damaged"),
            (
                &format!("{good}{}\n", good.lines().nth(2).unwrap()),
                "line 4 is damaged",
            ),
            (
                &format!("{good}{}\n", good.lines().nth(1).unwrap()),
                "line 4 is damaged",
            ),
            (&format!("{good}{}", "# \n".repeat(30_000)), "too long"),
        ];
        for (text, reason) in cases {
            fs::write(&path, text).unwrap();
            let error = KeyFile::load(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
            assert!(!error.contains(&key[4..20]));
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(
            KeyFile::load(&path)
                .unwrap_err()
                .to_string()
                .contains("not text")
        );
    }

    #[test]
    fn rotation_puts_a_key_in_front_and_loses_none_even_from_a_stale_copy() {
        let folder = folder();
        let path = folder.path().join("key");
        let mut one = KeyFile::create(&path).unwrap();
        let mut other = KeyFile::load(&path).unwrap();
        let first = one.key_ids()[0];
        let second = one.rotate().unwrap();
        let third = other.rotate().unwrap();
        assert_eq!(
            KeyFile::load(&path).unwrap().key_ids(),
            [third, second, first]
        );
        assert_eq!(KeyFile::load(&path).unwrap().hash.id, one.hash.id);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
    }

    #[test]
    fn an_added_key_waits_until_it_is_preferred_and_the_newest_is_not_removed() {
        let folder = folder();
        let mut keys = KeyFile::create(folder.path().join("key")).unwrap();
        let first = keys.key_ids()[0];
        let added = keys.add_key().unwrap();
        assert_eq!(keys.key_ids(), [first, added]);
        assert!(matches!(
            keys.remove_key(first),
            Err(KeyFileError::NoSuchOlderKey(_))
        ));
        keys.prefer(added).unwrap();
        assert_eq!(keys.key_ids(), [added, first]);
        keys.remove_key(first).unwrap();
        assert_eq!(KeyFile::load(keys.path()).unwrap().key_ids(), [added]);
        assert!(matches!(
            keys.prefer(first),
            Err(KeyFileError::NoSuchOlderKey(_))
        ));
    }

    #[test]
    fn debug_shows_no_key() {
        let folder = folder();
        let keys = KeyFile::create(folder.path().join("key")).unwrap();
        let shown = format!("{keys:?}");
        assert!(shown.contains(&keys.key_ids()[0].to_string()));
        assert!(!shown.contains(&hex::encode(keys.seal[0].bytes.as_slice())));
        assert!(!shown.contains(&format!(
            "{}, {}",
            keys.seal[0].bytes[0], keys.seal[0].bytes[1]
        )));
    }
}
