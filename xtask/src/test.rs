//! `cargo xtask test`: builds, fetches what the tests need, starts PostgreSQL and runs everything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::postgres::{Postgres, URL_VARIABLE, unprivileged_may_enter};
use crate::process::{Interrupt, must};
use crate::tools::{nextest, python_with_xmlschema, remove};
use crate::workspace::Workspace;

/// Longest path at which a test's own folder, and a socket in it, still fits the 108 bytes that a socket's path may have.
const TEMPORARY_PATH_MAX: usize = 48;

/// Which tests.
#[derive(Args)]
pub(crate) struct Options {
    /// `quick` leaves out what starts with `slow_`; `soak` runs only what starts with `soak_`; `all` is everything but the soak tests.
    #[arg(value_enum, default_value = "all")]
    scope: Scope,
    /// Handed to nextest, for example `-- -E 'test(some_name)'`.
    #[arg(last = true)]
    nextest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    All,
    Quick,
    Soak,
}

impl Scope {
    /// The profile in `.config/nextest.toml`.
    fn profile(self) -> &'static str {
        match self {
            Scope::All => "default",
            Scope::Quick => "quick",
            Scope::Soak => "soak",
        }
    }
}

/// Runs the tests.
///
/// # Errors
/// When anything fails, a test included. PostgreSQL is stopped in any case.
pub(crate) fn test(workspace: &Workspace, interrupt: &Interrupt, options: &Options) -> Result<()> {
    // One call builds programs and tests together, so the dependencies' features are the same in both and nothing is compiled twice.
    must(
        workspace
            .cargo()
            .args(["build", "--workspace", "--locked", "--bins", "--tests"]),
        interrupt,
    )
    .context("building")?;
    let surroundings = Surroundings {
        server: workspace.built("debug", "gatebook")?,
        agent: workspace.built("debug", "gatebook-agent")?,
        python: python_with_xmlschema(workspace, interrupt)?,
        temporary: temporary(workspace)?,
    };
    let mut runner = nextest(workspace, interrupt)?;
    let postgres = Postgres::start(workspace, interrupt)?;
    let outcome = run_suites(
        workspace,
        interrupt,
        options,
        &surroundings,
        postgres.url(),
        &mut runner,
    );
    let stopped = postgres.stop();
    if let Some(folder) = &surroundings.temporary {
        remove(folder)?;
    }
    outcome.and(stopped)
}

/// Doc tests go first, so that nextest's summary is the last thing to be read.
fn run_suites(
    workspace: &Workspace,
    interrupt: &Interrupt,
    options: &Options,
    surroundings: &Surroundings,
    database: &str,
    runner: &mut Command,
) -> Result<()> {
    let documented = if options.scope == Scope::All && options.nextest.is_empty() {
        crates_with_doc_tests(workspace)?
    } else {
        Vec::new()
    };
    let doc_tests = if documented.is_empty() {
        Ok(())
    } else {
        let mut command = workspace.cargo();
        command.args(["test", "--doc", "--locked"]);
        for package in &documented {
            command.args(["--package", package]);
        }
        surroundings.export_to(&mut command, database);
        must(&mut command, interrupt).context("doc tests")
    };
    runner
        .args([
            "run",
            "--workspace",
            "--locked",
            "--profile",
            options.scope.profile(),
        ])
        .args(&options.nextest);
    if options.scope == Scope::Soak {
        runner.arg("--no-tests=warn");
    }
    surroundings.export_to(runner, database);
    let suites = must(runner, interrupt).context("tests");
    doc_tests.and(suites)
}

/// What tests find in their environment.
struct Surroundings {
    server: PathBuf,
    agent: PathBuf,
    python: PathBuf,
    temporary: Option<PathBuf>,
}

impl Surroundings {
    fn export_to(&self, command: &mut Command, database: &str) {
        command.env(URL_VARIABLE, database);
        command
            .env("GATEBOOK_BIN", &self.server)
            .env("GATEBOOK_AGENT_BIN", &self.agent);
        command.env("GATEBOOK_TEST_XMLSCHEMA_PYTHON", &self.python);
        if let Some(folder) = &self.temporary {
            command.env("TMPDIR", folder);
        }
    }
}

/// A folder under `target/` for what tests write, so that a killed one leaves nothing elsewhere; none where the path is
/// too long for sockets, or where an ordinary user, as whom root's tests install clients, may not go.
fn temporary(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let folder = workspace
        .target("test-tmp")
        .join(std::process::id().to_string());
    if folder.as_os_str().len() > TEMPORARY_PATH_MAX {
        return Ok(None);
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // As the system's own: everybody may make files, and nobody may touch those of others.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))
        .with_context(|| format!("opening {} to all", folder.display()))?;
    if unprivileged_may_enter(&folder)? {
        return Ok(Some(folder));
    }
    remove(&folder)?;
    Ok(None)
}

/// The library crates with at least one example that the doc test runner would run.
fn crates_with_doc_tests(workspace: &Workspace) -> Result<Vec<String>> {
    let output = workspace
        .cargo()
        .args(["metadata", "--no-deps", "--locked", "--format-version", "1"])
        .output()
        .context("cargo metadata")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")?;
    let mut found = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")?
    {
        let is_library = |target: &serde_json::Value| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib"))
        };
        let library = package["targets"]
            .as_array()
            .and_then(|targets| targets.iter().find(|target| is_library(target)));
        let source = library
            .and_then(|target| target["src_path"].as_str())
            .map(Path::new)
            .and_then(Path::parent);
        if let (Some(source), Some(name)) = (source, package["name"].as_str())
            && folder_has_doc_tests(source)?
        {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

fn folder_has_doc_tests(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let found = if path.is_dir() {
            folder_has_doc_tests(&path)?
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && has_doc_tests(&fs::read_to_string(&path)?)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether doc comments hold a fenced example in Rust. A fence without a word, or with one of rustdoc's own, is Rust.
fn has_doc_tests(source: &str) -> bool {
    let mut inside = false;
    for line in source.lines().map(str::trim) {
        let Some(text) = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
        else {
            inside = false;
            continue;
        };
        let Some(words) = text.trim().strip_prefix("```") else {
            continue;
        };
        if inside {
            inside = false;
            continue;
        }
        inside = true;
        let rust = |word: &str| matches!(word, "rust" | "no_run" | "should_panic" | "compile_fail");
        if words.is_empty() || words.split(',').any(|word| rust(word.trim())) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_tests_are_seen() {
        for (source, expected) in [
            ("/// ```\n/// assert!(true);\n/// ```", true),
            ("//! ```rust,no_run\n//! a();\n//! ```", true),
            ("/// ```text\n/// a -> b\n/// ```\nfn a() {}", false),
            (
                "/// ```json\n/// {}\n/// ```\n/// words\n/// ```text\n/// ```",
                false,
            ),
            ("// ```\n// not a doc comment\n// ```", false),
        ] {
            assert_eq!(has_doc_tests(source), expected, "{source}");
        }
    }
}
