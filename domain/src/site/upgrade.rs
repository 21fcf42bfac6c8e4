//! Builds of the program: which have run on the site. Each one's first start is an upgrade, after which installers that were
//! made before are not valid any more (INST-08 to INST-10).
//!
//! A build is known by a hash of its program, so a version number that is built anew counts. Where several nodes are upgraded
//! one after the other, the first one of a build counts, and one of an earlier build that restarts meanwhile does not.

use serde::{Deserialize, Serialize};

use crate::site::first_start;
use crate::{Decision, Refusal, World, happened, nothing};

#[cfg(test)]
mod tests;

/// Most builds that are remembered, the newest; an older one that starts again counts as new.
pub const BUILDS_MAX: usize = 256;

/// Most characters of a build's name and of a version.
const TEXT_CHARS_MAX: usize = 128;

/// A build of the program begins to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which: a hash of the program, in hex.
    pub build: String,
    /// The version it says it is.
    pub version: String,
}

/// A build of the program ran for the first time. Expected rate: a few a year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// Which: a hash of the program, in hex.
    pub build: String,
    /// The version it says it is.
    pub version: String,
}

/// Decides what becomes of it: nothing where the build ran before.
///
/// # Errors
/// There is no site, or the text is not one of a build.
pub fn decide(world: &World, command: &Command) -> Decision {
    let site = world.site.as_ref().ok_or(Refusal::not_found("Site"))?;
    let is_text = |text: &str| (1..=TEXT_CHARS_MAX).contains(&text.chars().count());
    if !is_text(&command.build) || !is_text(&command.version) {
        return Err(Refusal::field(
            "build",
            format!("The build and version fields must have 1 to {TEXT_CHARS_MAX} characters."),
        ));
    }
    if site.builds.contains(&command.build) {
        return nothing();
    }
    happened(crate::Event::Site(first_start::Event::Upgraded(Upgraded {
        build: command.build.clone(),
        version: command.version.clone(),
    })))
}

/// Folds [`Upgraded`].
pub(super) fn apply(world: &mut World, upgraded: &Upgraded) {
    if let Some(site) = &mut world.site {
        site.builds.push(upgraded.build.clone());
        if site.builds.len() > BUILDS_MAX {
            site.builds.remove(0);
        }
        site.upgrades += 1;
    }
}

impl World {
    /// How many builds of the program have begun to run on the site, each counted once: installers of an earlier number are
    /// not valid any more.
    #[must_use]
    pub fn site_builds(&self) -> u32 {
        self.site.as_ref().map_or(0, |site| site.upgrades)
    }
}
