//! Certificates and keys in files, in PEM, as people's tools write them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Certificates of a file, at least one.
///
/// # Errors
/// It can't be read, or holds none, or one that is none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = text_of(file)?;
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("reading certificates from {}", file.display()))?;
    ensure!(
        !certificates.is_empty(),
        "{} holds no certificate in PEM",
        file.display()
    );
    Ok(certificates)
}

/// The private key of a file.
///
/// # Errors
/// It can't be read, or holds no key that can be used as it is.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = text_of(file)?;
    let is_encrypted = text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text
            .lines()
            .any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"));
    if is_encrypted {
        bail!(
            "the private key in {} is encrypted: store it decrypted, for example as `openssl pkey` writes it, in a file that only this program may read",
            file.display()
        );
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .with_context(|| format!("reading a private key in PEM from {}", file.display()))
}

/// The text of a file without the byte order mark that some editors put in front; before the first line of PEM it would hide the
/// first certificate. Files with the mark of UTF-16 are read in that.
fn text_of(file: &Path) -> Result<Zeroizing<String>> {
    let bytes =
        Zeroizing::new(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        bytes => String::from_utf8(bytes.to_vec()).ok(),
    };
    text.map(Zeroizing::new)
        .with_context(|| format!("{} is no text; PEM is expected", file.display()))
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| unit([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// The certificates of two authorities, one after the other, and a key.
    fn certificates_and_key() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let made = |name: &str| {
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        (
            format!("{}{}", made("a.example"), made("b.example")),
            key.serialize_pem(),
        )
    }

    #[test]
    fn a_byte_order_mark_hides_no_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.pem");
        let (text, key) = certificates_and_key();
        let utf_16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff)
                .chain(text.encode_utf16())
                .flat_map(unit)
                .collect()
        };
        for bytes in [
            text.clone().into_bytes(),
            format!("\u{feff}{text}").into_bytes(),
            utf_16(u16::to_le_bytes),
            utf_16(u16::to_be_bytes),
        ] {
            fs::write(&file, bytes).unwrap();
            assert_eq!(certificates(&file).unwrap().len(), 2);
        }
        fs::write(&file, format!("\u{feff}{key}")).unwrap();
        assert!(private_key(&file).is_ok());
        assert!(certificates(&file).is_err());
        fs::write(&file, [0x30, 0x82, 0xff, 0x00]).unwrap();
        let error = certificates(&file).unwrap_err().to_string();
        assert!(error.contains("PEM is expected"), "{error}");
    }

    #[test]
    fn an_encrypted_key_is_named_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("k.pem");
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
        ] {
            fs::write(&file, text).unwrap();
            let error = private_key(&file).unwrap_err().to_string();
            assert!(error.contains("is encrypted"), "{error}");
        }
    }
}
