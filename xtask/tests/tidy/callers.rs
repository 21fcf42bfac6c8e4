//! A rule is decided in one place, and a user can reach it: what the domain offers is called by product code.

use std::collections::BTreeMap;

use crate::tree::{Source, code_lines, in_name, nothing_of, rust_sources};

/// Whether a file is compiled for tests alone.
fn is_for_tests(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| matches!(part, "tests" | "tests.rs" | "testing" | "testing.rs"))
        || path.starts_with("replay-tests/")
}

/// The product's part of a file: without tests, comments and what is only brought into scope.
fn product_code(source: &Source) -> String {
    if is_for_tests(&source.path) {
        return String::new();
    }
    let mut code = String::new();
    let mut in_use = false;
    let mut lines = code_lines(&source.text).map(|(_, line)| line).peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed == "#[cfg(test)]" {
            match lines.peek() {
                // A module in a file of its own.
                Some(next) if next.trim_end().ends_with(';') => {
                    lines.next();
                    continue;
                }
                _ => break,
            }
        }
        let begins_use = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .any(|start| trimmed.starts_with(start));
        if in_use || begins_use {
            in_use = !trimmed.ends_with(';');
            continue;
        }
        code.push_str(line);
        code.push('\n');
    }
    code
}

/// The names of public functions that are declared in some code.
fn public_functions(code: &str) -> impl Iterator<Item = &str> {
    ["pub fn ", "pub const fn "]
        .into_iter()
        .flat_map(|start| {
            code.match_indices(start)
                .map(move |(at, _)| at + start.len())
        })
        .map(|at| {
            let rest = &code[at..];
            let end = rest.find(|character| !in_name(character));
            &rest[..end.unwrap_or(rest.len())]
        })
}

/// Public functions of the domain that product code names nowhere but where they are declared.
fn without_callers(sources: &[Source]) -> Vec<String> {
    let product: Vec<(&str, String)> = sources
        .iter()
        .map(|source| (source.path.as_str(), product_code(source)))
        .collect();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, code) in &product {
        for word in code.split(|character| !in_name(character)) {
            *named.entry(word).or_default() += 1;
        }
    }
    let mut declared: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, code) in &product {
        if path.starts_with("domain/src/") {
            for name in public_functions(code) {
                declared.entry(name).or_default().push(path);
            }
        }
    }
    declared
        .into_iter()
        .filter(|(name, paths)| named.get(name).copied().unwrap_or_default() <= paths.len())
        .map(|(name, paths)| format!("{}: {name}", paths.join(", ")))
        .collect()
}

#[test]
fn every_public_function_of_the_domain_has_a_caller_in_product_code() {
    nothing_of(
        without_callers(&rust_sources()),
        "What only tests call decides nothing. Delete it, or ask it where its rule is decided:",
    );
}

#[test]
fn the_checker_can_fail() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let rules = "pub use other::{\n    unused,\n};\n#[cfg(test)]\nmod tests;\npub fn used() {}\npub const fn unused() {}\n// unused\n#[cfg(test)]\nmod more {\n    unused()\n}";
    let all = [
        source("domain/src/a.rs", rules),
        source("domain/src/a/tests/mod.rs", "unused()"),
        source("api/src/b.rs", "fn b() { used() }"),
    ];
    assert_eq!(without_callers(&all), ["domain/src/a.rs: unused"]);
}
