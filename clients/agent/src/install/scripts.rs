//! The scripts of an installation, and the example of a systemd service (INST-49, INST-50, INST-60).

use std::path::{Path, PathBuf};

use super::installation::{Installation, Kind};
use super::layout::Layout;

const INIT_SCRIPT: &str = include_str!("init-script.sh");
const UNINSTALL: &str = include_str!("uninstall.sh");

/// The text of `init-script`.
#[must_use]
pub fn init_script(layout: &Layout, installation: &Installation) -> String {
    filled(INIT_SCRIPT, layout, installation)
}

/// The text of `uninstall`. `by_root` says that the programs belong to root.
#[must_use]
pub fn uninstall(
    layout: &Layout,
    installation: &Installation,
    by_root: bool,
    autostart: Option<&Path>,
) -> String {
    let owner = if by_root { "root" } else { &installation.user };
    let autostart = autostart.map_or_else(String::new, |path| path.display().to_string());
    filled(UNINSTALL, layout, installation)
        .replace("@OWNER@", &quoted_for_shell(owner))
        .replace("@AUTOSTART@", &quoted_for_shell(&autostart))
}

/// Names come last: what they hold is not looked into again.
fn filled(template: &str, layout: &Layout, installation: &Installation) -> String {
    let directory = quoted_for_shell(&layout.directory().display().to_string());
    template
        .replace("@NAME@", &plain(&installation.name()))
        .replace("@SITE@", &plain(&installation.site))
        .replace("@USER@", &quoted_for_shell(&installation.user))
        .replace("@DIRECTORY@", &directory)
}

/// A unit file for systemd: it runs the client as its user, never as root for want of one.
#[must_use]
pub fn unit(layout: &Layout, installation: &Installation) -> String {
    let program = quoted_for_systemd(&layout.program().display().to_string());
    let directory = quoted_for_systemd(&layout.directory().display().to_string());
    let (site, user) = (plain(&installation.site), plain(&installation.user));
    format!(
        "[Unit]\n\
         Description=Jump Client of {site}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=exec\n\
         User={user}\n\
         ExecStart={program} run --installation {directory}\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         RestartPreventExitStatus=3 4\n\
         NoNewPrivileges=yes\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// What is printed after an installation (INST-48, INST-50, INST-60).
#[must_use]
pub fn farewell(layout: &Layout, installation: &Installation, until: &str) -> String {
    let directory = layout.directory().display();
    let name = installation.name();
    format!(
        "The Jump Client of {site} is installed in {directory}.\n\
         Start it before {until}:\n\
         \n    {script} start\n\
         \n\
         It comes back after a reboot only if that is run at boot. Example of a systemd service:\n\
         \n{unit}\n\
         Save it as /etc/systemd/system/{name}.service (it is also in {example}), owned by root and with mode 644, so that\n\
         nobody else can change what is run at boot:\n\
         \n    install -o root -g root -m 644 {example} /etc/systemd/system/{name}.service\n    \
         systemctl daemon-reload\n    systemctl enable --now {name}.service\n",
        site = installation.site,
        script = quoted_for_shell(&layout.init_script().display().to_string()),
        unit = unit(layout, installation),
        example = quoted_for_shell(&layout.unit().display().to_string()),
    )
}

/// The file by which a desktop starts the client when its user logs on (CLNT-06).
#[must_use]
pub fn autostart(layout: &Layout, installation: &Installation) -> String {
    let script = quoted_for_desktop(&layout.init_script().display().to_string());
    format!(
        "[Desktop Entry]\nType=Application\nName=Jump Client of {}\nExec={script} start\nNoDisplay=true\n",
        plain(&installation.site)
    )
}

/// Where that file is, for the user whose home this is.
#[must_use]
pub fn autostart_path(home: &Path, installation: &Installation) -> Option<PathBuf> {
    (installation.kind == Kind::User)
        .then(|| home.join(format!(".config/autostart/{}.desktop", installation.name())))
}

/// A text as one word of a shell.
fn quoted_for_shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A text as one word of a command line of systemd.
fn quoted_for_systemd(text: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

/// A text as one word of the `Exec` of a desktop entry, where it is unquoted twice.
fn quoted_for_desktop(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str(r"\\\\"),
            '"' | '`' | '$' => {
                escaped.push_str(r"\\");
                escaped.push(c);
            }
            '%' => escaped.push_str("%%"),
            c => escaped.push(c),
        }
    }
    format!("\"{escaped}\"")
}

/// A name that needs no quoting; anything else in it becomes `_`.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            c if c.is_alphanumeric() => c,
            '-' | '_' | '.' | ':' | '@' | '+' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use link_protocol::{Overrides, Secret};

    use super::super::installation::Installed;
    use super::*;

    fn installation(kind: Kind) -> Installation {
        Installation::new(Installed {
            kind,
            user: "jsmith".to_owned(),
            site: "access.example.com".to_owned(),
            installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
            key_info: Secret::new("kkkk"),
            overrides: Overrides::default(),
            valid_until_ms: 7,
        })
    }

    /// Directories whose names are commands where somebody forgot a quote.
    const HOSTILE: [&str; 5] = [
        "/tmp/it's",
        "/tmp/a b",
        "/tmp/$(touch pwned)",
        "/tmp/`id`;\"x\"",
        "/tmp/%n\\$HOME",
    ];

    /// threat R
    #[test]
    fn threat_r_the_name_of_a_directory_is_no_command() {
        for directory in HOSTILE {
            let layout = Layout::of(directory.into());
            for text in [
                init_script(&layout, &installation(Kind::Headless)),
                uninstall(
                    &layout,
                    &installation(Kind::User),
                    false,
                    Some(Path::new(directory)),
                ),
            ] {
                let assignment = text
                    .lines()
                    .find(|line| line.starts_with("directory="))
                    .unwrap();
                let said = Command::new("sh")
                    .args(["-c", &format!("{assignment}; printf %s \"$directory\"")])
                    .output()
                    .unwrap();
                assert_eq!(String::from_utf8_lossy(&said.stdout), directory);
                let checked = Command::new("sh")
                    .args(["-n", "-c", &text])
                    .output()
                    .unwrap();
                assert!(checked.status.success(), "{checked:?}");
            }
        }
    }

    /// INST-50, INST-60, CLNT-09, threat R
    #[test]
    fn the_example_of_a_service_is_safe() {
        let layout = Layout::of("/srv/100% mine".into());
        let unit = unit(&layout, &installation(Kind::Service));
        assert!(unit.contains("\nUser=jsmith\n"), "{unit}");
        assert!(unit.contains("\nRestartPreventExitStatus=3 4\n"), "{unit}");
        assert!(
            unit.contains("ExecStart=\"/srv/100%% mine/gatebook-agent\" run --installation \"/srv/100%% mine\"\n"),
            "{unit}"
        );
        let told = farewell(&layout, &installation(Kind::Service), "tomorrow");
        assert!(told.contains(&unit), "{told}");
        assert!(told.contains("-o root -g root -m 644"), "{told}");
        assert!(
            told.contains("'/srv/100% mine/init-script' start"),
            "{told}"
        );
        assert!(!told.contains("777") && !told.contains("kkkk"), "{told}");
    }

    /// CLNT-06: only a user-mode client starts with its user.
    #[test]
    fn a_user_mode_client_starts_when_its_user_logs_on() {
        let home = Path::new("/srv/jsmith");
        assert_eq!(autostart_path(home, &installation(Kind::Service)), None);
        assert_eq!(autostart_path(home, &installation(Kind::Headless)), None);
        let path = autostart_path(home, &installation(Kind::User)).unwrap();
        assert_eq!(
            path,
            Path::new(
                "/srv/jsmith/.config/autostart/bomgar-pec-0123456789abcdef0123456789abcdef.desktop"
            )
        );
        let text = autostart(&Layout::of("/a $b".into()), &installation(Kind::User));
        assert!(
            text.contains("Exec=\"/a \\\\$b/init-script\" start\n"),
            "{text}"
        );
    }
}
