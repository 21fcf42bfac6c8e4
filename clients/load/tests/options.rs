//! The program itself, as far as it goes without a server.

use std::process::{Command, Stdio};

/// What it says on a command line that can't be.
fn complaint(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gatebook-load"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn what_can_not_be_is_named_and_a_key_is_never_shown() {
    let secret = "bm90IGEga2V5";
    let said = complaint(&["--key-info", secret]);
    assert!(
        said.contains("KEY_INFO") && !said.contains(secret),
        "{said}"
    );
    let said = complaint(&["--key-info", secret, "--agents", "20000"]);
    assert!(said.contains("--processes"), "{said}");
    let said = complaint(&["--key-info", secret, "--from", "10.0.0.1"]);
    assert!(said.contains("--from"), "{said}");
}
