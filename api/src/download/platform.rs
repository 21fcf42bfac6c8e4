//! The platforms an installer can be downloaded for, with the names the guide gives the files (INST-17, INST-42).

use link_protocol::package::PackageKind;
use link_protocol::parameters::System;

/// How a file for a platform is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A script with the agent inside, made for each installer.
    Package(PackageKind),
    /// The program that was put into the folder of agent programs, under a name of its own. Nothing of the installer is inside, and
    /// nothing can be added: it would break the signature of an EXE, and the end by which a DMG or a ZIP is read.
    AsItIs,
}

/// One platform.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// In paths, as the published description names it.
    pub key: &'static str,
    /// In the wizard.
    pub title: &'static str,
    /// As `key_info` names it (config-api.md section 0 fact 7), where it does.
    pub in_key_info: Option<&'static str>,
    /// The folder of its agent program.
    pub folder: &'static str,
    /// The agent program in that folder.
    pub program: &'static str,
    /// How its file is made.
    pub made: Made,
    /// Whose parameters it knows.
    pub system: System,
}

/// Every platform, in the order of the wizard.
pub const PLATFORMS: &[Platform] = &[
    Platform {
        key: "windows-32",
        title: "Windows (x86)",
        in_key_info: None,
        folder: "windows-32",
        program: "gatebook-agent.exe",
        made: Made::AsItIs,
        system: System::Windows,
    },
    Platform {
        key: "windows-32-msi",
        title: "Windows (x86) MSI",
        in_key_info: None,
        folder: "windows-32-msi",
        program: "gatebook-agent.msi",
        made: Made::AsItIs,
        system: System::Windows,
    },
    Platform {
        key: "windows-64-msi",
        title: "Windows (x64) MSI",
        in_key_info: Some("winNT-64-msi"),
        folder: "windows-64-msi",
        program: "gatebook-agent.msi",
        made: Made::AsItIs,
        system: System::Windows,
    },
    Platform {
        key: "mac-dmg",
        title: "macOS",
        in_key_info: Some("mac-osx-x86"),
        folder: "mac-dmg",
        program: "gatebook-agent.dmg",
        made: Made::AsItIs,
        system: System::Mac,
    },
    Platform {
        key: "mac-zip",
        title: "macOS (programmatic installation)",
        in_key_info: None,
        folder: "mac-zip",
        program: "gatebook-agent.zip",
        made: Made::AsItIs,
        system: System::Mac,
    },
    Platform {
        key: "linux-64",
        title: "Linux",
        in_key_info: Some("linux64-x86"),
        folder: "linux-64",
        program: "gatebook-agent",
        made: Made::Package(PackageKind::Desktop),
        system: System::Linux,
    },
    Platform {
        key: "linux-64-headless",
        title: "headless Linux",
        in_key_info: None,
        folder: "linux-64",
        program: "gatebook-agent",
        made: Made::Package(PackageKind::Headless),
        system: System::Linux,
    },
    Platform {
        key: "raspberry-pi-32-headless",
        title: "Raspberry Pi OS (32-bit) Headless",
        in_key_info: None,
        folder: "raspberry-pi-32-headless",
        program: "gatebook-agent",
        made: Made::Package(PackageKind::Headless),
        system: System::Linux,
    },
];

/// The platform of this key.
#[must_use]
pub fn named(key: &str) -> Option<&'static Platform> {
    PLATFORMS.iter().find(|platform| platform.key == key)
}

/// The platform a browser runs on, for what is offered first (INST-17). `agent` is its `User-Agent`.
#[must_use]
pub fn of_browser(agent: &str) -> &'static Platform {
    let agent = agent.to_ascii_lowercase();
    let key = if agent.contains("windows") {
        "windows-64-msi"
    } else if agent.contains("macintosh") || agent.contains("mac os") {
        "mac-dmg"
    } else if agent.contains("curl") || agent.contains("wget") {
        // Whoever fetches it in a terminal needs no desktop.
        "linux-64-headless"
    } else if agent.contains("linux") || agent.contains("x11") {
        "linux-64"
    } else {
        "windows-64-msi"
    };
    named(key).unwrap_or(&PLATFORMS[0])
}

/// What is said of a file that does not bring the installer's key.
pub const NEEDS_KEY: &str = "This file is the same for every installer. The deployment tool must hand it the installer's key, in the \
                             spelling of an MSI: KEY_INFO=<key string>.";

impl Platform {
    /// Whether the file brings the installer's KEY_INFO; every other has to be given it (INST-39).
    #[must_use]
    pub fn brings_key(&self) -> bool {
        matches!(self.made, Made::Package(_))
    }

    /// What whoever deploys the file must know of its key; nothing where it brings it.
    #[must_use]
    pub fn key_advice(&self) -> Option<&'static str> {
        (!self.brings_key()).then_some(NEEDS_KEY)
    }

    /// The name of the file for an installer, as the guide has it: that of an MSI is the same for all of them, whose key stands
    /// on the command line; every other is unique and must not be renamed (INST-36, INST-39, INST-44, INST-45, INST-53).
    #[must_use]
    pub fn file_name(&self, installer_id: &str) -> String {
        match (self.key, self.made) {
            ("windows-32-msi", _) => "bomgar-pec-win32.msi".to_owned(),
            ("windows-64-msi", _) => "bomgar-pec-win64.msi".to_owned(),
            (_, Made::Package(kind)) => format!("bomgar-pec-{installer_id}.{}", kind.suffix()),
            (_, Made::AsItIs) => {
                let suffix = self.program.rsplit('.').next().unwrap_or_default();
                format!("bomgar-pec-{installer_id}.{suffix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INST-36, INST-39, INST-42, INST-44, INST-45, INST-53
    #[test]
    fn files_are_named_as_the_guide_names_them() {
        let uid = "0123456789abcdef0123456789abcdef";
        for (key, name) in [
            (
                "windows-32",
                "bomgar-pec-0123456789abcdef0123456789abcdef.exe",
            ),
            ("windows-32-msi", "bomgar-pec-win32.msi"),
            ("windows-64-msi", "bomgar-pec-win64.msi"),
            ("mac-dmg", "bomgar-pec-0123456789abcdef0123456789abcdef.dmg"),
            ("mac-zip", "bomgar-pec-0123456789abcdef0123456789abcdef.zip"),
            (
                "linux-64",
                "bomgar-pec-0123456789abcdef0123456789abcdef.desktop",
            ),
            (
                "linux-64-headless",
                "bomgar-pec-0123456789abcdef0123456789abcdef.bin",
            ),
            (
                "raspberry-pi-32-headless",
                "bomgar-pec-0123456789abcdef0123456789abcdef.bin",
            ),
        ] {
            assert_eq!(named(key).unwrap().file_name(uid), name);
        }
        assert!(named("winNT-64-msi").is_none() && named("").is_none());
    }

    /// INST-39: what is not made for each installer says that it has to be given the key.
    #[test]
    fn files_that_bring_no_key_say_so() {
        for platform in PLATFORMS {
            let is_linux = platform.system == System::Linux;
            assert_eq!(platform.brings_key(), is_linux, "{}", platform.key);
            let advice = platform.key_advice();
            assert_eq!(advice.is_none(), is_linux, "{}", platform.key);
            assert!(advice.is_none_or(|advice| advice.contains("KEY_INFO=<key string>")));
        }
    }

    /// INST-17
    #[test]
    fn the_platform_offered_first_is_the_browsers_own() {
        for (agent, key) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0",
                "windows-64-msi",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Safari/605",
                "mac-dmg",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0", "linux-64"),
            ("curl/8.5.0", "linux-64-headless"),
            ("", "windows-64-msi"),
        ] {
            assert_eq!(of_browser(agent).key, key, "{agent}");
        }
    }

    /// INST-17: the platforms that the guide and the published description name.
    #[test]
    fn every_platform_of_the_guide_is_there() {
        for title in [
            "Windows (x86)",
            "Windows (x64) MSI",
            "macOS",
            "Linux",
            "headless Linux",
            "Raspberry Pi OS (32-bit) Headless",
        ] {
            assert!(
                PLATFORMS.iter().any(|platform| platform.title == title),
                "{title}"
            );
        }
        for key in [
            "linux-64",
            "raspberry-pi-32-headless",
            "mac-dmg",
            "mac-zip",
            "windows-64-msi",
            "windows-32-msi",
        ] {
            assert!(named(key).is_some(), "{key}");
        }
    }
}
