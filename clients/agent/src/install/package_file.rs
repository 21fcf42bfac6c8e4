//! Reading a package: all of it is checked before anything of it is believed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use link_protocol::package::{Descriptor, PackageError, Parts, TRAILER_BYTES};
use sha2::{Digest, Sha256};

/// As much of a file as says where its parts lie. Unit: bytes.
const BEGINNING_BYTES: u64 = 512;

/// Why a package can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PackageFileError {
    /// Something is wrong with it.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The system says no.
    #[error("the package {0} can't be read")]
    Io(String, #[source] io::Error),
}

/// Reads the description in the package at `path`.
///
/// # Errors
/// [`PackageFileError`].
pub fn read(path: &Path) -> Result<Descriptor, PackageFileError> {
    let io = |error| PackageFileError::Io(path.display().to_string(), error);
    let mut file = File::open(path).map_err(io)?;
    let total = file.metadata().map_err(io)?.len();
    let mut beginning = Vec::new();
    (&mut file)
        .take(BEGINNING_BYTES)
        .read_to_end(&mut beginning)
        .map_err(io)?;
    let parts = Parts::read(&beginning, total)?;
    file.rewind().map_err(io)?;
    let mut sum = Sha256::new();
    let summed = io::copy(&mut (&mut file).take(parts.summed()), &mut sum).map_err(io)?;
    let mut trailer = Vec::new();
    (&mut file)
        .take(TRAILER_BYTES)
        .read_to_end(&mut trailer)
        .map_err(io)?;
    let expected = format!("{}\n", hex::encode(sum.finalize()));
    if summed != parts.summed() || trailer != expected.as_bytes() {
        return Err(PackageError::Sum.into());
    }
    file.seek(SeekFrom::Start(parts.stub)).map_err(io)?;
    let mut json = Vec::new();
    (&mut file)
        .take(parts.descriptor)
        .read_to_end(&mut json)
        .map_err(io)?;
    Ok(Descriptor::read(&json)?)
}

#[cfg(test)]
mod tests {
    use link_protocol::Secret;
    use link_protocol::package::{Described, PackageKind, head};
    use link_protocol::parameters::MayOverride;

    use super::*;

    fn package() -> (Descriptor, Vec<u8>) {
        let descriptor = Descriptor::new(Described {
            kind: PackageKind::Headless,
            platform: "linux-64".to_owned(),
            site: "localhost".to_owned(),
            installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
            key_info: Secret::new("key"),
            valid_until_ms: 1,
            may_override: MayOverride::default(),
            start_minimized: false,
        });
        let program = b"\x7fELF and so on";
        let (mut bytes, _) = head(&descriptor, program.len() as u64).unwrap();
        bytes.extend_from_slice(program);
        let sum = hex::encode(Sha256::digest(&bytes));
        bytes.extend_from_slice(format!("{sum}\n").as_bytes());
        (descriptor, bytes)
    }

    /// threat R: altered in any byte, cut anywhere, or longer.
    #[test]
    fn threat_r_an_altered_or_cut_package_is_refused() {
        let (descriptor, bytes) = package();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.bin");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), descriptor);
        for place in (0..bytes.len())
            .step_by(7)
            .chain(bytes.len() - 66..bytes.len())
        {
            let mut altered = bytes.clone();
            altered[place] ^= 1;
            std::fs::write(&path, &altered).unwrap();
            assert!(read(&path).is_err(), "altered at {place}");
        }
        for length in (0..bytes.len()).step_by(11) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path).is_err(), "cut at {length}");
        }
        std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        assert!(matches!(
            read(&path),
            Err(PackageFileError::Package(PackageError::Lengths))
        ));
        assert!(matches!(
            read(&folder.path().join("none")),
            Err(PackageFileError::Io(..))
        ));
    }
}
