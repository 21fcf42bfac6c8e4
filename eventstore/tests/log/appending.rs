//! Expected revisions, repeats, batches, side writes.

use eventstore::ExpectedRevision::{Any, Exact, NoStream, StreamExists};
use eventstore::{
    AppendError, CommitError, Direction, ExpectedRevision, NewEvent, Selection, SideTable,
    SideWrite, StoreError, StreamAppend, Tail,
};

use crate::support::{
    NOW, append, event, everything, id, on_both, places, positions, tail, to, typed,
};

#[tokio::test]
async fn an_append_succeeds_exactly_where_the_stream_is_as_expected() {
    // expected, succeeds for a stream without events, for one whose last revision is 1
    let cases: [(ExpectedRevision, bool, bool); 6] = [
        (Any, true, true),
        (NoStream, true, false),
        (StreamExists, false, true),
        (Exact(0), false, false),
        (Exact(1), false, true),
        (Exact(2), false, false),
    ];
    on_both(async |_, store| {
        for (case, (expected, of_none, of_one)) in cases.into_iter().enumerate() {
            let number = 100 * case as u128;
            let (none, one) = (format!("none-{case}"), format!("one-{case}"));
            append(&store, &one, NoStream, [number, number + 1])
                .await
                .expect("new");
            for (stream, succeeds, actual) in [(&none, of_none, None), (&one, of_one, Some(1))] {
                // Without an event it is a check and nothing else; with one it is appended.
                for events in [
                    vec![],
                    vec![number + if succeeds { 2 } else { 3 } + actual.unwrap_or(5) as u128],
                ] {
                    let before = store.head().await.expect("readable");
                    let count = events.len();
                    match append(&store, stream, expected, events).await {
                        Ok(appended) => {
                            assert!(succeeds, "{expected:?} of {stream}");
                            assert_eq!(appended.events.len(), count);
                            assert_eq!(appended.head.position, before.position + count as u64);
                            let revisions: Vec<u64> =
                                appended.events.iter().map(|event| event.revision).collect();
                            let next = actual.map_or(0, |revision| revision + 1);
                            assert_eq!(revisions, (next..next + count as u64).collect::<Vec<_>>());
                        }
                        Err(AppendError::WrongRevision {
                            stream: named,
                            expected: stated,
                            actual: found,
                        }) => {
                            assert!(!succeeds, "{expected:?} of {stream}");
                            assert_eq!((&named, stated, found), (stream, expected, actual));
                            assert_eq!(store.head().await.expect("readable"), before);
                        }
                        Err(error) => panic!("{expected:?} of {stream}: {error}"),
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn positions_are_gapless_over_streams_and_revisions_within_them() {
    on_both(async |_, store| {
        let batch = vec![
            to("a-1", NoStream, [1, 2]),
            to("b-1", Any, [3]),
            to("a-1", Exact(1), [4]),
            to("c", Any, [5]),
        ];
        let appended = store
            .append(batch, Vec::new(), NOW)
            .await
            .expect("appended");
        assert_eq!(positions(&appended.events), [1, 2, 3, 4, 5]);
        assert_eq!(
            places(&appended.events),
            [("a-1", 0), ("a-1", 1), ("b-1", 0), ("a-1", 2), ("c", 0)]
        );
        assert_eq!(everything(&store).await, appended.events);
        assert_eq!(store.head().await.expect("readable"), appended.head);
    })
    .await;
}

#[tokio::test]
async fn the_tail_hash_is_the_chain_of_the_leaf_hashes() {
    on_both(async |_, store| {
        let mut tail = Tail::start(store.head().await.expect("readable").epoch);
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        append(&store, "b-1", Any, 4..=5).await.expect("appended");
        for event in everything(&store).await {
            assert_eq!(event.leaf_hash, event.expected_leaf_hash());
            tail.advance(&event);
        }
        assert_eq!(Tail::from(store.head().await.expect("readable")), tail);
    })
    .await;
}

#[tokio::test]
async fn a_refused_stream_leaves_nothing_of_the_batch() {
    on_both(async |_, store| {
        append(&store, "a-1", Any, [1]).await.expect("appended");
        let before = store.head().await.expect("readable");
        let side = vec![SideWrite::Put {
            table: SideTable::Secret,
            key: "s".to_owned(),
            value: vec![1],
        }];
        let refused = store
            .append(
                vec![to("b-1", NoStream, [2]), to("a-1", NoStream, [3])],
                side,
                NOW,
            )
            .await;
        assert!(
            matches!(
                refused,
                Err(AppendError::WrongRevision {
                    actual: Some(0),
                    ..
                })
            ),
            "{refused:?}"
        );
        assert_eq!(store.head().await.expect("readable"), before);
        assert_eq!(everything(&store).await.len(), 1);
        assert_eq!(
            store
                .side_row(SideTable::Secret, "s")
                .await
                .expect("readable"),
            None
        );
        append(&store, "b-1", NoStream, [2])
            .await
            .expect("the stream is still new");
    })
    .await;
}

#[tokio::test]
async fn a_repeated_append_is_answered_with_the_first_positions() {
    on_both(async |_, store| {
        append(&store, "other-1", Any, [90])
            .await
            .expect("appended");
        for (case, expected) in [NoStream, Any, StreamExists, Exact(0)]
            .into_iter()
            .enumerate()
        {
            let (stream, number) = (format!("s-{case}"), 100 * (case as u128 + 1));
            if matches!(expected, StreamExists | Exact(_)) {
                append(&store, &stream, NoStream, [number])
                    .await
                    .expect("appended");
            }
            let first = append(&store, &stream, expected, [number + 1, number + 2])
                .await
                .expect("appended");
            append(&store, &stream, Any, [number + 3])
                .await
                .expect("the stream goes on");
            let again = append(&store, &stream, expected, [number + 1, number + 2])
                .await
                .expect("a repeat");
            assert_eq!(again.events, first.events, "{expected:?}");
            let shorter = append(&store, &stream, expected, [number + 1])
                .await
                .expect("a repeat of its first event");
            assert_eq!(shorter.events[..], first.events[..1], "{expected:?}");
        }
        let batch = || {
            vec![
                to("x-1", NoStream, [1, 2]),
                to("y-1", Any, [3]),
                to("x-1", Exact(1), [4]),
                to("z-1", NoStream, []),
            ]
        };
        let first = store
            .append(batch(), Vec::new(), NOW)
            .await
            .expect("appended");
        append(&store, "z-1", NoStream, [5])
            .await
            .expect("appended");
        let again = store
            .append(batch(), Vec::new(), NOW + 7)
            .await
            .expect("a repeat of several streams");
        assert_eq!(again.events, first.events);
        assert_eq!(again.head, store.head().await.expect("readable"));
    })
    .await;
}

#[tokio::test]
async fn a_repeat_does_not_do_its_side_writes_again() {
    on_both(async |_, store| {
        let side = |value| {
            vec![SideWrite::Put {
                table: SideTable::Secret,
                key: "s".to_owned(),
                value: vec![value],
            }]
        };
        store
            .append(vec![to("a-1", NoStream, [1])], side(1), NOW)
            .await
            .expect("appended");
        store
            .append(vec![to("a-1", NoStream, [1])], side(2), NOW)
            .await
            .expect("a repeat");
        assert_eq!(
            store
                .side_row(SideTable::Secret, "s")
                .await
                .expect("readable"),
            Some(vec![1])
        );
    })
    .await;
}

#[tokio::test]
async fn a_partial_repeat_is_an_error_and_a_stranger_is_a_wrong_revision() {
    let partial: [(&str, Vec<StreamAppend>); 7] = [
        ("known, then new", vec![to("a-1", NoStream, [1, 9])]),
        (
            "longer than what follows",
            vec![to("a-1", Exact(1), [3, 9])],
        ),
        ("another order", vec![to("a-1", NoStream, [2, 1])]),
        ("another place", vec![to("a-1", Exact(1), [1])]),
        ("another stream", vec![to("b-1", Any, [1])]),
        ("new, then known", vec![to("a-1", Any, [9, 1])]),
        (
            "one stream known, the other new",
            vec![to("a-1", NoStream, [1]), to("b-1", NoStream, [9])],
        ),
    ];
    on_both(async |_, store| {
        append(&store, "a-1", NoStream, [1, 2, 3])
            .await
            .expect("appended");
        let before = store.head().await.expect("readable");
        for (what, batch) in partial.clone() {
            let refused = store.append(batch, Vec::new(), NOW).await;
            assert!(
                matches!(refused, Err(AppendError::PartialRepeat { .. })),
                "{what}: {refused:?}"
            );
        }
        for first in [vec![9], vec![9, 1]] {
            let refused = append(&store, "a-1", NoStream, first).await;
            assert!(
                matches!(
                    refused,
                    Err(AppendError::WrongRevision {
                        actual: Some(2),
                        ..
                    })
                ),
                "{refused:?}"
            );
        }
        assert_eq!(store.head().await.expect("readable"), before);
    })
    .await;
}

#[tokio::test]
async fn what_can_not_be_stored_is_refused() {
    let named = |stream: &str, event: NewEvent| StreamAppend {
        stream: stream.to_owned(),
        expected: Any,
        events: vec![event],
    };
    let large = NewEvent {
        data: vec![b' '; eventstore::event::EVENT_BYTES_MAX],
        ..event(1)
    };
    let long = |length: usize| "x".repeat(length);
    let cases = vec![
        ("no name", named("", event(1))),
        ("a long name", named(&long(513), event(1))),
        ("a zero byte", named("a\0b", event(1))),
        ("no type", named("a", typed(1, ""))),
        (
            "a long type",
            named(
                "a",
                NewEvent {
                    event_type: long(256).into(),
                    ..event(1)
                },
            ),
        ),
        ("a large body", named("a", large)),
    ];
    on_both(async |_, store| {
        for (what, append) in cases.clone() {
            let refused = store.append(vec![append.clone()], Vec::new(), NOW).await;
            assert!(matches!(refused, Err(AppendError::NotCommitted(StoreError::Invalid(_)))), "{what}: {refused:?}");
            let held = store.hold_tail(&tail(&store).await).await.expect("held");
            let refused = held.commit(vec![append], Vec::new(), NOW).await;
            assert!(matches!(refused, Err(CommitError::NotCommitted(StoreError::Invalid(_)))), "{what}: {refused:?}");
        }
        let twice = store.append(vec![to("a", Any, [1]), to("b", Any, [1])], Vec::new(), NOW).await;
        assert!(matches!(twice, Err(AppendError::NotCommitted(StoreError::DuplicateId(found))) if found == id(1)));
        assert_eq!(store.head().await.expect("readable").position, 0);
        let longest = named(&long(512), NewEvent { event_type: long(255).into(), ..event(1) });
        store.append(vec![longest], Vec::new(), NOW).await.expect("the longest names");
    })
    .await;
}

#[tokio::test]
async fn side_writes_need_an_event_to_commit_with() {
    on_both(async |_, store| {
        let side = vec![SideWrite::Put {
            table: SideTable::Secret,
            key: "s".to_owned(),
            value: vec![1],
        }];
        let refused = store.append(vec![to("a-1", NoStream, [])], side, NOW).await;
        assert!(
            matches!(
                refused,
                Err(AppendError::NotCommitted(StoreError::Invalid(_)))
            ),
            "{refused:?}"
        );
        assert_eq!(
            store
                .side_row(SideTable::Secret, "s")
                .await
                .expect("readable"),
            None
        );
    })
    .await;
}

/// Whoever gives up at any moment leaves the tail free, and nothing half done behind it.
/// They run on any worker of a runtime.
#[tokio::test]
async fn every_byte_comes_back_as_it_was_given() {
    let all: Vec<u8> = (0..=255).collect();
    let bodies = [
        all.clone(),
        Vec::new(),
        vec![0],
        b"\0\0\0".to_vec(),
        vec![0xff, 0xfe, 0x00, 0xc3, 0x28],
        r#"{"text":"ünïcödé 😀"}"#.as_bytes().to_vec(),
        all.repeat(300),
    ];
    let batch = StreamAppend {
        stream: "größe-😀".to_owned(),
        expected: NoStream,
        events: (1_u128..)
            .zip(&bodies)
            .map(|(number, body)| NewEvent {
                id: id(number << 64),
                event_type: "Typ-ß".into(),
                data: body.clone(),
                meta: body.iter().rev().copied().collect(),
            })
            .collect(),
    };
    on_both(async |_, store| {
        let appended = store
            .append(vec![batch.clone()], Vec::new(), -5)
            .await
            .expect("appended");
        let read = everything(&store).await;
        assert_eq!(read, appended.events);
        for (event, body) in read.iter().zip(&bodies) {
            assert_eq!(event.data, *body);
            assert!(event.meta.iter().rev().eq(body));
            assert_eq!(event.recorded_at, -5);
        }
        let mut replay = store.replay(0, read.len() as u64);
        let mut replayed = Vec::new();
        while let Some(page) = replay.next().await {
            replayed.extend(page.expect("readable"));
        }
        assert_eq!(replayed, read);
        let stream = Selection::Stream("größe-😀".to_owned());
        assert_eq!(
            store
                .read(&stream, 0, Direction::Forward, 100)
                .await
                .expect("readable"),
            read
        );
    })
    .await;
}
