//! The agent programs that packages are made of: files that the operator puts into a folder, one folder a platform.

use std::path::PathBuf;

use tokio::fs::File;

use super::platform::Platform;
use crate::error::Problem;

/// Where agent programs are.
#[derive(Clone, Debug, Default)]
pub struct AgentPrograms {
    /// `FOLDER/{platform}/gatebook-agent`; none was named.
    pub folder: Option<PathBuf>,
    /// The agent program for the server's own platform, where it lies beside the server's program.
    pub beside: Option<PathBuf>,
    /// How the macOS client is signed, where it is.
    pub mac_signing: Option<MacSigning>,
}

/// By what macOS knows the client: that of the certificate which really signs it (INST-55).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacSigning {
    /// The bundle's identifier.
    pub identifier: String,
    /// The team of the certificate.
    pub team_identifier: String,
    /// What a program must fulfil to be ours.
    pub code_requirement: String,
}

impl AgentPrograms {
    /// Opens the program of a platform; answers it with its length.
    ///
    /// # Errors
    /// 404 that says what belongs where, if there is none.
    pub(super) async fn open(&self, platform: &Platform) -> Result<(File, u64), Problem> {
        for path in self.places(platform) {
            match File::open(&path).await {
                Ok(file) => {
                    let metadata = file.metadata().await;
                    match metadata {
                        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {
                            return Ok((file, metadata.len()));
                        }
                        Ok(_) => {
                            tracing::error!(file = %path.display(), "this is no agent program")
                        }
                        Err(error) => {
                            tracing::error!(file = %path.display(), error = &error as &dyn std::error::Error, "an agent program can't be read");
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(file = %path.display(), error = &error as &dyn std::error::Error, "an agent program can't be read");
                }
            }
        }
        Err(missing(platform))
    }

    /// Whether the platform has a program.
    pub(super) async fn has(&self, platform: &Platform) -> bool {
        for path in self.places(platform) {
            let metadata = tokio::fs::metadata(&path).await;
            if metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
                return true;
            }
        }
        false
    }

    fn places(&self, platform: &Platform) -> Vec<PathBuf> {
        let mut places = Vec::new();
        if let Some(folder) = &self.folder {
            places.push(folder.join(platform.folder).join(platform.program));
        } else if platform.folder == "linux-64" {
            places.extend(self.beside.clone());
        }
        places
    }
}

fn missing(platform: &Platform) -> Problem {
    Problem {
        code: "no_agent_program",
        ..Problem::not_found("Agent program")
    }
    .worded(format!(
        "This site has no agent program for {}: its operator puts it at AGENTS/{}/{} and names the folder AGENTS with --agents.",
        platform.key, platform.folder, platform.program
    ))
}

impl Problem {
    fn worded(mut self, message: String) -> Self {
        self.message = message;
        self
    }
}
