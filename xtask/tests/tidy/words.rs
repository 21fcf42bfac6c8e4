//! What every Rust file carries, and the names we do not use because they say nothing.

use crate::tree::{Source, code_lines, in_name, nothing_of, rust_sources};

/// Names that say nothing of what is inside. Not for modules, and not at the end of a type's name.
const EMPTY_WORDS: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "service", "services", "data",
    "info", "misc",
];

/// The guides' own words stay.
const WORDS_OF_THE_GUIDES: &[&str] = &["KeyInfo"];

/// Its examples of bad names stand in string literals, which a look at text can't tell from code.
const THIS_FILE: &str = "xtask/tests/tidy/words.rs";

fn lacks_module_doc(text: &str) -> bool {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("#!["));
    !first.is_some_and(|line| {
        line.strip_prefix("//!")
            .is_some_and(|words| !words.trim().is_empty())
    })
}

/// Modules and types of a file with a name that says nothing.
fn empty_names(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_WORDS.contains(&part) {
            found.push(format!("{path}: a module named `{part}`"));
        }
    }
    for (line, code) in code_lines(text) {
        let words: Vec<&str> = code
            .split(|character| !in_name(character))
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let [kind, name] = pair else { continue };
            // Indented `type` names belong to the traits of others.
            let is_type = matches!(*kind, "struct" | "enum" | "union" | "trait")
                || (*kind == "type" && !code.starts_with(' '));
            if *kind == "mod" && EMPTY_WORDS.contains(name) {
                found.push(format!("{path}:{line}: a module named `{name}`"));
            }
            if is_type
                && name.starts_with(char::is_uppercase)
                && !WORDS_OF_THE_GUIDES.contains(name)
                && EMPTY_WORDS.iter().any(|word| ends_with_part(name, word))
            {
                found.push(format!("{path}:{line}: a type named `{name}`"));
            }
        }
    }
    found
}

/// Whether the last part of a name like `MailService` is the word `service`.
fn ends_with_part(name: &str, word: &str) -> bool {
    let start = name.rfind(char::is_uppercase).unwrap_or(0);
    name[start..].eq_ignore_ascii_case(word)
}

#[test]
fn every_file_begins_with_what_it_is() {
    let found = rust_sources()
        .into_iter()
        .filter(|source| lacks_module_doc(&source.text))
        .map(|source| source.path)
        .collect();
    nothing_of(
        found,
        "Every .rs file begins with a `//!` doc that says what it is and what it refuses to do:",
    );
}

#[test]
fn names_say_what_is_inside() {
    let found = rust_sources()
        .iter()
        .filter(|source| source.path != THIS_FILE)
        .flat_map(|Source { path, text }| empty_names(path, text))
        .collect();
    nothing_of(
        found,
        "These names say nothing; name the thing by what it does in the product's words:",
    );
}

#[test]
fn a_missing_doc_is_seen() {
    for (text, lacks) in [
        ("//! What it is.\n", false),
        ("#![forbid(unsafe_code)]\n\n//! What it is.\n", false),
        ("", true),
        ("//!\nuse a;", true),
        ("use a;\n//! Too late.\n", true),
    ] {
        assert_eq!(lacks_module_doc(text), lacks, "{text:?}");
    }
}

#[test]
fn an_empty_name_is_seen() {
    for (path, text, expected) in [
        ("a/src/utils.rs", "", 1),
        ("a/src/helpers/mod.rs", "", 1),
        ("a/src/b.rs", "mod info;", 1),
        ("a/src/b.rs", "pub struct MailService;", 1),
        ("a/src/b.rs", "pub enum Data {}", 1),
        ("a/src/b.rs", "    type Service = S;", 0),
        ("a/src/b.rs", "pub struct KeyInfo;", 0),
        (
            "a/src/b.rs",
            "pub struct Metadata; // no struct Data here",
            0,
        ),
        ("a/src/b.rs", "pub struct ServiceDesk;", 0),
        ("a/src/b.rs", "SELECT event.type, data", 0),
    ] {
        assert_eq!(empty_names(path, text).len(), expected, "{path} {text}");
    }
}
