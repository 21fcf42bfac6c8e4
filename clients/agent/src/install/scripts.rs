//! The scripts of an installation, and the example of a systemd service (INST-49, INST-50, INST-60).

use std::path::{Path, PathBuf};

use link_protocol::Overrides;

use super::installation::{Installation, Kind};
use super::layout::Layout;

const INIT_SCRIPT: &str = include_str!("init-script.sh");
const UNINSTALL: &str = include_str!("uninstall.sh");

/// Whose the programs of an installation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Root's: nobody else decides what runs when root runs them.
    Root,
    /// Those of the user the client runs as.
    User,
}

/// The text of `init-script`.
#[must_use]
pub fn init_script(layout: &Layout, installation: &Installation) -> String {
    filled(INIT_SCRIPT, &words(layout, installation, Owner::User))
}

/// The text of `uninstall`.
#[must_use]
pub fn uninstall(layout: &Layout, installation: &Installation, owner: Owner) -> String {
    filled(UNINSTALL, &words(layout, installation, owner))
}

/// What stands for what in a script.
fn words(
    layout: &Layout,
    installation: &Installation,
    owner: Owner,
) -> [(&'static str, String); 7] {
    let owner = match owner {
        Owner::Root => "root",
        Owner::User => &installation.user,
    };
    let path = |path: &Path| quoted_for_shell(&path.display().to_string());
    let autostart = installation.autostart.as_deref().unwrap_or(Path::new(""));
    [
        ("@NAME@", plain(&installation.name(layout))),
        ("@SITE@", plain(&installation.site)),
        ("@USER@", quoted_for_shell(&installation.user)),
        ("@DIRECTORY@", path(layout.directory())),
        ("@OWNER@", quoted_for_shell(owner)),
        ("@AUTOSTART@", path(autostart)),
        ("@EXEC_START@", quoted_for_shell(&exec_start(layout))),
    ]
}

/// Goes through the template once: what was filled in is not looked into again, whatever it is called.
fn filled(template: &str, words: &[(&str, String)]) -> String {
    let mut text = String::with_capacity(2 * template.len());
    let mut rest = template;
    while let Some(at) = rest.find('@') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let known = words.iter().find_map(|(word, value)| {
            let rest = from.strip_prefix(word)?;
            Some((value.as_str(), rest))
        });
        let (value, after) = known.unwrap_or_else(|| from.split_at(1));
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The line of a unit file that runs the client of this directory, and of no other.
///
/// systemd takes no quote and no backslash in the name of a program, and `$$` means `$` in what follows it alone
/// (systemd.service(5)). A directory with one of them is handed to a shell as an argument.
#[must_use]
pub fn exec_start(layout: &Layout) -> String {
    let text = layout.program().display().to_string();
    let program = quoted_for_systemd(&text);
    let directory = quoted_for_systemd(&layout.directory().display().to_string());
    if text.contains(['"', '\'', '\\', '$']) {
        return format!(
            "ExecStart=/bin/sh -c 'exec \"$$0\" run --installation \"$$1\"' {program} {directory}"
        );
    }
    format!("ExecStart={program} run --installation {directory}")
}

/// A unit file for systemd: it runs the client as its user, never as root for want of one; and not at all where the client has
/// removed itself.
#[must_use]
pub fn unit(layout: &Layout, installation: &Installation) -> String {
    let site = plain(&installation.site);
    let user = user_for_systemd(installation);
    let description = layout
        .description()
        .display()
        .to_string()
        .replace('%', "%%");
    let exec_start = exec_start(layout);
    format!(
        "[Unit]\n\
         Description=Jump Client of {site}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         ConditionPathExists={description}\n\
         \n\
         [Service]\n\
         Type=exec\n\
         User={user}\n\
         {exec_start}\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         RestartPreventExitStatus=3 4 126 127 203\n\
         NoNewPrivileges=yes\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// The user by name, where systemd takes the name as it is; else by number. Names of a directory, such as `CORP\svc`, would be
/// another user's if they were changed.
fn user_for_systemd(installation: &Installation) -> String {
    let user = &installation.user;
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_plain = user.starts_with(begins)
        && user
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_plain {
        user.clone()
    } else {
        installation.uid.to_string()
    }
}

/// What is printed after an installation (INST-48, INST-50, INST-60). Nothing in it has root run or copy a file that somebody else
/// may change.
#[must_use]
pub fn farewell(layout: &Layout, installation: &Installation, until: &str, owner: Owner) -> String {
    let service = format!("{}.service", installation.name(layout));
    let path = format!("/etc/systemd/system/{service}");
    let quoted = |path: PathBuf| quoted_for_shell(&path.display().to_string());
    let (script, uninstall) = (quoted(layout.init_script()), quoted(layout.uninstall()));
    let unit = unit(layout, installation);
    let overrides = if installation.overrides == Overrides::default() {
        ""
    } else {
        "Whether its site takes what was passed here, that start says.\n"
    };
    let (save, by_root) = match owner {
        Owner::Root => {
            let example = quoted(layout.unit());
            (
                format!(
                    "{unit}\nIt is also in {example}.\n\n    install -o root -g root -m 644 {example} {path}\n"
                ),
                String::new(),
            )
        }
        Owner::User => {
            let user = quoted_for_shell(&installation.user);
            (
                format!(
                    "    install -o root -g root -m 644 /dev/stdin {path} <<'{UNIT_ENDS}'\n{unit}{UNIT_ENDS}\n"
                ),
                format!(
                    "The files in {directory} can be changed by {name}. Root runs none of them but as that user:\n\
                     \n    runuser -u {user} -- {script} start\n    runuser -u {user} -- {uninstall}\n\n",
                    directory = layout.directory().display(),
                    name = installation.user,
                ),
            )
        }
    };
    format!(
        "The Jump Client of {site} is installed in {directory}.\n\
         Start it before {until}, and take it away with the second:\n\
         \n    {script} start\n    {uninstall}\n\
         \n\
         {overrides}{by_root}\
         It comes back after a reboot only if it is started at boot. An example of a systemd service follows; root saves it as\n\
         {path}, owned by root and with mode 644, so that nobody else can change what is run at boot:\n\
         \n{save}    \
         systemctl daemon-reload\n    systemctl enable --now {service}\n",
        site = installation.site,
        directory = layout.directory().display(),
    )
}

/// What is printed after the installation of a client that runs already (CLNT-06).
#[must_use]
pub fn runs(layout: &Layout, installation: &Installation, has_systemd: bool) -> String {
    let mut text = format!(
        "The Jump Client of {} is installed in {} and runs as {}.\n",
        installation.site,
        layout.directory().display(),
        installation.user
    );
    if installation.kind == Kind::Service && !has_systemd {
        let script = quoted_for_shell(&layout.init_script().display().to_string());
        text.push_str(&format!(
            "This machine does not run systemd: it does not come back after a reboot unless this is run at boot:\n\n    {script} start\n"
        ));
    }
    text
}

/// Ends the unit file in what root is told to type; no line of a unit file is this.
const UNIT_ENDS: &str = "END-OF-UNIT";

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
pub fn autostart_path(
    home: &Path,
    layout: &Layout,
    installation: &Installation,
) -> Option<PathBuf> {
    let file = format!(".config/autostart/{}.desktop", installation.name(layout));
    (installation.kind == Kind::User).then(|| home.join(file))
}

/// The program that a desktop entry starts, as [`autostart`] writes it.
pub(super) fn started_by(entry: &str) -> Option<PathBuf> {
    let line = entry
        .lines()
        .find_map(|line| line.strip_prefix("Exec=\""))?;
    let mut program = String::new();
    let mut rest = line;
    loop {
        let escaped = [
            (r"\\\\", "\\"),
            (r#"\\""#, "\""),
            (r"\\`", "`"),
            (r"\\$", "$"),
            ("%%", "%"),
        ];
        let found = escaped
            .iter()
            .find_map(|(written, meant)| Some((*meant, rest.strip_prefix(written)?)));
        let (meant, after) = match found {
            Some(found) => found,
            None => rest.split_at(rest.chars().next()?.len_utf8()),
        };
        if found.is_none() && meant == "\"" {
            return Some(program.into());
        }
        program.push_str(meant);
        rest = after;
    }
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
mod tests;
