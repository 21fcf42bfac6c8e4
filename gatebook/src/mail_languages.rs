//! Languages of mails: those of the program, and one for each file in `DIR/mail-languages`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use connector::mail::Languages;
use connector::mail::language::FILE_BYTES_MAX;

/// Reads the languages. Without the folder there are those of the program.
///
/// # Errors
/// A file can't be read or is not a language; the server does not start then, for mails would be in the wrong one.
pub fn load(folder: &Path) -> Result<Languages> {
    let mut languages = Languages::shipped();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(languages),
        Err(error) => {
            return Err(anyhow!(error)).with_context(|| format!("reading {}", folder.display()));
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("reading {}", folder.display()))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    for file in files {
        let of_file = || format!("the language of mails in {}", file.display());
        let size = fs::metadata(&file).with_context(of_file)?.len();
        ensure!(
            size <= FILE_BYTES_MAX,
            "{} is larger than {FILE_BYTES_MAX} bytes",
            of_file()
        );
        let text = fs::read_to_string(&file).with_context(of_file)?;
        let added = languages.add(&text).with_context(of_file)?;
        tracing::info!(language = added.language, file = %file.display(), "a language of mails");
    }
    Ok(languages)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// POL-29: a further language of mails costs a file.
    #[test]
    fn each_file_is_a_language() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mail-languages");
        let codes = |path: &Path| {
            let languages = load(path).expect("languages");
            languages.codes().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(codes(&path), ["de", "en-us"]);
        fs::create_dir(&path).expect("a folder");
        let shipped = include_str!("../../connector/src/mail/languages/en-us.json");
        fs::write(path.join("fr.json"), shipped.replace("\"en-us\"", "\"fr\"")).expect("a file");
        fs::write(path.join("notes.txt"), "not a language").expect("a file");
        assert_eq!(codes(&path), ["de", "en-us", "fr"]);
        fs::write(path.join("it.json"), "{}").expect("a file");
        let refused = load(&path).expect_err("it is no language");
        assert!(format!("{refused:#}").contains("it.json"), "{refused:#}");
    }
}
