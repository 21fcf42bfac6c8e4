//! Where things are: the root of the checkout and the folder that may be written to.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The checkout that xtask works on.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout that this xtask was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .context("start this as `cargo xtask`, so that cargo says where the checkout is")?;
        let root = Path::new(&manifest)
            .parent()
            .context("xtask has no parent folder")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(path) => root.join(path),
            None => root.join("target"),
        };
        fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
        Ok(Self { root, target })
    }

    /// A path inside the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path inside the target folder: the only place xtask writes to.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.target.join(relative)
    }

    /// A program that cargo built.
    ///
    /// # Errors
    /// When it is not there: the workspace has no binary of that name, or it was not built.
    pub(crate) fn built(&self, profile: &str, program: &str) -> Result<PathBuf> {
        let path = self.target(profile).join(program);
        ensure!(
            path.is_file(),
            "the build left no program {}",
            path.display()
        );
        Ok(path)
    }

    /// The cargo that called us, to be run at the root. The variables that cargo sets for the running package are
    /// taken away, so that what is built does not depend on being built through xtask.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            if name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "CARGO_BIN_NAME"
                || name == "CARGO_CRATE_NAME"
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Any program, to be run at the root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }
}
