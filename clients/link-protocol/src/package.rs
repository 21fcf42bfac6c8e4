//! The package that brings a Jump Client to a Linux machine: one file, `bomgar-pec-{uid}.bin` or `.desktop`, run with `sh`
//! (INST-44, INST-45).
//!
//! ```text
//! a POSIX shell script; its second line says the lengths of what follows
//! the descriptor, JSON: the installer's id, its KEY_INFO, until when it is good, what may be overridden
//! the agent program
//! SHA-256 over all of the above: 64 hexadecimal digits and a line feed
//! ```
//!
//! The key is inside, never on a command line. The sum at the end can be made while the file is sent.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::parameters::MayOverride;
use crate::refusing::ProtocolError;
use crate::secret::Secret;

/// The version of packages made here.
const VERSION: u32 = 1;
/// What the second line of the script begins with.
const MARK: &str = "# gatebook-package";
/// Length of the sum at the end, with its line feed. Unit: bytes.
pub const TRAILER_BYTES: u64 = 65;
/// Longest script. Unit: bytes.
pub const STUB_BYTES_MAX: u64 = 64 * 1024;
/// Longest descriptor. Unit: bytes.
pub const DESCRIPTOR_BYTES_MAX: u64 = 16 * 1024;
/// Largest agent program. Unit: bytes.
pub const PROGRAM_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const STUB: &str = include_str!("package/stub.sh");

/// What kind of client a package installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageKind {
    /// `.bin`: a machine without a desktop.
    Headless,
    /// `.desktop`: for the user who runs it; run by root, as a service (INST-44).
    Desktop,
}

impl PackageKind {
    /// What file names end in.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Headless => "bin",
            Self::Desktop => "desktop",
        }
    }
}

/// What a package says of the installer it was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    v: u32,
    /// What it installs.
    pub kind: PackageKind,
    /// The platform, such as `linux-64`.
    pub platform: String,
    /// The package's own name.
    pub file_name: String,
    /// The site's host name, for people.
    pub site: String,
    /// The installer: 32 letters and digits.
    pub installer_id: String,
    /// KEY_INFO.
    pub key_info: Secret,
    /// From then on it can't be installed, and a client that has not connected removes itself (INST-04, INST-05). Unit:
    /// milliseconds since 1970-01-01 UTC.
    pub valid_until_ms: u64,
    /// What may be set at install (INST-23).
    pub may_override: MayOverride,
    /// Whether what shows at the machine when a session starts is minimised (INST-22).
    #[serde(default)]
    pub start_minimized: bool,
}

/// What goes into a [`Descriptor`], beside its version.
pub struct Described {
    /// See [`Descriptor`].
    pub kind: PackageKind,
    /// See [`Descriptor`].
    pub platform: String,
    /// See [`Descriptor`].
    pub site: String,
    /// See [`Descriptor`].
    pub installer_id: String,
    /// See [`Descriptor`].
    pub key_info: Secret,
    /// See [`Descriptor`].
    pub valid_until_ms: u64,
    /// See [`Descriptor`].
    pub may_override: MayOverride,
    /// See [`Descriptor`].
    pub start_minimized: bool,
}

/// Why something is no package, or none can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// The second line is not that of a package.
    #[error("this is not an installer package")]
    NotAPackage,
    /// A later version of the server made it.
    #[error("the package has version {0}, which is newer than this program")]
    Newer(u32),
    /// Lengths outside their limits, or not those of the file.
    #[error("the package is incomplete or was altered; download it again")]
    Lengths,
    /// The sum does not fit.
    #[error("the package was altered or damaged; download it again")]
    Sum,
    /// The descriptor can't be read.
    #[error("the description inside the package can't be read")]
    Descriptor,
    /// A member of the descriptor is outside its limits.
    #[error("the description inside the package is not valid")]
    Invalid(#[source] ProtocolError),
}

impl Descriptor {
    /// A descriptor of this version, with the file name the guide gives it.
    #[must_use]
    pub fn new(described: Described) -> Self {
        let suffix = described.kind.suffix();
        Self {
            v: VERSION,
            kind: described.kind,
            platform: described.platform,
            file_name: format!("bomgar-pec-{}.{suffix}", described.installer_id),
            site: described.site,
            installer_id: described.installer_id,
            key_info: described.key_info,
            valid_until_ms: described.valid_until_ms,
            may_override: described.may_override,
            start_minimized: described.start_minimized,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn read(json: &[u8]) -> Result<Self, PackageError> {
        let read: Self = serde_json::from_slice(json).map_err(|_| PackageError::Descriptor)?;
        if read.v > VERSION {
            return Err(PackageError::Newer(read.v));
        }
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), PackageError> {
        let checked = limits::installer_id("installer_id", &self.installer_id)
            .and_then(|()| limits::code("platform", &self.platform.replace('-', "_")))
            .and_then(|()| limits::text("site", &self.site, limits::TEXT_CHARS_MAX))
            .and_then(|()| limits::text("file_name", &self.file_name, limits::TEXT_CHARS_MAX));
        checked.map_err(PackageError::Invalid)
    }
}

/// Where the parts of a package lie. Unit: bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The script.
    pub stub: u64,
    /// The descriptor behind it.
    pub descriptor: u64,
    /// The program behind that.
    pub program: u64,
}

impl Parts {
    /// Length of the whole package.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.summed() + TRAILER_BYTES
    }

    /// Length of what the sum covers.
    #[must_use]
    pub fn summed(&self) -> u64 {
        self.stub + self.descriptor + self.program
    }

    /// Reads them from the beginning of a file of `total` bytes; 512 bytes of it are enough.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn read(beginning: &[u8], total: u64) -> Result<Self, PackageError> {
        let line = beginning.split(|byte| *byte == b'\n').nth(1);
        let line = line.and_then(|line| std::str::from_utf8(line).ok());
        let numbers = line.and_then(|line| line.strip_prefix(MARK));
        let numbers: Option<Vec<u64>> =
            numbers.and_then(|rest| rest.split_whitespace().map(|n| n.parse().ok()).collect());
        let (version, parts) = match numbers.as_deref() {
            Some(&[version, stub, descriptor, program]) => (
                version,
                Self {
                    stub,
                    descriptor,
                    program,
                },
            ),
            _ => return Err(PackageError::NotAPackage),
        };
        if version != u64::from(VERSION) {
            return Err(PackageError::Newer(
                u32::try_from(version).unwrap_or(u32::MAX),
            ));
        }
        let in_limits = parts.stub <= STUB_BYTES_MAX
            && parts.descriptor <= DESCRIPTOR_BYTES_MAX
            && parts.program <= PROGRAM_BYTES_MAX;
        if !in_limits || parts.total() != total {
            return Err(PackageError::Lengths);
        }
        Ok(parts)
    }
}

/// Script and descriptor of a package whose program has `program` bytes, and where everything lies.
///
/// # Errors
/// [`PackageError`] where something is outside its limits.
pub fn head(descriptor: &Descriptor, program: u64) -> Result<(Vec<u8>, Parts), PackageError> {
    descriptor.check()?;
    // Both stand in a shell script as they are.
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']'))
    };
    let json = serde_json::to_vec(descriptor).map_err(|_| PackageError::Descriptor)?;
    let json_bytes = json.len() as u64;
    if !plain(&descriptor.file_name)
        || !plain(&descriptor.site)
        || json_bytes > DESCRIPTOR_BYTES_MAX
        || program > PROGRAM_BYTES_MAX
    {
        return Err(PackageError::Descriptor);
    }
    let example = match descriptor.kind {
        PackageKind::Headless => "--install-dir ~/jumpclient",
        PackageKind::Desktop => "",
    };
    let render = |stub: u64| {
        STUB.replace("@STUB@", &stub.to_string())
            .replace("@DESCRIPTOR@", &json_bytes.to_string())
            .replace("@PROGRAM@", &program.to_string())
            .replace("@SITE@", &descriptor.site)
            .replace("@EXAMPLE@", example)
            .replace("@PLATFORM@", &descriptor.platform)
            .replace("@NAME@", &descriptor.file_name)
    };
    // The script says its own length, whose digits are part of it.
    let mut stub = render(0);
    while !stub.contains(&format!("\n{MARK} {VERSION} {} ", stub.len())) {
        stub = render(stub.len() as u64);
    }
    let parts = Parts {
        stub: stub.len() as u64,
        descriptor: json_bytes,
        program,
    };
    let mut bytes = stub.into_bytes();
    bytes.extend_from_slice(&json);
    Ok((bytes, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(kind: PackageKind) -> Descriptor {
        Descriptor::new(Described {
            kind,
            platform: "linux-64".to_owned(),
            site: "access.example.com".to_owned(),
            installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
            key_info: Secret::new("k".repeat(400)),
            valid_until_ms: 1_700_000_000_000,
            may_override: MayOverride {
                tag: true,
                ..MayOverride::default()
            },
            start_minimized: false,
        })
    }

    /// INST-42, INST-44, INST-45
    #[test]
    fn packages_have_the_names_of_the_guide() {
        for (kind, name) in [
            (
                PackageKind::Headless,
                "bomgar-pec-0123456789abcdef0123456789abcdef.bin",
            ),
            (
                PackageKind::Desktop,
                "bomgar-pec-0123456789abcdef0123456789abcdef.desktop",
            ),
        ] {
            assert_eq!(descriptor(kind).file_name, name);
        }
    }

    #[test]
    fn what_was_put_in_is_read_out_whatever_its_length() {
        for program in [0, 9, 10, 99_999, 100_000, PROGRAM_BYTES_MAX] {
            let described = descriptor(PackageKind::Headless);
            let (bytes, parts) = head(&described, program).unwrap();
            assert_eq!(bytes.len() as u64, parts.stub + parts.descriptor);
            assert_eq!(Parts::read(&bytes[..512], parts.total()), Ok(parts));
            let at = usize::try_from(parts.stub).unwrap();
            assert!(bytes[..at].ends_with(b"main \"$@\"; exit $?\n"));
            assert_eq!(Descriptor::read(&bytes[at..]), Ok(described));
            assert!(
                !String::from_utf8_lossy(&bytes[..at]).contains('@'.to_string().repeat(2).as_str())
            );
        }
        let described = descriptor(PackageKind::Headless);
        assert!(head(&described, PROGRAM_BYTES_MAX + 1).is_err());
    }

    #[test]
    fn foreign_and_cut_files_are_no_packages() {
        let (bytes, parts) = head(&descriptor(PackageKind::Desktop), 1_000).unwrap();
        let total = parts.total();
        for (beginning, total, error) in [
            (&b""[..], 0, PackageError::NotAPackage),
            (b"#!/bin/sh\necho hello\n", 21, PackageError::NotAPackage),
            (
                b"#!/bin/sh\n# gatebook-package 1 2 3\n",
                40,
                PackageError::NotAPackage,
            ),
            (
                b"#!/bin/sh\n# gatebook-package 1 x 3 4\n",
                40,
                PackageError::NotAPackage,
            ),
            (
                b"#!/bin/sh\n# gatebook-package 2 1 3 4\n",
                73,
                PackageError::Newer(2),
            ),
            (
                b"#!/bin/sh\n# gatebook-package 1 1 99999999 4\n",
                100_000_069,
                PackageError::Lengths,
            ),
            (&bytes, total - 1, PackageError::Lengths),
            (&bytes, total + 1, PackageError::Lengths),
        ] {
            assert_eq!(Parts::read(beginning, total), Err(error));
        }
    }

    /// threat R: what the server puts into the script can't become a command of it.
    #[test]
    fn threat_r_a_hostile_site_name_makes_no_package() {
        for site in ["a'; rm -rf /; '", "a$(id)", "a b", "a\nb", "a`id`"] {
            let mut described = descriptor(PackageKind::Headless);
            described.site = site.to_owned();
            assert!(head(&described, 1).is_err(), "{site}");
        }
    }

    /// threat C
    #[test]
    fn threat_c_debug_shows_no_key() {
        assert!(!format!("{:?}", descriptor(PackageKind::Headless)).contains("kkk"));
    }
}
