//! Kinds of details, their forms and bounds.

use super::{
    BODY_CHARS_MAX, By, CATEGORIES_MAX, Category, DETAILS_MAX, Detail, DetailRecorded, FIELDS_MAX,
    FILES_MAX, File, Files, Kind, Record, SYSTEM_INFORMATION_BYTES_MAX, Toward, VALUE_CHARS_MAX,
};
use crate::access::role::START_SESSIONS_ONLY;
use crate::ids::Lsid;
use crate::session::access_session::{Command, Event};
use crate::testing::{
    ANNA, API, BERT, Given, PC1, PC2, SHARED, WEB_SERVERS, client, given, group, member, person,
    session, starting,
};
use crate::{Event as Happened, Refusal};

const LSID: Lsid = Lsid(5);

fn running() -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED))
    .and(session(LSID, ANNA, PC1))
}

fn record(detail: Detail) -> Command {
    Command::RecordDetail(Box::new(Record { lsid: LSID, detail }))
}

fn recorded(by: By, detail: Detail) -> Happened {
    Happened::AccessSession(LSID, Event::DetailRecorded(DetailRecorded { by, detail }))
}

fn file(name: &str) -> File {
    File {
        name: name.to_owned(),
        size: 12,
    }
}

/// As much as its kind has.
fn full(kind: Kind) -> Detail {
    let form = kind.form();
    let files = match form.files {
        Files::No => 0,
        Files::One => 1,
        Files::Many => FILES_MAX,
    };
    Detail {
        toward: form.toward.then_some(Toward::Everyone),
        body: form.body.then(|| "x".repeat(BODY_CHARS_MAX)),
        files: vec![file("/tmp/a"); files],
        values: form
            .values
            .iter()
            .map(|name| ((*name).to_owned(), "x".repeat(VALUE_CHARS_MAX)))
            .collect(),
        system_information: if kind == Kind::SystemInformationRetrieved {
            vec![category(2)]
        } else {
            Vec::new()
        },
        ..Detail::new(kind)
    }
}

fn category(rows: usize) -> Category {
    Category {
        name: "Disks".to_owned(),
        fields: vec!["Name".to_owned(), "Size".to_owned()],
        rows: vec![vec!["sda".to_owned(), "1 TB".to_owned()]; rows],
    }
}

/// REP-45, REP-46, REP-84: every kind can be recorded, with all that it may have.
#[test]
fn every_kind_is_recorded_by_the_endpoint() {
    for kind in Kind::ALL {
        running()
            .when(PC1, record(full(*kind)))
            .then([recorded(By::Endpoint, full(*kind))]);
    }
    let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.form().word).collect();
    // The lists of the guide, without what the session itself tells of its beginning, its end and its members.
    for word in [
        "Chat Message",
        "Command Shell Session Started",
        "Conference Member State Changed",
        "Credential Injection Attempt",
        "Credential Injection Attempt Failed",
        "Directory Created",
        "File Deleted",
        "File Download",
        "File Download Failed",
        "File Moved",
        "File Upload",
        "File Upload Failed",
        "Registry Exported",
        "Registry Imported",
        "Registry Key Added",
        "Registry Key Deleted",
        "Registry Key Renamed",
        "Registry Value Added",
        "Registry Value Deleted",
        "Registry Value Modified",
        "Registry Value Renamed",
        "Screen Recording",
        "Screenshot Captured",
        "Service Access Allowed",
        "Session Foreground Window Changed",
        "System Information Retrieved",
        "Remote Shell Event",
        "File Transfer Complete",
        "Special Action Executed",
        "Session Mouse Left Clicked",
        "Session Window Closed",
    ] {
        assert!(words.contains(&word), "{word}");
    }
}

/// REP-48: the endpoint of the session and its members, and nobody else.
#[test]
fn only_who_takes_part_records() {
    let message = || full(Kind::ChatMessage);
    running()
        .when(ANNA, record(message()))
        .then([recorded(By::Member { gsnumber: 10 }, message())]);
    let site = running().and(client(PC2, SHARED));
    site.clone()
        .when(BERT, record(message()))
        .then_refused(Refusal::SessionNotActive);
    site.clone()
        .when(PC2, record(message()))
        .then_refused(Refusal::SessionNotActive);
    site.when(API, record(message()))
        .then_refused(Refusal::SessionNotActive);
    given([person(ANNA), group(WEB_SERVERS, "Web Servers")])
        .and(client(PC1, SHARED))
        .and([starting(LSID, ANNA, PC1)])
        .when(ANNA, record(message()))
        .then_refused(Refusal::SessionNotActive);
}

/// REP-50, REP-51, REP-53, REP-54: what a kind does not have is refused, and so is what is too large.
#[test]
fn details_have_the_form_of_their_kind() {
    let chat = || full(Kind::ChatMessage);
    let upload = || full(Kind::FileUpload);
    let facts = || full(Kind::SystemInformationRetrieved);
    let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (detail, field) in [
        (
            Detail {
                body: None,
                ..chat()
            },
            "body",
        ),
        (
            Detail {
                body: Some(String::new()),
                ..chat()
            },
            "body",
        ),
        (
            Detail {
                body: Some("x".repeat(BODY_CHARS_MAX + 1)),
                ..chat()
            },
            "body",
        ),
        (
            Detail {
                body: Some("x".to_owned()),
                ..upload()
            },
            "body",
        ),
        (
            Detail {
                toward: Some(Toward::Endpoint),
                ..upload()
            },
            "toward",
        ),
        (
            Detail {
                toward: Some(Toward::Member { gsnumber: 99 }),
                ..chat()
            },
            "toward",
        ),
        (
            Detail {
                files: vec![file("a")],
                ..chat()
            },
            "files",
        ),
        (
            Detail {
                files: Vec::new(),
                ..upload()
            },
            "files",
        ),
        (
            Detail {
                files: vec![file("a"); FILES_MAX + 1],
                ..upload()
            },
            "files",
        ),
        (
            Detail {
                files: vec![file("a"); 2],
                ..full(Kind::FileDeleted)
            },
            "files",
        ),
        (
            Detail {
                files: vec![file("")],
                ..upload()
            },
            "files",
        ),
        (
            Detail {
                files: vec![file(&"x".repeat(VALUE_CHARS_MAX + 1))],
                ..upload()
            },
            "files",
        ),
        (
            Detail {
                values: vec![value("color", "red")],
                ..upload()
            },
            "values.color",
        ),
        (
            Detail {
                values: vec![value("key", &"x".repeat(VALUE_CHARS_MAX + 1))],
                ..Detail::new(Kind::RegistryKeyAdded)
            },
            "values.key",
        ),
        (
            Detail {
                values: vec![value("key", "a"), value("key", "b")],
                ..Detail::new(Kind::RegistryKeyAdded)
            },
            "values",
        ),
        (
            Detail {
                system_information: vec![category(1)],
                ..chat()
            },
            "system_information",
        ),
        (
            Detail {
                system_information: Vec::new(),
                ..facts()
            },
            "system_information",
        ),
        (
            Detail {
                system_information: vec![category(0); CATEGORIES_MAX + 1],
                ..facts()
            },
            "system_information",
        ),
        (
            Detail {
                system_information: vec![Category {
                    fields: vec!["a".to_owned(); FIELDS_MAX + 1],
                    rows: Vec::new(),
                    ..category(0)
                }],
                ..facts()
            },
            "system_information",
        ),
        (
            Detail {
                system_information: vec![Category {
                    rows: vec![vec!["one".to_owned()]],
                    ..category(0)
                }],
                ..facts()
            },
            "system_information",
        ),
        (
            Detail {
                system_information: vec![category(SYSTEM_INFORMATION_BYTES_MAX / 7 + 1)],
                ..facts()
            },
            "system_information",
        ),
    ] {
        running().when(PC1, record(detail)).then_invalid(&[field]);
    }
}

/// REP-52: what the endpoint is, is told once, by itself, at the start; what a user asks for later is not logged.
#[test]
fn system_information_is_told_once_and_by_the_endpoint() {
    let facts = || full(Kind::SystemInformationRetrieved);
    running()
        .when(ANNA, record(facts()))
        .then_invalid(&["kind"])
        .when(PC1, record(facts()))
        .then_something()
        .when(PC1, record(facts()))
        .then_nothing();
}

/// REP-47, REP-88: what says that something is recorded is not told where nothing is.
#[test]
fn recordings_are_not_announced_where_there_are_none() {
    let [
        Happened::AccessSession(_, Event::Started(mut started)),
        established,
    ] = session(LSID, ANNA, PC1)
    else {
        panic!("a session starts");
    };
    started.recordings_disabled = true;
    let site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED))
    .and([
        Happened::AccessSession(LSID, Event::Started(started)),
        established,
    ]);
    for kind in [Kind::CommandShellSessionStarted, Kind::ScreenRecording] {
        site.clone().when(PC1, record(full(kind))).then_nothing();
    }
    site.when(PC1, record(full(Kind::FileUpload)))
        .then_something();
}

/// REP-44: bounded.
#[test]
fn a_session_has_so_many_details_and_no_more() {
    let message = || record(full(Kind::ChatMessage));
    let mut site = running();
    let one = recorded(By::Endpoint, full(Kind::DirectoryCreated));
    site = site.when(PC1, message()).then_something();
    let full = {
        let mut world = site.world().clone();
        for _ in 1..DETAILS_MAX {
            world.apply(&one, site.now());
        }
        world
    };
    assert_eq!(full.sessions.get(&LSID).expect("runs").details, DETAILS_MAX);
    site.in_world(full)
        .when(PC1, message())
        .then_refused(Refusal::TooManyDetails);
}
