//! Both spellings, line by line.

use super::*;

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

fn dashes(line: &[&str]) -> Result<Parameters, ParameterError> {
    parse(Spelling::Dashes, System::Linux, &words(line))
}

fn msi(line: &[&str]) -> Result<Parameters, ParameterError> {
    let line = [&["KEY_INFO=w0dc3056g7"], line].concat();
    parse(Spelling::Msi, System::Windows, &words(&line))
}

/// What both spellings of one line read, the key aside.
fn both(exe: &[&str], of_msi: &[&str]) -> Parameters {
    let read = parse(Spelling::Dashes, System::Windows, &words(exe)).unwrap();
    let mut other = msi(of_msi).unwrap();
    assert_eq!(
        other.key_info.take(),
        Some(Secret::new("w0dc3056g7")),
        "{of_msi:?}"
    );
    assert_eq!(read, other, "{exe:?} {of_msi:?}");
    read
}

/// INST-26, INST-27, INST-30, INST-31, INST-32, INST-33, INST-34, INST-35, INST-36, INST-37, INST-38
#[test]
fn each_parameter_reads_the_same_in_both_spellings() {
    let overrides = |set: fn(&mut Overrides)| {
        let mut read = Parameters::default();
        set(&mut read.overrides);
        read
    };
    // EXE, MSI, what is read
    let cases: [(&[&str], &[&str], Parameters); 11] = [
        (&[], &[], Parameters::default()),
        (
            &["--install-dir", r"C:\Jump Client"],
            &[r#"INSTALLDIR="C:\Jump Client""#],
            Parameters {
                install_dir: Some(r"C:\Jump Client".to_owned()),
                ..Parameters::default()
            },
        ),
        (
            &["--jc-name", "web", "1"],
            &["jc_name=web 1"],
            overrides(|o| o.name = Some("web 1".to_owned())),
        ),
        (
            &["--jc-jump-group", "jumpgroup:server_support"],
            &["jc_jump_group=jumpgroup:server_support"],
            overrides(|o| o.jump_group = Some("jumpgroup:server_support".to_owned())),
        ),
        (
            &["--jc-jump-group", "user:jsmith"],
            &["JC_JUMP_GROUP=user:jsmith"],
            overrides(|o| o.jump_group = Some("user:jsmith".to_owned())),
        ),
        (
            &["--jc-session-policy", "sp", "--jc-jump-policy", "jp"],
            &["jc_session_policy=sp", "jc_jump_policy=jp"],
            overrides(|o| {
                o.session_policy = Some("sp".to_owned());
                o.jump_policy = Some("jp".to_owned());
            }),
        ),
        (
            &["--jc-max-offline-minutes", "90"],
            &["jc_max_offline_minutes=90"],
            overrides(|o| o.max_offline_minutes = Some(90)),
        ),
        (
            &["--jc-ephemeral"],
            &["jc_ephemeral=1"],
            overrides(|o| o.max_offline_minutes = Some(5)),
        ),
        (
            &["--jc-ephemeral", "--jc-max-offline-minutes", "5"],
            &["jc_ephemeral=1", "jc_max_offline_minutes=5"],
            overrides(|o| o.max_offline_minutes = Some(5)),
        ),
        (
            &["--jc-tag", "servers", "--jc-comments", "rack 4,", "row 2"],
            &["jc_tag=servers", r#"jc_comments="rack 4, row 2""#],
            overrides(|o| {
                o.tag = Some("servers".to_owned());
                o.comments = Some("rack 4, row 2".to_owned());
            }),
        ),
        (
            &["--silent"],
            &["/quiet"],
            Parameters {
                silent: true,
                ..Parameters::default()
            },
        ),
    ];
    for (exe, of_msi, expected) in cases {
        assert_eq!(both(exe, of_msi), expected, "{exe:?}");
    }
    // A value that begins with dashes is joined to its name.
    let read = dashes(&["--jc-comments=--urgent", "--jc-tag=a=b"]).unwrap();
    assert_eq!(read.overrides.comments.as_deref(), Some("--urgent"));
    assert_eq!(read.overrides.tag.as_deref(), Some("a=b"));
    let quoted = msi(&[r#"jc_comments="the ""big"" one""#]).unwrap();
    assert_eq!(
        quoted.overrides.comments.as_deref(),
        Some(r#"the "big" one"#)
    );
}

/// INST-24, INST-27, INST-28, INST-31, INST-32
#[test]
fn every_wrong_parameter_is_refused_by_its_name() {
    let long = "x".repeat(129);
    let comments = "x".repeat(1025);
    // EXE line, words of the message
    let cases: [(&[&str], &str); 24] = [
        (&["servers"], "\"servers\" is not a parameter"),
        (&["-x"], "\"-x\" is not a parameter"),
        (&["--"], "\"--\" is not a parameter"),
        (&["--jc-nmae", "x"], "\"--jc-nmae\" is not a parameter"),
        (&["--jc_tag", "x"], "\"--jc_tag\" is not a parameter"),
        (&["--jc-tag"], "--jc-tag needs a value"),
        (&["--jc-tag", ""], "--jc-tag needs a value"),
        (&["--jc-tag", "--silent"], "--jc-tag needs a value"),
        (&["--jc-tag", "a", "b"], "\"b\" is not a parameter"),
        (
            &["--jc-tag", "a", "--jc-tag", "b"],
            "--jc-tag is given more than once",
        ),
        (&["--silent=yes"], "--silent takes no value"),
        (&["--jc-ephemeral=5"], "--jc-ephemeral takes no value"),
        (
            &["--jc-name", &long],
            "the value of --jc-name can't be used",
        ),
        (
            &["--jc-comments", &comments],
            "the value of --jc-comments can't be used",
        ),
        (
            &["--jc-name", "a\u{7}b"],
            "the value of --jc-name can't be used",
        ),
        (
            &["--install-dir", "a\nb"],
            "the value of --install-dir can't be used",
        ),
        (
            &["--jc-max-offline-minutes", "0"],
            "whole number of minutes from 1 to 5256000",
        ),
        (
            &["--jc-max-offline-minutes", "5256001"],
            "whole number of minutes",
        ),
        (
            &["--jc-max-offline-minutes", "soon"],
            "whole number of minutes",
        ),
        (
            &["--jc-ephemeral", "--jc-max-offline-minutes", "6"],
            "--jc-ephemeral and --jc-max-offline-minutes contradict each other",
        ),
        (&["--jc-jump-group", "team:support"], "does not take team:"),
        (
            &["--jc-jump-group", "servers"],
            "takes user:<username> or jumpgroup:",
        ),
        (
            &["--jc-jump-group", "jumpgroup:"],
            "takes user:<username> or jumpgroup:",
        ),
        (&["--key-info", "secret"], "the package brings its key"),
    ];
    for (line, said) in cases {
        let error = dashes(line).unwrap_err().to_string();
        assert!(error.contains(said), "{line:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let many = vec!["--silent".to_owned(); 5_000];
    assert_eq!(
        parse(Spelling::Dashes, System::Linux, &many),
        Err(ParameterError::TooMany)
    );
}

/// INST-35, INST-37, INST-38, INST-39
#[test]
fn an_msi_needs_its_key_and_has_its_own_names() {
    let cases: [(&[&str], &str); 7] = [
        (&["jc_tag=servers"], "an MSI needs KEY_INFO=<key string>"),
        (&["KEY_INFO="], "an MSI needs KEY_INFO=<key string>"),
        (
            &["KEY_INFO=a", "key_info=b"],
            "KEY_INFO is given more than once",
        ),
        (
            &["KEY_INFO=a", "--jc-tag", "x"],
            "\"--jc-tag\" is not a parameter",
        ),
        (
            &["KEY_INFO=a", "install_dir=x"],
            "\"install_dir\" is not a parameter",
        ),
        (
            &["KEY_INFO=a", "--silent"],
            "\"--silent\" is not a parameter",
        ),
        (&["KEY_INFO=a", "jc_tag="], "jc_tag needs a value"),
    ];
    for (line, said) in cases {
        let error = parse(Spelling::Msi, System::Windows, &words(line)).unwrap_err();
        assert!(error.to_string().contains(said), "{line:?}: {error}");
    }
    // The guide's own example.
    let line = [
        "KEY_INFO=w0dc3056g7ff8d1j68ee6wi6dhwzfeffggyezh7c40jc90",
        "jc_jump_group=jumpgroup:server_support",
        "jc_tag=servers",
    ];
    let read = parse(Spelling::Msi, System::Windows, &words(&line)).unwrap();
    assert_eq!(read.overrides.tag.as_deref(), Some("servers"));
}

/// INST-24: the directory is for Windows and Linux, the user for Linux alone. INST-61: everything else is everywhere.
#[test]
fn the_systems_differ_by_directory_and_user_only() {
    for parameter in PARAMETERS {
        for system in [System::Linux, System::Windows, System::Mac] {
            let value = match parameter.name {
                "jc-jump-group" => "user:anna",
                "jc-max-offline-minutes" => "7",
                _ => "value",
            };
            let mut line = vec![format!("--{}", parameter.name)];
            if parameter.takes != Takes::Nothing {
                line.push(value.to_owned());
            }
            let known = match parameter.name {
                "install-dir" => system != System::Mac,
                "user" | "allow-root" => system == System::Linux,
                _ => true,
            };
            let read = parse(Spelling::Dashes, system, &line);
            assert_eq!(read.is_ok(), known, "{line:?} {system:?}: {read:?}");
            if let Err(error) = read {
                let said = format!(
                    "--{} can't be used on this operating system",
                    parameter.name
                );
                assert_eq!(error.to_string(), said);
            }
        }
    }
}

/// Marks one field of the wizard.
type Mark = fn(&mut MayOverride);

/// INST-23, INST-26, INST-30, INST-31, INST-32, INST-33, INST-51, INST-61: one mark each, and none for another's.
#[test]
fn each_value_needs_its_own_mark() {
    let marks: [(&[&str], &str, Mark); 8] = [
        (&["--jc-name", "x"], "--jc-name", |may| may.name = true),
        (&["--jc-jump-group", "user:x"], "--jc-jump-group", |may| {
            may.jump_group = true
        }),
        (&["--jc-jump-policy", "x"], "--jc-jump-policy", |may| {
            may.jump_policy = true
        }),
        (
            &["--jc-session-policy", "x"],
            "--jc-session-policy",
            |may| may.session_policy = true,
        ),
        (
            &["--jc-max-offline-minutes", "7"],
            "--jc-max-offline-minutes",
            |may| {
                may.max_offline_minutes = true;
            },
        ),
        (&["--jc-ephemeral"], "--jc-max-offline-minutes", |may| {
            may.max_offline_minutes = true
        }),
        (&["--jc-tag", "x"], "--jc-tag", |may| may.tag = true),
        (&["--jc-comments", "x"], "--jc-comments", |may| {
            may.comments = true
        }),
    ];
    let all = MayOverride {
        name: true,
        jump_group: true,
        jump_policy: true,
        session_policy: true,
        max_offline_minutes: true,
        tag: true,
        comments: true,
    };
    for (line, name, mark) in marks {
        let given = dashes(line).unwrap();
        let refused = MayOverride::default().check(&given, Spelling::Dashes);
        assert_eq!(refused, Err(NotAllowed(name.to_owned())));
        let mut only = MayOverride::default();
        mark(&mut only);
        assert_eq!(only.check(&given, Spelling::Dashes), Ok(()), "{line:?}");
        for (other, ..) in marks {
            let given = dashes(other).unwrap();
            let same = known_mark(other) == known_mark(line);
            assert_eq!(
                only.check(&given, Spelling::Dashes).is_ok(),
                same,
                "{line:?} {other:?}"
            );
        }
    }
    for name in ["jc-public-site-address", "jc-session-policy-not-present"] {
        let given = dashes(&[&format!("--{name}"), "x"]).unwrap();
        let refused = all.check(&given, Spelling::Dashes).unwrap_err();
        assert_eq!(
            refused,
            NotAllowed(format!("--{name}")),
            "no installer lets it be set"
        );
    }
    let free = dashes(&["--install-dir", "/x", "--user", "u", "--silent"]).unwrap();
    assert_eq!(
        MayOverride::default().check(&free, Spelling::Dashes),
        Ok(())
    );
    let of_msi = msi(&["jc_tag=x"]).unwrap();
    let refused = MayOverride::default().check(&of_msi, Spelling::Msi);
    assert_eq!(refused, Err(NotAllowed("jc_tag".to_owned())));
}

fn known_mark(line: &[&str]) -> &'static str {
    match known(line[0].trim_start_matches("--")).unwrap().leave {
        Leave::Override(mark) => mark,
        Leave::Always | Leave::Never => panic!("{line:?} needs a mark"),
    }
}

/// INST-35, INST-36, INST-37, INST-38
#[test]
fn help_spells_them_as_the_guide_does() {
    let usage = |name: &str, spelling| known(name).unwrap().usage(spelling);
    for (name, exe, of_msi) in [
        (
            "install-dir",
            "--install-dir <directory_path>",
            "INSTALLDIR=<directory_path>",
        ),
        ("silent", "--silent", "/quiet"),
        ("jc-tag", "--jc-tag <tag-name>", "jc_tag=<tag-name>"),
        ("jc-ephemeral", "--jc-ephemeral", "jc_ephemeral=1"),
        (
            "jc-max-offline-minutes",
            "--jc-max-offline-minutes <minutes>",
            "jc_max_offline_minutes=<minutes>",
        ),
    ] {
        assert_eq!(usage(name, Spelling::Dashes), exe);
        assert_eq!(usage(name, Spelling::Msi), of_msi);
    }
}
