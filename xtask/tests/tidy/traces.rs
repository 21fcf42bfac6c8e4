//! What must not be left lying in the tree: unfinished marks, paths of somebody's machine, addresses of package registries.

use crate::tree::{Source, has_word, in_name, nothing_of, sources};

/// Marks of unfinished work. In pieces, so that this file does not hold them.
const UNFINISHED: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("X", "XX"),
];

/// Homes and work folders that exist on one machine only. In pieces for the same reason.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/fa", "rm/"),
    concat!("/Us", "ers/"),
];

/// Packages are named by name and version; where they come from is the affair of the machine's own configuration.
const REGISTRIES: &[&str] = &[
    concat!("registry.", "npmjs"),
    concat!("registry.", "yarnpkg"),
    concat!("pypi", ".org"),
    concat!("pypi.", "python.org"),
    concat!("files.", "pythonhosted"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("deb.", "debian.org"),
];

fn unfinished(source: &Source) -> Vec<String> {
    each_line(source, |line| {
        UNFINISHED.iter().copied().find(|mark| has_word(line, mark))
    })
}

/// A path counts where it begins: `target` followed by the same folder name is none.
fn machine_paths(source: &Source) -> Vec<String> {
    each_line(source, |line| {
        MACHINE_PATHS.iter().copied().find(|path| {
            line.match_indices(path).any(|(start, _)| {
                let before = line[..start].chars().next_back();
                let after = line[start + path.len()..].chars().next();
                let begins = !before.is_some_and(|character| {
                    in_name(character) || matches!(character, '.' | '-' | '}' | '/' | '*')
                });
                begins
                    && after
                        .is_some_and(|character| character.is_ascii_lowercase() || character == '.')
            })
        })
    })
}

fn registries(source: &Source) -> Vec<String> {
    each_line(source, |line| {
        REGISTRIES.iter().copied().find(|host| line.contains(host))
    })
}

fn each_line(source: &Source, check: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
    let found = source
        .text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, check(line)?)));
    found
        .map(|(line, what)| format!("{}:{line}: {what}", source.path))
        .collect()
}

fn ours(source: &Source) -> bool {
    !source.path.ends_with(".lock") && !source.path.ends_with("package-lock.json")
}

#[test]
fn nothing_is_left_unfinished() {
    let found = sources()
        .iter()
        .filter(|source| ours(source))
        .flat_map(unfinished)
        .collect();
    nothing_of(
        found,
        "Finish it, or file an issue and say in a sentence what is missing on purpose:",
    );
}

#[test]
fn no_path_of_somebodys_machine_is_in_the_tree() {
    nothing_of(
        sources().iter().flat_map(machine_paths).collect(),
        "Paths are relative to the checkout, or come from the caller:",
    );
}

#[test]
fn no_registry_address_is_in_the_tree() {
    nothing_of(
        sources().iter().flat_map(registries).collect(),
        "Packages are named by name and version only:",
    );
}

#[test]
fn a_trace_is_seen() {
    let source = |text: String| Source {
        path: "a.rs".to_owned(),
        text,
    };
    for mark in UNFINISHED {
        assert_eq!(
            unfinished(&source(format!("a\n// {mark}: later"))).len(),
            1,
            "{mark}"
        );
        assert_eq!(unfinished(&source(format!("{mark}S"))).len(), 0, "{mark}");
    }
    for path in MACHINE_PATHS {
        assert_eq!(
            machine_paths(&source(format!("cd {path}main"))).len(),
            1,
            "{path}"
        );
        assert_eq!(
            machine_paths(&source(format!("cd target{path}main"))).len(),
            0,
            "{path}"
        );
    }
    for host in REGISTRIES {
        assert_eq!(
            registries(&source(format!("https://{host}/a"))).len(),
            1,
            "{host}"
        );
    }
}
