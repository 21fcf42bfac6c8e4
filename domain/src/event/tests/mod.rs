//! The stored form of events.

use super::{Event, UnreadableEvent};
use crate::testing::one_of_each;

/// Every name an event was ever stored under, a line each; the list only grows.
const LISTED: &str = include_str!("../../../stored-event-names.txt");

#[test]
fn the_list_of_stored_names_is_complete() {
    let listed: Vec<&str> = LISTED.lines().collect();
    assert_eq!(Event::stored_names(), listed);
    let mut once = listed.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), listed.len(), "a name stands in the list twice");
}

#[test]
fn one_event_of_every_name_reads_back_as_it_was_stored() {
    let mut names = Vec::new();
    for event in one_of_each() {
        let text = event.to_text().expect("text");
        let read = Event::from_stored(&event.stream(), event.stored_name(), &text);
        assert_eq!(read.expect("it reads back"), event);
        names.push(event.stored_name());
    }
    assert_eq!(names, Event::stored_names());
}

/// A field that a later version added is no reason to refuse an event of this one.
#[test]
fn a_member_that_is_not_known_is_left_out() {
    let text = br#"{"user_id":2,"jump_item_role_id":null,"jump_policy_id":null,"since":"later"}"#;
    let read = Event::from_stored("jump_group-1", "JumpGroupMemberAdded", text);
    assert!(read.is_ok(), "{read:?}");
}

#[test]
fn what_is_none_of_ours_is_told_apart() {
    let read = |stream: &str, name: &str, text: &str| match Event::from_stored(
        stream,
        name,
        text.as_bytes(),
    ) {
        Ok(event) => format!("{event:?}"),
        Err(UnreadableEvent::UnknownCategory { .. }) => "category".to_owned(),
        Err(UnreadableEvent::BadStream { .. }) => "stream".to_owned(),
        Err(UnreadableEvent::UnknownName { .. }) => "name".to_owned(),
        Err(UnreadableEvent::BadText { .. }) => "text".to_owned(),
    };
    for (stream, name, text, expected) in [
        ("teapot-1", "UserCreated", "{}", "category"),
        ("", "UserCreated", "{}", "category"),
        ("user-x", "UserCreated", "{}", "stream"),
        ("user", "UserCreated", "{}", "stream"),
        ("access_session-12", "AccessSessionEnded", "{}", "stream"),
        ("user-1", "UserRenamed", "{}", "name"),
        ("user-1", "JumpGroupCreated", "{}", "name"),
        ("user-1", "UserCreated", "{", "text"),
        ("jump_group-1", "JumpGroupMemberRemoved", "{}", "text"),
    ] {
        assert_eq!(read(stream, name, text), expected, "{stream} {name} {text}");
    }
}

#[test]
fn a_stream_is_a_category_and_an_id() {
    for event in one_of_each() {
        let stream = event.stream();
        let (category, id) = stream.split_once('-').unwrap_or((&stream, "site"));
        assert!(
            category.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{stream}"
        );
        assert!(!id.is_empty() && !id.contains('-'), "{stream}");
    }
}

#[test]
fn what_another_program_wrote_in_its_own_streams_is_kept_and_nothing_else() {
    let body = b"anything \xff";
    let read = Event::from_stored("external-scanner-7", "HostScanned", body).expect("kept");
    assert_eq!(read.stream(), "external-scanner-7");
    assert!(matches!(&read, Event::External(event) if event.name == "HostScanned"));
    assert_eq!(read.to_text().expect("bytes"), body);
    let error = Event::from_stored("scanner-7", "HostScanned", b"{}").expect_err("not ours");
    assert!(matches!(error, UnreadableEvent::UnknownCategory { .. }));
}
