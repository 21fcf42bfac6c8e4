//! Arrows point inwards: which crate may depend on which. The table of ARCHITECTURE.md, held against the manifests.

use std::process::Command;

use serde_json::Value;

use crate::tree::{nothing_of, root, sources};

/// What a crate may know of ours.
enum Ours {
    /// These crates and no others.
    Only(&'static [&'static str]),
    /// Every crate of the workspace.
    All,
}

/// A line of the table.
struct Rule {
    name: &'static str,
    ours: Ours,
    /// Crates of others that it must not know.
    never: &'static [&'static str],
}

const HTTP: &[&str] = &["axum", "axum-server", "utoipa-axum"];

/// Crate by crate, from the inside out. `xtask` builds before everything, so it knows nothing.
const TABLE: &[Rule] = &[
    Rule {
        name: "domain",
        ours: Ours::Only(&[]),
        never: HTTP,
    },
    Rule {
        name: "eventstore",
        ours: Ours::Only(&[]),
        never: HTTP,
    },
    Rule {
        name: "secrets",
        ours: Ours::Only(&[]),
        never: &["axum", "sqlx", "tokio"],
    },
    Rule {
        name: "projections",
        ours: Ours::Only(&["domain", "eventstore"]),
        never: HTTP,
    },
    Rule {
        name: "engine",
        ours: Ours::Only(&["domain", "eventstore", "secrets", "projections"]),
        never: HTTP,
    },
    Rule {
        name: "connector",
        ours: Ours::Only(&[
            "domain",
            "engine",
            "projections",
            "eventstore",
            "secrets",
            "link-protocol",
        ]),
        never: HTTP,
    },
    Rule {
        name: "api",
        ours: Ours::Only(&[
            "domain",
            "eventstore",
            "secrets",
            "projections",
            "engine",
            "connector",
            "link-protocol",
        ]),
        never: &[],
    },
    Rule {
        name: "gatebook",
        ours: Ours::Only(&[
            "domain",
            "eventstore",
            "secrets",
            "projections",
            "engine",
            "connector",
            "api",
            "link-protocol",
            "output",
        ]),
        never: &[],
    },
    Rule {
        name: "output",
        ours: Ours::Only(&[]),
        never: &["tokio", "sqlx", "axum"],
    },
    Rule {
        name: "link-protocol",
        ours: Ours::Only(&[]),
        never: &["sqlx"],
    },
    Rule {
        name: "gatebook-agent",
        ours: Ours::Only(&["link-protocol", "output"]),
        never: &["sqlx", "axum"],
    },
    Rule {
        name: "gatebook-load",
        ours: Ours::Only(&["link-protocol", "output"]),
        never: &["sqlx", "axum"],
    },
    Rule {
        name: "replay-tests",
        ours: Ours::All,
        never: &[],
    },
    Rule {
        name: "xtask",
        ours: Ours::Only(&[]),
        never: &["tokio"],
    },
];

/// All that the domain may use of others: nothing in it knows a clock, chance, the environment or I/O.
const DOMAIN_MAY_USE: &[&str] = &[
    "serde",
    "serde_json",
    "chrono",
    "chrono-tz",
    "rkyv",
    "thiserror",
    "imbl",
    // What a mail address is, and how its domain is written: both are pure functions of text.
    "email_address",
    "idna",
];

/// A package as its manifest describes it.
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    is_ours: bool,
    /// For its own tests only.
    for_tests: bool,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            dependencies: list(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    is_ours: dependency["path"].is_string(),
                    for_tests: dependency["kind"] == "dev",
                })
                .collect(),
        })
        .collect()
}

fn broken(package: &Package) -> Vec<String> {
    let Some(rule) = TABLE.iter().find(|rule| rule.name == package.name) else {
        return vec![format!(
            "{} has no line in the table of xtask/tests/tidy/arrows.rs",
            package.name
        )];
    };
    let mut found = Vec::new();
    for dependency in &package.dependencies {
        let Dependency {
            name,
            is_ours,
            for_tests,
        } = dependency;
        // A crate may name itself for its tests, to switch on a feature.
        if *is_ours
            && *name != package.name
            && matches!(rule.ours, Ours::Only(allowed) if !allowed.contains(&name.as_str()))
        {
            found.push(format!("{} must not depend on {name}", package.name));
        }
        if rule.never.contains(&name.as_str()) && !for_tests {
            found.push(format!("{} must not depend on {name}", package.name));
        }
        if package.name == "domain"
            && !is_ours
            && !for_tests
            && !DOMAIN_MAY_USE.contains(&name.as_str())
        {
            found.push(format!("domain must not use {name}"));
        }
    }
    found
}

#[test]
fn every_crate_knows_only_what_the_table_allows() {
    let found: Vec<String> = packages().iter().flat_map(broken).collect();
    nothing_of(
        found,
        "The table of crates in ARCHITECTURE.md is the rule for dependencies:",
    );
}

#[test]
fn the_table_names_only_crates_that_exist() {
    let packages = packages();
    for rule in TABLE {
        assert!(
            packages.iter().any(|package| package.name == rule.name),
            "the table names {}, which does not exist",
            rule.name
        );
    }
}

#[test]
fn a_forbidden_arrow_is_seen() {
    let package = |name: &str, dependencies: &[(&str, bool)]| Package {
        name: name.to_owned(),
        dependencies: dependencies
            .iter()
            .map(|(name, is_ours)| Dependency {
                name: (*name).to_owned(),
                is_ours: *is_ours,
                for_tests: false,
            })
            .collect(),
    };
    for (name, dependency, expected) in [
        ("eventstore", ("domain", true), 1),
        ("projections", ("engine", true), 1),
        ("gatebook-agent", ("eventstore", true), 1),
        ("domain", ("rand", false), 1),
        ("engine", ("axum", false), 1),
        ("stranger", ("serde", false), 1),
        ("replay-tests", ("gatebook", true), 0),
        ("domain", ("serde", false), 0),
        ("engine", ("domain", true), 0),
    ] {
        assert_eq!(
            broken(&package(name, &[dependency])).len(),
            expected,
            "{name} -> {dependency:?}"
        );
    }
}

/// The names of a `[table]` of a manifest, `a.b = 1` and `a = 1` both being `a`.
fn names_in(manifest: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut is_wanted = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            is_wanted = wanted(table.trim_end_matches(']'));
        } else if is_wanted && let Some((key, _)) = line.split_once('=') {
            let name = key.trim().split('.').next().unwrap_or_default();
            if !name.starts_with('#') {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// What the workspace names for its members, and none of them uses.
fn unused(workspace: &str, members: &[String]) -> Vec<String> {
    let used: Vec<String> = members
        .iter()
        .flat_map(|manifest| names_in(manifest, |table| table.ends_with("dependencies")))
        .collect();
    names_in(workspace, |table| table == "workspace.dependencies")
        .into_iter()
        .filter(|name| !used.contains(name))
        .map(|name| format!("no member uses {name}"))
        .collect()
}

#[test]
fn every_dependency_of_the_workspace_is_one_of_a_member() {
    let sources = sources();
    let manifest = |path: &str| path.ends_with("/Cargo.toml");
    let members: Vec<String> = sources
        .iter()
        .filter(|source| manifest(&source.path))
        .map(|source| source.text.clone())
        .collect();
    assert!(members.len() > 5, "the members are found");
    let workspace = sources.iter().find(|source| source.path == "Cargo.toml");
    let workspace = &workspace.expect("the workspace has a manifest").text;
    nothing_of(
        unused(workspace, &members),
        "[workspace.dependencies] is for what is used:",
    );
}

#[test]
fn what_no_member_uses_is_found() {
    let workspace =
        "[workspace.dependencies]\na = \"1\"\n# b = 1\nc = { path = \"c\" }\nd = \"1\"\n";
    let members = [
        "[dependencies]\na.workspace = true\n[features]\nc = []\n".to_owned(),
        "[target.'cfg(unix)'.dependencies]\nd = { workspace = true }\n".to_owned(),
    ];
    assert_eq!(unused(workspace, &members), ["no member uses c"]);
}
