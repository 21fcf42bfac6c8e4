//! Files stay short. Those that were longer when the rule came are listed, and their numbers only go down.

use std::collections::BTreeMap;

use crate::tree::{git, nothing_of, root, rust_sources};

/// Lines a file may have; at 500 think, here split by reason to change.
const LINES_MAX: usize = 800;

/// The list of longer files: `<lines> <path>`, a line each.
const LIST: &str = "xtask/tidy-long-files.txt";

/// Files with their number of lines.
type Lengths = BTreeMap<String, usize>;

fn parsed(list: &str) -> Lengths {
    let line = |line: &str| {
        let (lines, path) = line.split_once(' ')?;
        Some((path.trim().to_owned(), lines.parse().ok()?))
    };
    list.lines()
        .filter(|text| !text.starts_with('#'))
        .filter_map(line)
        .collect()
}

/// The lowest number that each file ever had in the list, from its history as git prints it.
fn lowest(history: &str) -> Lengths {
    let mut lowest = Lengths::new();
    for line in history.lines().filter(|line| !line.starts_with("+++")) {
        let Some(added) = line.strip_prefix('+') else {
            continue;
        };
        for (path, lines) in parsed(added) {
            let known = lowest.entry(path).or_insert(lines);
            *known = lines.min(*known);
        }
    }
    lowest
}

fn too_long(actual: &Lengths, listed: &Lengths, lowest: &Lengths) -> Vec<String> {
    let mut found = Vec::new();
    for (path, lines) in actual.iter().filter(|(_, lines)| **lines > LINES_MAX) {
        match listed.get(path) {
            None => found.push(format!(
                "{path} has {lines} lines: split it by reason to change (at most {LINES_MAX})"
            )),
            Some(allowed) if lines > allowed => found.push(format!(
                "{path} has {lines} lines and may have {allowed}: it must not grow"
            )),
            Some(_) => {}
        }
    }
    for (path, allowed) in listed {
        let lines = actual.get(path).copied().unwrap_or(0);
        if lines <= LINES_MAX {
            found.push(format!("{path} has {lines} lines: take it off {LIST}"));
        }
        if lowest.get(path).is_some_and(|lowest| allowed > lowest) {
            found.push(format!(
                "{path}: its number in {LIST} was raised to {allowed}; it only goes down"
            ));
        }
    }
    found
}

#[test]
fn files_are_short_and_the_list_of_long_ones_only_shrinks() {
    let actual = rust_sources()
        .into_iter()
        .map(|source| (source.path, source.text.lines().count()))
        .collect();
    let list = std::fs::read_to_string(root().join(LIST)).expect("the list is there");
    let history = git(&["log", "--format=", "--patch", "--unified=0", "--", LIST]);
    nothing_of(
        too_long(&actual, &parsed(&list), &lowest(&history)),
        "Length is a smell:",
    );
}

#[test]
fn a_growing_file_is_seen() {
    let one = |lines: usize| Lengths::from([("a.rs".to_owned(), lines)]);
    let none = Lengths::new();
    for (actual, listed, lowest, expected) in [
        (one(800), none.clone(), none.clone(), 0),
        (one(801), none.clone(), none.clone(), 1),
        (one(900), one(900), none.clone(), 0),
        (one(901), one(900), none.clone(), 1),
        (one(700), one(900), none.clone(), 1),
        (none.clone(), one(900), none.clone(), 1),
        (one(900), one(950), one(920), 1),
    ] {
        assert_eq!(
            too_long(&actual, &listed, &lowest).len(),
            expected,
            "{actual:?} {listed:?} {lowest:?}"
        );
    }
    let history = "+++ b/list\n+950 a.rs\n--- a/list\n-950 a.rs\n+920 a.rs\n";
    assert_eq!(lowest(history), one(920));
}
