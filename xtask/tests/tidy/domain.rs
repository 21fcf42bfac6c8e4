//! What the domain promises: no clock, no chance, every refusal expected by a test, stored names that last for good.

use std::collections::BTreeSet;

use crate::tree::{
    Source, code_lines, git, has_word, in_name, nothing_of, root, rust_sources, test_code,
};

/// What the domain's code must not mention, tests included: a test with a real clock is a test that fails at night.
const IMPURE: &[&str] = &[
    "Utc::now",
    "Local::now",
    "SystemTime",
    "Instant",
    "rand",
    "getrandom",
    "HashMap",
    "HashSet",
    "std::env",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "std::thread",
    "tokio",
    "async",
    "println",
    "eprintln",
];

/// Paths that `domain/clippy.toml` must go on banning.
const BANNED_BY_CLIPPY: &[&str] = &[
    "chrono::Utc::now",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::env::var",
    "std::collections::HashMap",
    "std::collections::HashSet",
];

/// Every name an event was ever stored under, a line each.
const STORED_NAMES: &str = "domain/stored-event-names.txt";

fn of_domain() -> Vec<Source> {
    rust_sources()
        .into_iter()
        .filter(|source| source.path.starts_with("domain/src/"))
        .collect()
}

fn impure(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, code) in code_lines(&source.text) {
        for word in IMPURE.iter().filter(|word| has_word(code, word)) {
            found.push(format!("{}:{line}: {word}", source.path));
        }
    }
    found
}

/// The variants of `enum Refusal`, as rustfmt lays them out: four blanks, then the name.
fn refusals(text: &str) -> Vec<String> {
    let Some(start) = text.find("pub enum Refusal {") else {
        return Vec::new();
    };
    let body = text[start..]
        .lines()
        .skip(1)
        .take_while(|line| *line != "}");
    let variant = |line: &str| {
        let rest = line
            .strip_prefix("    ")
            .filter(|rest| rest.starts_with(char::is_uppercase))?;
        Some(
            rest.chars()
                .take_while(|character| in_name(*character))
                .collect(),
        )
    };
    body.filter_map(variant).collect()
}

/// String literals that are an event's name: in a `STORED_NAMES` table, or in the body of a `stored_name` function.
fn stored_names(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("STORED_NAMES:") {
        // The table ends at the first semicolon after `=`; its type may hold one before.
        let Some((_, table)) = text[start..].split_once('=') else {
            continue;
        };
        found.extend(literals(table.split(';').next().unwrap_or_default()));
    }
    for (start, _) in text.match_indices("fn stored_name(") {
        found.extend(literals(
            text[start..].split("\n    }").next().unwrap_or_default(),
        ));
    }
    found
}

/// The string literals that look like a name in UpperCamelCase.
fn literals(text: &str) -> impl Iterator<Item = String> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted
        .filter(|word| {
            word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric)
        })
        .map(str::to_owned)
}

/// Names that were in the list once, from its history as git prints it.
fn names_ever_listed(history: &str) -> BTreeSet<String> {
    let lines = history.lines().filter(|line| !line.starts_with("+++"));
    lines
        .filter_map(|line| line.strip_prefix('+'))
        .map(|name| name.trim().to_owned())
        .filter(|name| is_name(name))
        .collect()
}

fn is_name(line: &str) -> bool {
    line.starts_with(char::is_uppercase)
}

#[test]
fn the_domain_knows_no_clock_no_chance_and_no_outside() {
    let found: Vec<String> = of_domain().iter().flat_map(impure).collect();
    nothing_of(
        found,
        "Time, ids and chance are arguments; order is the same on every run:",
    );
}

#[test]
fn clippy_holds_the_domain_too() {
    let text = std::fs::read_to_string(root().join("domain/clippy.toml"))
        .expect("domain has a clippy.toml of its own");
    let found = BANNED_BY_CLIPPY
        .iter()
        .filter(|path| !text.contains(&format!("\"{path}\"")))
        .map(|path| (*path).to_owned())
        .collect();
    nothing_of(found, "domain/clippy.toml no longer bans:");
}

#[test]
fn every_refusal_is_expected_by_a_test() {
    let text = std::fs::read_to_string(root().join("domain/src/refusal.rs"))
        .expect("refusals stand in one file");
    let refusals = refusals(&text);
    assert!(
        !refusals.is_empty(),
        "domain/src/refusal.rs holds no `pub enum Refusal`"
    );
    let sources = rust_sources();
    // This file's own examples prove nothing.
    let tests: Vec<&str> = sources
        .iter()
        .filter(|source| !source.path.starts_with("xtask/"))
        .map(test_code)
        .collect();
    let expected = |variant: &String| {
        tests
            .iter()
            .any(|test| has_word(test, &format!("Refusal::{variant}")))
    };
    let found = refusals
        .iter()
        .filter(|variant| !expected(variant))
        .map(|variant| format!("Refusal::{variant}"))
        .collect();
    nothing_of(found, "No test expects these refusals:");
}

#[test]
fn every_stored_name_is_in_the_list_that_only_grows() {
    let Ok(list) = std::fs::read_to_string(root().join(STORED_NAMES)) else {
        // Until the first event is named there is no list; once it was committed it can't go.
        let history = git(&[
            "log",
            "--format=",
            "--patch",
            "--unified=0",
            "--",
            STORED_NAMES,
        ]);
        assert!(
            names_ever_listed(&history).is_empty(),
            "{STORED_NAMES} was removed"
        );
        return;
    };
    let listed: BTreeSet<String> = list
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| is_name(line))
        .collect();
    let used: BTreeSet<String> = of_domain()
        .iter()
        .flat_map(|source| stored_names(&source.text))
        .collect();
    assert!(
        !used.is_empty(),
        "no stored name was found in domain/src: has the way they are written changed?"
    );
    let missing = used.difference(&listed).cloned().collect();
    nothing_of(
        missing,
        "These stored names are not in domain/stored-event-names.txt; a name added there stays for good:",
    );
    let history = git(&[
        "log",
        "--format=",
        "--patch",
        "--unified=0",
        "--",
        STORED_NAMES,
    ]);
    let gone = names_ever_listed(&history)
        .difference(&listed)
        .cloned()
        .collect();
    nothing_of(
        gone,
        "Stored events are for good; these names were taken out of domain/stored-event-names.txt:",
    );
}

#[test]
fn what_the_domain_must_not_do_is_seen() {
    let source = |text: &str| Source {
        path: "domain/src/a.rs".to_owned(),
        text: text.to_owned(),
    };
    for (text, expected) in [
        ("let now = Utc::now();", 1),
        ("use std::collections::HashMap;", 1),
        ("use std::time::Instant;", 1),
        ("// Utc::now is banned here", 0),
        ("let instantly = operand;", 0),
    ] {
        assert_eq!(impure(&source(text)).len(), expected, "{text}");
    }
    let text = "pub enum Refusal {\n    /// Words.\n    #[error(\"No.\")]\n    Gone,\n    Closed {\n        until: Timestamp,\n    },\n}\n";
    assert_eq!(refusals(text), ["Gone", "Closed"]);
    let text = "const STORED_NAMES: [&'static str; 2] = [\"UserCreated\", \"UserChanged\"];\n    fn stored_name(&self) -> &str {\n        \"JumpStarted\"\n    }\n    fn b() { \"NotAName\" }";
    assert_eq!(
        stored_names(text).into_iter().collect::<Vec<_>>(),
        ["JumpStarted", "UserChanged", "UserCreated"]
    );
    assert_eq!(
        names_ever_listed("+++ b/list\n+UserCreated\n-UserCreated\n").len(),
        1
    );
}
