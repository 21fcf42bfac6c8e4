//! The scripts as a shell runs them, whatever the directories and users are called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::*;
use crate::install::installation::played;

/// Names that are commands, or places to fill in, where somebody forgot a quote or looked twice.
const HOSTILE: [&str; 10] = [
    "/tmp/it's",
    "/tmp/a b",
    "/tmp/$(touch pwned)",
    "/tmp/`id`;\"x\"",
    "/tmp/%n\\$HOME",
    "/tmp/@OWNER@",
    "/tmp/@AUTOSTART@",
    "/tmp/@USER@",
    "/tmp/@DIRECTORY@@NAME@",
    "/tmp/@EXEC_START@ @SITE@",
];

fn sh(text: &str) -> Output {
    Command::new("sh").args(["-c", text]).output().unwrap()
}

/// What a script's own assignments, run by a shell, leave in these variables.
fn assigned(script: &str, names: &[&str]) -> Vec<String> {
    let is_assignment = |line: &&str| {
        let name = line.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let assignments: Vec<&str> = script.lines().filter(is_assignment).collect();
    let told: Vec<String> = names
        .iter()
        .map(|name| format!("printf '%s\\0' \"${name}\""))
        .collect();
    let said = sh(&format!("{}\n{}", assignments.join("\n"), told.join("\n")));
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    let values: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    assert_eq!(values.len(), names.len(), "{script}");
    values
}

/// threat R: no name becomes a command, and none is taken for a place to fill in.
#[test]
fn threat_r_no_name_is_a_command() {
    for directory in HOSTILE {
        for user in HOSTILE {
            let layout = Layout::of(directory.into());
            let mut installation = played(Kind::User);
            user.clone_into(&mut installation.user);
            installation.autostart = Some(format!("{user}.desktop").into());
            let init = init_script(&layout, &installation);
            assert_eq!(
                assigned(
                    &init,
                    &["directory", "user", "agent", "state", "pid_file", "log"]
                ),
                [
                    directory.to_owned(),
                    user.to_owned(),
                    format!("{directory}/gatebook-agent"),
                    format!("{directory}/state"),
                    format!("{directory}/state/agent.pid"),
                    format!("{directory}/state/agent.log"),
                ]
            );
            for (owner, owned) in [(Owner::User, user), (Owner::Root, "root")] {
                let uninstall = uninstall(&layout, &installation, owner);
                let name = installation.name(&layout);
                assert_eq!(
                    assigned(
                        &uninstall,
                        &[
                            "directory",
                            "user",
                            "owner",
                            "autostart",
                            "exec_start",
                            "agent",
                            "unit"
                        ]
                    ),
                    [
                        directory.to_owned(),
                        user.to_owned(),
                        owned.to_owned(),
                        format!("{user}.desktop"),
                        exec_start(&layout),
                        format!("{directory}/gatebook-agent"),
                        format!("/etc/systemd/system/{name}.service"),
                    ]
                );
                for text in [&init, &uninstall] {
                    let checked = Command::new("sh")
                        .args(["-n", "-c", text])
                        .output()
                        .unwrap();
                    assert!(checked.status.success(), "{checked:?}");
                }
            }
        }
    }
}

/// Everything that a template names is filled in, and nothing of the shell's own is taken for it.
#[test]
fn every_place_is_filled_in() {
    let layout = Layout::of("/srv/client".into());
    for text in [
        init_script(&layout, &played(Kind::Headless)),
        uninstall(&layout, &played(Kind::Headless), Owner::User),
    ] {
        assert_eq!(text.matches('@').count(), text.matches("\"$@\"").count());
        assert!(text.ends_with("main \"$@\"; exit $?\n"), "{text}");
    }
}

/// INST-50, INST-60, CLNT-09, threat R
#[test]
fn the_example_of_a_service_is_safe() {
    let layout = Layout::of("/srv/100% mine".into());
    let unit = unit(&layout, &played(Kind::Service));
    for line in [
        "User=jsmith",
        // What has removed itself is not started again: nothing there, refused, over, or not even a program.
        "RestartPreventExitStatus=3 4 126 127 203",
        "ConditionPathExists=/srv/100%% mine/state/installation.json",
        "ExecStart=\"/srv/100%% mine/gatebook-agent\" run --installation \"/srv/100%% mine\"",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
    for owner in [Owner::Root, Owner::User] {
        let told = farewell(&layout, &played(Kind::Service), "tomorrow", owner);
        assert!(told.contains(&unit), "{told}");
        assert!(told.contains("-o root -g root -m 644"), "{told}");
        assert!(
            told.contains("'/srv/100% mine/init-script' start"),
            "{told}"
        );
        assert!(!told.contains("777") && !told.contains("kkkk"), "{told}");
    }
}

/// threat R: root is never told to run or to copy a file that the client's user may change.
#[test]
fn threat_r_root_is_told_to_run_nothing_of_the_users() {
    let layout = Layout::of("/srv/it's/client".into());
    let mut installation = played(Kind::Headless);
    installation.user = "it's".to_owned();
    let told = farewell(&layout, &installation, "tomorrow", Owner::User);
    assert!(!told.contains("example.service"), "{told}");
    for line in [
        r"    runuser -u 'it'\''s' -- '/srv/it'\''s/client/init-script' start",
        r"    runuser -u 'it'\''s' -- '/srv/it'\''s/client/uninstall'",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}: {told}");
    }
    // What is to be typed brings the unit, byte for byte, to where it is to be.
    let typed = told.split_once("    install -o root -g root ").unwrap().1;
    let typed = typed.split_once("    systemctl").unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.service");
    let name = installation.name(&layout);
    let typed = typed.replace(
        &format!("/etc/systemd/system/{name}.service"),
        &path.display().to_string(),
    );
    let done = sh(&format!("install {typed}"));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        unit(&layout, &installation)
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o644
    );
}

/// The words of `ExecStart=` as systemd reads them (systemd.syntax(7), systemd.service(5)).
fn words_of_systemd(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.strip_prefix("ExecStart=").unwrap().chars();
    while let Some(first) = rest.clone().find(|c| *c != ' ') {
        rest = rest.as_str().trim_start_matches(' ').chars();
        let quote = matches!(first, '"' | '\'').then(|| rest.next().unwrap());
        let mut word = String::new();
        loop {
            match rest.next() {
                None if quote.is_none() => break,
                c if c == quote.or(Some(' ')) => break,
                Some('\\') => word.push(match rest.next() {
                    Some(c @ ('\\' | '"' | '\'')) => c,
                    other => panic!("an escape that is not known: {other:?}"),
                }),
                Some('%') => {
                    assert_eq!(rest.next(), Some('%'), "a specifier in {line}");
                    word.push('%');
                }
                Some('$') if !words.is_empty() => {
                    assert_eq!(rest.next(), Some('$'), "a variable in {line}");
                    word.push('$');
                }
                Some(c) => word.push(c),
                None => panic!("a quote without an end in {line}"),
            }
        }
        words.push(word);
    }
    // string_is_safe() of systemd, which the name of a program must be.
    assert!(!words[0].contains(['"', '\'', '\\']), "{line}");
    words
}

/// INST-50: systemd runs the program of this directory, whatever the directory is called.
#[test]
fn a_service_runs_the_program_whatever_its_directory_is_called() {
    for name in HOSTILE
        .iter()
        .chain(&["/tmp/$HOME/${HOME}", "/tmp/a\\x20b"])
    {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join(name.strip_prefix("/tmp/").unwrap());
        let layout = Layout::of(directory.clone());
        fs::create_dir_all(&directory).unwrap();
        let told = folder.path().join("told");
        let program = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >'{}'\n", told.display());
        fs::write(layout.program(), program).unwrap();
        fs::set_permissions(layout.program(), fs::Permissions::from_mode(0o755)).unwrap();
        let words = words_of_systemd(&exec_start(&layout));
        let done = Command::new(&words[0]).args(&words[1..]).status();
        assert!(done.unwrap().success(), "{words:?}");
        assert_eq!(
            fs::read_to_string(told).unwrap(),
            format!("run\n--installation\n{}\n", directory.display())
        );
    }
}

/// INST-60: where nothing starts the service at boot, that is said.
#[test]
fn a_service_without_systemd_says_that_it_does_not_come_back() {
    let layout = Layout::of("/srv/it's".into());
    for (kind, has_systemd, expected) in [
        (Kind::Service, false, true),
        (Kind::Service, true, false),
        (Kind::User, false, false),
    ] {
        let text = runs(&layout, &played(kind), has_systemd);
        assert!(text.contains("is installed in /srv/it's and runs as jsmith"));
        let told = text.contains(r"    '/srv/it'\''s/init-script' start");
        assert_eq!(told, expected, "{text}");
    }
}

/// threat R: a user whose name a unit file can't hold as it is does not become another user.
#[test]
fn threat_r_a_service_runs_as_the_user_it_was_made_for() {
    let layout = Layout::of("/srv/client".into());
    for (name, expected) in [
        ("jsmith", "jsmith"),
        ("_apt", "_apt"),
        ("a.b-c_1", "a.b-c_1"),
        (r"CORP\svc", "1000"),
        ("a b", "1000"),
        ("%u", "1000"),
        ("0", "1000"),
        ("-x", "1000"),
        ("jsmith@corp", "1000"),
        ("j\u{fc}rg", "1000"),
    ] {
        let mut installation = played(Kind::Service);
        name.clone_into(&mut installation.user);
        let unit = unit(&layout, &installation);
        let user = unit.lines().find_map(|line| line.strip_prefix("User="));
        assert_eq!(user, Some(expected), "{name}");
    }
}

/// CLNT-06: only a user-mode client starts with its user.
#[test]
fn a_user_mode_client_starts_when_its_user_logs_on() {
    let home = Path::new("/srv/jsmith");
    let layout = Layout::of("/a $b".into());
    for kind in [Kind::Service, Kind::Headless] {
        assert_eq!(autostart_path(home, &layout, &played(kind)), None);
    }
    let installation = played(Kind::User);
    let name = installation.name(&layout);
    assert_eq!(
        autostart_path(home, &layout, &installation).unwrap(),
        Path::new(&format!("/srv/jsmith/.config/autostart/{name}.desktop"))
    );
    let text = autostart(&layout, &installation);
    assert!(
        text.contains("Exec=\"/a \\\\$b/init-script\" start\n"),
        "{text}"
    );
    for directory in HOSTILE {
        let layout = Layout::of(directory.into());
        let text = autostart(&layout, &installation);
        assert_eq!(started_by(&text), Some(layout.init_script()), "{text}");
    }
    for text in ["", "Exec=/bin/true\n", "Exec=\"/bin/true\n", "Exec=\""] {
        assert_eq!(started_by(text), None, "{text}");
    }
}

/// A machine whose root is played, with a service of this name in its folder.
struct Played {
    folder: tempfile::TempDir,
    layout: Layout,
    unit: PathBuf,
}

impl Played {
    fn new(exec_start: impl FnOnce(&Layout) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path().join("client"));
        fs::create_dir_all(layout.state()).unwrap();
        for path in [layout.program(), layout.init_script()] {
            program(&path, "exit 0");
        }
        let unit = folder.path().join("played.service");
        fs::write(&unit, format!("[Service]\n{}\n", exec_start(&layout))).unwrap();
        let said = folder.path().join("said").display().to_string();
        fs::create_dir(folder.path().join("bin")).unwrap();
        for (name, does) in [
            ("id", "case $1 in -u) echo 0 ;; *) echo root ;; esac"),
            ("systemctl", &format!("echo \"systemctl $*\" >>'{said}'")),
            ("runuser", &format!("echo \"runuser $*\" >>'{said}'")),
        ] {
            program(&folder.path().join("bin").join(name), does);
        }
        Self {
            folder,
            layout,
            unit,
        }
    }

    /// Root runs `uninstall`; what it then told other programs to do.
    fn uninstall(&self, owner: Owner) -> String {
        let installation = played(Kind::Service);
        let name = installation.name(&self.layout);
        let text = uninstall(&self.layout, &installation, owner).replace(
            &format!("/etc/systemd/system/{name}.service"),
            &self.unit.display().to_string(),
        );
        let path = std::env::var("PATH").unwrap();
        let done = Command::new("sh")
            .args(["-c", &text])
            .env(
                "PATH",
                format!("{}:{path}", self.folder.path().join("bin").display()),
            )
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        let said = fs::read_to_string(self.folder.path().join("said")).unwrap();
        said.replace(&name, "NAME")
    }
}

fn program(path: &Path, does: &str) {
    fs::write(path, format!("#!/bin/sh\n{does}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// CLNT-06: root's `uninstall` takes the service first, whosever the files are, also where the client has removed its state itself.
#[test]
fn root_takes_the_service_away_before_anything_else() {
    for owner in [Owner::Root, Owner::User] {
        let machine = Played::new(exec_start);
        let said = machine.uninstall(owner);
        assert!(!machine.unit.exists());
        let first: Vec<&str> = said.lines().take(2).collect();
        assert_eq!(
            first,
            [
                "systemctl disable --now NAME.service",
                "systemctl daemon-reload"
            ]
        );
        // Files of the user, root leaves to the user.
        assert_eq!(machine.layout.directory().exists(), owner == Owner::User);
        let rest: Vec<&str> = said.lines().skip(2).collect();
        assert!(
            rest.iter()
                .all(|line| line.starts_with("runuser -u jsmith -- ")),
            "{said}"
        );
        assert!(!rest.is_empty());
    }
}

/// INST-57: the service of another directory is another client's.
#[test]
fn the_service_of_another_directory_stays() {
    let other = |_: &Layout| exec_start(&Layout::of("/srv/other".into()));
    let machine = Played::new(other);
    let said = machine.uninstall(Owner::Root);
    assert!(machine.unit.exists());
    assert!(!said.contains("systemctl"), "{said}");
    assert!(!machine.layout.directory().exists());
}
