//! Logs of every earlier version stay readable: an event of each stored name, as it once was written.
//!
//! `golden/<Name>.json` holds the shape that is written today; when a shape changes, the file stays as `<Name>-<n>.json`
//! beside a new one, and is read for good.
#![allow(
    clippy::disallowed_methods,
    reason = "the golden files are read from the disk; the domain itself reads nothing"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use domain::Event;
use serde_json::Value;

struct Golden {
    path: PathBuf,
    stream: String,
    name: String,
    data: Value,
}

impl Golden {
    fn is_todays_shape(&self) -> bool {
        self.path
            .file_stem()
            .is_some_and(|stem| stem == self.name.as_str())
    }
}

fn golden() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read(&path).expect("the file can be read");
        let mut event: Value = serde_json::from_slice(&text).expect("JSON");
        let text = |member: &Value| member.as_str().expect("text").to_owned();
        Golden {
            stream: text(&event["stream"]),
            name: text(&event["type"]),
            data: event["data"].take(),
            path,
        }
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_stored_name_has_an_event_as_it_is_written_today() {
    let golden: BTreeSet<String> = golden()
        .into_iter()
        .filter(Golden::is_todays_shape)
        .map(|event| event.name)
        .collect();
    let names: BTreeSet<String> = Event::stored_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(golden, names);
}

#[test]
fn what_was_written_once_is_read_for_good() {
    for event in golden() {
        let path = event.path.display();
        let text = serde_json::to_vec(&event.data).expect("text");
        let read = Event::from_stored(&event.stream, &event.name, &text)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(read.stream(), event.stream, "{path}");
        if event.is_todays_shape() {
            let written = read.to_text().expect("text");
            let written: Value = serde_json::from_slice(&written).expect("JSON");
            assert_eq!(written, event.data, "{path}: the shape has changed");
        }
    }
}
