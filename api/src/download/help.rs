//! "Mass Deploy Help" (INST-58): the command lines of every platform, made from the table that the installers themselves read.

use link_protocol::package::PackageKind;
use link_protocol::parameters::{Leave, PARAMETERS, Parameter, Spelling, System};
use serde_json::{Value, json};

use super::platform::{Made, PLATFORMS, Platform};

/// The page. `has` says for each platform whether the site has its program.
pub(super) fn page(host: &str, first: &Platform, has: &[bool]) -> Value {
    let platforms: Vec<Value> = PLATFORMS
        .iter()
        .zip(has)
        .map(|(platform, has)| {
            json!({
                "platform": platform.key,
                "title": platform.title,
                "file_name": platform.file_name("{uid}"),
                "is_default": platform.key == first.key,
                "available": has,
                "elevation_options": takes_elevation(platform),
                "access": access(platform),
                "brings_key": platform.brings_key(),
                "key_advice": platform.key_advice(),
            })
        })
        .collect();
    let parameters: Vec<Value> = PARAMETERS.iter().map(parameter).collect();
    json!({
        "platforms": platforms,
        "parameters": parameters,
        "command_lines": command_lines(),
        "macos_grants": MACOS_GRANTS.map(|(grant, without)| json!({"grant": grant, "without": without})),
        "duplicates": {
            "process": "bomgar-pec.exe",
            "display_name": display_name(host),
            "advice": "Abort the deployment where the process runs or a DisplayName in the registry is this one. An install \
                       directory that exists makes every installer abort.",
        },
        "advice": [
            "Deploy at most 60 clients per minute: 1 per second, 3,600 per hour.",
            "A parameter whose field is not marked \"Allow Override During Installation\" makes the whole installation fail; \
             the event log of the operating system says which.",
            "Do not set a session policy for headless clients.",
            "A headless client must be started within the time \"This Installer is Valid For\", and by a service at boot. The \
             unit file of such a service belongs to root and has mode 644.",
        ],
    })
}

/// What the user of a Mac grants the client, and what there is not without it. Each can be granted at any time (CLNT-59).
const MACOS_GRANTS: [(&str, &str); 3] = [
    ("Screen Recording", "the screen is not seen"),
    ("Accessibility", "keyboard and mouse are not controlled"),
    (
        "Full Disk Access",
        "files outside of the client's own folders are not reached",
    ),
];

/// Windows and Mac only; no effect on Linux without a desktop (INST-18, INST-19, INST-20).
fn takes_elevation(platform: &Platform) -> bool {
    platform.system != System::Linux
}

/// What a session can show (INST-52).
fn access(platform: &Platform) -> &'static [&'static str] {
    match platform.made {
        Made::Package(PackageKind::Headless) => &["File System", "Command Shell", "System Info"],
        Made::Package(PackageKind::Desktop) | Made::AsItIs => &[
            "Screen Sharing",
            "File System",
            "Command Shell",
            "System Info",
        ],
    }
}

fn parameter(parameter: &Parameter) -> Value {
    let systems: Vec<&str> = [
        (System::Windows, "Windows"),
        (System::Mac, "macOS"),
        (System::Linux, "Linux"),
    ]
    .into_iter()
    .filter_map(|(system, name)| parameter.is_for(system).then_some(name))
    .collect();
    let msi = parameter
        .is_for(System::Windows)
        .then(|| parameter.usage(Spelling::Msi));
    json!({
        "name": format!("--{}", parameter.name),
        "exe": parameter.usage(Spelling::Dashes),
        "msi": msi,
        "about": parameter.about,
        "systems": systems,
        "needs_override": match parameter.leave {
            Leave::Override(field) => Value::from(format!("allow_override_{field}")),
            Leave::Always => Value::Null,
            Leave::Never => Value::from("never"),
        },
    })
}

fn command_lines() -> Value {
    json!([
        {
            "title": "Windows EXE",
            "lines": ["bomgar-pec-{uid}.exe --jc-jump-group jumpgroup:servers --jc-tag servers --silent"],
        },
        {
            "title": "Windows MSI",
            "lines": [
                "msiexec /i bomgar-pec-win64.msi KEY_INFO=<key_info_string> INSTALLDIR=<installDir> jc_tag=servers /quiet",
            ],
        },
        {
            "title": "macOS",
            "lines": [
                "hdiutil attach /tmp/bomgar-pec-{uid}.dmg",
                "sudo \"/Volumes/bomgar-pec/Open To Start Support Session.app/Contents/MacOS/sdcust\" --silent",
                "sleep 15",
                "hdiutil detach /Volumes/bomgar-pec",
                "rm /tmp/bomgar-pec-{uid}.dmg",
            ],
            "note": "Do not rename the disk image: its name is unique to the installer.",
        },
        {
            "title": "Linux",
            "lines": ["sh ./bomgar-pec-{uid}.desktop", "sudo sh ./bomgar-pec-{uid}.desktop --user username"],
            "note": "Run by root it installs in service mode; the service itself runs as the user named.",
        },
        {
            "title": "headless Linux and Raspberry Pi OS",
            "lines": [
                "sh ./bomgar-pec-{uid}.bin --install-dir ~/jumpclient",
                "~/jumpclient/init-script start",
                "~/jumpclient/init-script status",
                "~/jumpclient/uninstall",
            ],
            "note": "Root must add --user username: the user the client runs as.",
        },
    ])
}

/// What deployment scripts look for in the registry of a Windows machine (INST-41).
fn display_name(host: &str) -> String {
    format!("BeyondTrust Privileged Remote Access Jump Client [{host}]")
}

#[cfg(test)]
mod tests {
    use super::super::platform;
    use super::*;

    fn help() -> Value {
        let has = vec![true; PLATFORMS.len()];
        page(
            "support.example.org",
            platform::named("mac-dmg").unwrap(),
            &has,
        )
    }

    /// INST-41, INST-43, INST-53, INST-54, INST-58, INST-60
    #[test]
    fn the_help_shows_the_command_lines_of_the_guide() {
        let help = help();
        assert_eq!(help["duplicates"]["process"], "bomgar-pec.exe");
        assert_eq!(
            help["duplicates"]["display_name"],
            "BeyondTrust Privileged Remote Access Jump Client [support.example.org]"
        );
        let text = help.to_string();
        for part in [
            "Contents/MacOS/sdcust\\\" --silent",
            "sleep 15",
            "hdiutil detach /Volumes/bomgar-pec",
            "rm /tmp/bomgar-pec-{uid}.dmg",
            "Do not rename the disk image",
            "KEY_INFO=<key_info_string> INSTALLDIR=<installDir> jc_tag=servers /quiet",
            "bomgar-pec-{uid}.exe --jc-jump-group jumpgroup:servers --jc-tag servers",
            "sudo sh ./bomgar-pec-{uid}.desktop",
            "sh ./bomgar-pec-{uid}.bin --install-dir",
            "at most 60 clients per minute",
            "belongs to root and has mode 644",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert!(!text.contains("bomgar-scc") && !text.contains("777"));
    }

    /// INST-18, INST-19, INST-20, INST-52
    #[test]
    fn the_help_says_what_each_platform_can() {
        let help = help();
        let of = |key: &str| {
            let platforms = help["platforms"].as_array().unwrap();
            platforms
                .iter()
                .find(|platform| platform["platform"] == key)
                .unwrap()
                .clone()
        };
        for (key, elevation) in [
            ("windows-64-msi", true),
            ("mac-dmg", true),
            ("linux-64", false),
            ("linux-64-headless", false),
            ("raspberry-pi-32-headless", false),
        ] {
            assert_eq!(of(key)["elevation_options"], elevation, "{key}");
        }
        let pi = of("raspberry-pi-32-headless");
        assert_eq!(
            pi["access"],
            json!(["File System", "Command Shell", "System Info"])
        );
        assert_eq!(
            (&pi["brings_key"], &pi["key_advice"]),
            (&json!(true), &Value::Null)
        );
        let advice = of("mac-dmg")["key_advice"].to_string();
        assert!(advice.contains("KEY_INFO=<key string>"), "{advice}");
        assert_eq!(of("mac-dmg")["is_default"], true);
        assert_eq!(pi["is_default"], false);
    }

    /// INST-35, INST-36, INST-51, INST-58, INST-61
    #[test]
    fn the_help_lists_every_parameter_in_both_spellings() {
        let help = help();
        let parameters = help["parameters"].as_array().unwrap();
        assert_eq!(parameters.len(), PARAMETERS.len());
        let tag = parameters
            .iter()
            .find(|one| one["name"] == "--jc-tag")
            .unwrap();
        assert_eq!(tag["exe"], "--jc-tag <tag-name>");
        assert_eq!(tag["msi"], "jc_tag=<tag-name>");
        assert_eq!(tag["needs_override"], "allow_override_tag");
        assert_eq!(tag["systems"], json!(["Windows", "macOS", "Linux"]));
        let other = parameters
            .iter()
            .find(|one| one["name"] == "--jc-public-site-address")
            .unwrap();
        assert_eq!(other["needs_override"], "never");
    }
}
