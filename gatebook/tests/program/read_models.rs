//! `gatebook projections rebuild`, of a stopped site and of a running one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::tempdir;

use crate::running::{Server, done, run, text};

#[tokio::test]
async fn a_read_model_is_rebuilt_by_the_running_server_and_without_one() {
    let folder = tempdir().unwrap();
    let data = text(folder.path());
    let rebuild = |name| ["projections", "rebuild", name, "--data", data];
    done(&["init", "--data", data]).await;
    let stopped = done(&rebuild("report")).await;
    assert!(
        stopped.stderr.contains("rebuilt report") && !stopped.stderr.contains("running"),
        "{}",
        stopped.stderr
    );

    let server = Server::start(folder.path(), &[]).await;
    let socket = folder.path().join("control");
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let running = done(&rebuild("report")).await;
    assert!(
        running
            .stderr
            .contains("the running server has rebuilt report"),
        "{}",
        running.stderr
    );
    let views = || fs::read_dir(folder.path().join("views")).unwrap().count();
    assert!(views() > 0);
    server.kill().await;

    // The socket of a killed server is nobody's.
    assert!(socket.exists());
    done(&rebuild("report")).await;
    for (name, word) in [
        ("reports", "report"),
        ("console", "snapshots"),
        ("timers", "snapshots"),
    ] {
        let refused = run(&rebuild(name)).await;
        assert!(
            refused.code == 1 && refused.stderr.contains(word),
            "{name}: {}",
            refused.stderr
        );
    }
}
