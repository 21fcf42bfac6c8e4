//! What the program is told: flags before environment before file, and the help that says so.

use tempfile::tempdir;

use crate::running::{finish, gatebook, run};

#[tokio::test]
async fn a_flag_beats_the_environment_and_the_environment_beats_the_file() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = path("gatebook.toml");
    std::fs::write(&file, format!("data = '{}'\n", path("from-file"))).unwrap();
    let init = async |more: &[&str], environment: Option<&str>| {
        let mut command = gatebook(&["init"]);
        command.args(more);
        if let Some(data) = environment {
            command.env("GATEBOOK_DATA", path(data));
        }
        let ran = finish(command).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    let made = |name: &str| folder.path().join(name).join("log.db").exists();

    init(
        &["--data", &path("from-flag"), "--config", &file],
        Some("from-environment"),
    )
    .await;
    assert!(made("from-flag") && !made("from-environment") && !made("from-file"));
    init(&["--config", &file], Some("from-environment")).await;
    assert!(made("from-environment") && !made("from-file"));
    init(&["--config", &file], None).await;
    assert!(made("from-file"));

    std::fs::write(&file, "dat = 'x'\n").unwrap();
    let refused = run(&["init", "--config", &file]).await;
    assert!(
        refused.code == 2 && refused.stderr.contains("dat"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn help_completions_and_the_manual_are_printed() {
    for (arguments, word) in [
        (&["--help"][..], "administrator"),
        (&["serve", "--help"], "GATEBOOK_TRUSTED_PROXY"),
        (&["completions", "bash"], "complete"),
        (&["manual"], ".TH gatebook"),
    ] {
        let ran = run(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.contains(word), "{arguments:?}: {}", ran.stdout);
    }
    assert_eq!(run(&["serve", "--lisen", "127.0.0.1:1"]).await.code, 2);
}
