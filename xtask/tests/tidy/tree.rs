//! The files of the tree, and small ways to look at Rust as text.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the tree.
pub(crate) struct Source {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the checkout")
        .to_path_buf()
}

/// What git prints at the root.
///
/// # Panics
/// When git fails: without it nobody knows which files belong to the tree.
pub(crate) fn git(arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every text file that is in git or would be if it were added now.
pub(crate) fn sources() -> Vec<Source> {
    let listed = git(&[
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]);
    let mut paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let read = |path: &str| {
        // A file that was just deleted is still listed, and a binary one is not text.
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(Source {
            path: path.to_owned(),
            text,
        })
    };
    paths.into_iter().filter_map(read).collect()
}

/// The Rust files of the tree.
pub(crate) fn rust_sources() -> Vec<Source> {
    sources()
        .into_iter()
        .filter(|source| source.path.ends_with(".rs"))
        .collect()
}

/// The lines of a Rust file with their numbers from 1, without comments. A `//` inside a string literal cuts it short, which
/// no rule minds.
pub(crate) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or(line)))
}

/// The part of a Rust file that is test code: all of it in a tests folder, else what follows the first `#[cfg(test)]`.
pub(crate) fn test_code(source: &Source) -> &str {
    let name = source.path.rsplit('/').next().unwrap_or(&source.path);
    let whole = source
        .path
        .split('/')
        .any(|part| part == "tests" || part == "replay-tests")
        || name == "tests.rs"
        || name.ends_with("_tests.rs");
    if whole {
        &source.text
    } else {
        source
            .text
            .find("#[cfg(test)]")
            .map_or("", |start| &source.text[start..])
    }
}

/// Whether a character can be part of a Rust name.
pub(crate) fn in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether `word` stands in `text` and is not a part of a longer name.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let after = text[start + found.len()..].chars().next();
        !before.is_some_and(in_name) && !after.is_some_and(in_name)
    })
}

/// Fails with all that was found, one a line, and what to do about it.
pub(crate) fn nothing_of(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}\n  {}\n", found.join("\n  "));
}

#[test]
fn words_are_whole() {
    assert!(has_word("a Refusal::Gone.", "Refusal::Gone"));
    assert!(!has_word("Refusal::GoneAway", "Refusal::Gone"));
}

#[test]
fn test_code_is_found() {
    let source = |path: &str| Source {
        path: path.to_owned(),
        text: "fn a() {}\n#[cfg(test)]\nmod tests {}".to_owned(),
    };
    assert_eq!(
        test_code(&source("domain/src/a.rs")),
        "#[cfg(test)]\nmod tests {}"
    );
    assert!(test_code(&source("domain/tests/a.rs")).starts_with("fn a"));
}
