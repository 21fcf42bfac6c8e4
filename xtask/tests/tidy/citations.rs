//! What pages and comments refer to exists: files that pages link to, areas of rules, classes of attack.

use std::collections::BTreeSet;

use crate::tree::{Source, in_name, nothing_of, root, rust_sources, sources};

/// The targets of a page's links, without those that lead out of the tree or stay on the page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .map(|target| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
}

/// The areas of rules that a text names: the letters of `GRP-06`.
fn areas(text: &str) -> BTreeSet<&str> {
    text.match_indices('-')
        .filter_map(|(dash, _)| {
            let before = &text[..dash];
            let start = before
                .rfind(|character: char| !character.is_ascii_uppercase())
                .map_or(0, |index| index + 1);
            let area = &before[start..];
            let is_whole = !text[..start].chars().next_back().is_some_and(in_name);
            let digits = text[dash + 1..]
                .chars()
                .take_while(|character| in_name(*character))
                .collect::<String>();
            let is_number = digits.len() == 2 && digits.chars().all(|digit| digit.is_ascii_digit());
            (is_whole && is_number && (3..=5).contains(&area.len())).then_some(area)
        })
        .collect()
}

/// The classes of attack in the table of SECURITY.md, with their answers: `(letter, answer)`.
fn classes(security: &str) -> Vec<(char, &str)> {
    security
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let letter = cells.next()?;
            let answer = cells.nth(1)?.trim_end_matches('|').trim();
            let mut letters = letter.chars();
            match (letters.next()?, letters.next()) {
                (letter @ 'A'..='Z', None) => Some((letter, answer)),
                _ => None,
            }
        })
        .collect()
}

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn pages_link_to_files_that_exist() {
    let broken = |source: &Source| -> Vec<String> {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        links(&source.text)
            .filter(|target| !root().join(folder).join(target).exists())
            .map(|target| format!("{}: {target}", source.path))
            .collect()
    };
    let pages = sources()
        .into_iter()
        .filter(|source| source.path.ends_with(".md"));
    nothing_of(
        pages.flat_map(|source| broken(&source)).collect(),
        "Links of pages lead to files of the tree:",
    );
}

#[test]
fn the_architecture_says_what_every_area_of_rules_is() {
    let architecture = page("ARCHITECTURE.md");
    // Encodings and hashes look the same.
    let others = ["UTF", "XXH"];
    let mut unsaid = BTreeSet::new();
    for source in rust_sources() {
        for area in areas(&source.text) {
            if !others.contains(&area) && !architecture.contains(&format!("`{area}`")) {
                unsaid.insert(format!("{}: {area}", source.path));
            }
        }
    }
    nothing_of(
        unsaid.into_iter().collect(),
        "ARCHITECTURE.md, \"What the ids in comments mean\", has every area:",
    );
}

#[test]
fn the_page_on_security_says_what_tests_show() {
    let security = page("SECURITY.md");
    let classes = classes(&security);
    assert!(classes.len() > 20, "the table is there: {}", classes.len());
    let tests = rust_sources();
    let is_tested = |letter: char| {
        let name = format!("threat_{}_", letter.to_ascii_lowercase());
        let names = ["fn ", "fn slow_"].map(|start| format!("{start}{name}"));
        tests
            .iter()
            .any(|source| names.iter().any(|name| source.text.contains(name)))
    };
    nothing_of(
        misstated(&classes, is_tested),
        "SECURITY.md says how a class is answered exactly where tests of its name show it:",
    );
}

/// Classes that are said to come later and have tests, or are said to be answered and have none.
fn misstated(classes: &[(char, &str)], is_tested: impl Fn(char) -> bool) -> Vec<String> {
    classes
        .iter()
        .filter_map(
            |(letter, answer)| match (*answer == "later", is_tested(*letter)) {
                (true, true) => Some(format!("{letter} is tested")),
                (false, false) => Some(format!("{letter} has no test named threat_{letter}_…")),
                _ => None,
            },
        )
        .collect()
}

#[test]
fn the_checkers_can_fail() {
    let text = "see [a](x.md), [b](docs/y.md#part), [c](https://z), [d](#here)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["x.md", "docs/y.md"]);
    let named = areas("GRP-06, CLNT-07b, SHA-256, A-10, (REP-42) and NOLETTER-12");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["GRP", "REP"]);
    let table = "| | class | the answer |\n|---|---|---|\n| F | misread | later |\n| G | owner | one | two |";
    let found = classes(table);
    assert_eq!(found, [('F', "later"), ('G', "one")]);
    assert_eq!(misstated(&found, |letter| letter == 'G').len(), 0);
    assert_eq!(misstated(&found, |letter| letter == 'F').len(), 2);
}
