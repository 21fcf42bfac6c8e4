//! Expected revisions, repeats, batches, side writes, the held tail.

use eventstore::ExpectedRevision::{Any, Exact, NoStream, StreamExists};
use eventstore::{
    AppendError, CommitError, Direction, Doubt, EventStore, ExpectedRevision, HoldError, NewEvent,
    Selection, SideTable, SideWrite, StoreError, StreamAppend, Tail,
};

use crate::support::{
    NOW, append, event, everything, id, on_both, places, positions, tamper, to, typed,
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

/// Where the log ends.
async fn tail(store: &EventStore) -> Tail {
    store.head().await.expect("readable").into()
}

#[tokio::test]
async fn a_held_batch_commits_events_and_side_rows_together() {
    on_both(async |_, store| {
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        assert_eq!(held.head().position, 0);
        let side = vec![
            SideWrite::Insert {
                table: SideTable::Secret,
                key: "one".to_owned(),
                value: vec![0, 255],
            },
            SideWrite::Put {
                table: SideTable::Idempotency,
                key: "k".to_owned(),
                value: vec![],
            },
        ];
        let appended = held
            .commit(vec![to("a-1", NoStream, 1..=700)], side, NOW)
            .await
            .expect("committed");
        assert_eq!(appended.events.len(), 700);
        assert_eq!(everything(&store).await, appended.events);
        assert_eq!(
            store
                .side_row(SideTable::Secret, "one")
                .await
                .expect("readable"),
            Some(vec![0, 255])
        );
        assert_eq!(
            store
                .side_row(SideTable::Idempotency, "k")
                .await
                .expect("readable"),
            Some(vec![])
        );
        assert_eq!(*store.watch_head().borrow(), 700);

        // One after the other on what the one before made, from memory of the revisions.
        let mut at = Tail::from(appended.head);
        for number in 1_000..1_020_u64 {
            let held = store.hold_tail(&at).await.expect("held");
            let expected = Exact(699 + number - 1_000);
            let appended = held
                .commit(
                    vec![to("a-1", expected, [u128::from(number)])],
                    Vec::new(),
                    NOW,
                )
                .await;
            at = appended.expect("committed").head.into();
        }
        let held = store.hold_tail(&at).await.expect("held");
        let refused = held
            .commit(vec![to("a-1", Exact(3), [5_000])], Vec::new(), NOW)
            .await;
        assert!(
            matches!(
                refused,
                Err(CommitError::WrongRevision {
                    actual: Some(719),
                    ..
                })
            ),
            "{refused:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_side_row_that_is_there_already_refuses_the_whole_batch() {
    on_both(async |_, store| {
        let insert = |key: &str| SideWrite::Insert {
            table: SideTable::ApiToken,
            key: key.to_owned(),
            value: vec![1],
        };
        store
            .append(vec![to("a-1", Any, [1])], vec![insert("t3")], NOW)
            .await
            .expect("appended");
        let side = (1..=5)
            .map(|number| insert(&format!("t{number}")))
            .collect();
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let refused = held.commit(vec![to("a-1", Any, [2])], side, NOW).await;
        match refused {
            Err(CommitError::NotCommitted(StoreError::SideExists(SideTable::ApiToken, key))) => {
                assert_eq!(key, "t3")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.head().await.expect("readable").position, 1);
        assert_eq!(
            store
                .side_rows(SideTable::ApiToken, "")
                .await
                .expect("readable")
                .len(),
            1
        );
        append(&store, "a-1", Exact(0), [2])
            .await
            .expect("the log goes on");
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

#[tokio::test]
async fn a_held_batch_with_a_known_id_names_it() {
    on_both(async |_, store| {
        append(&store, "a-1", Any, [1]).await.expect("appended");
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let refused = held.commit(vec![to("b-1", Any, [2, 1])], Vec::new(), NOW).await;
        assert!(
            matches!(refused, Err(CommitError::NotCommitted(StoreError::DuplicateId(found))) if found == id(1)),
            "the id is named"
        );
        append(&store, "b-1", NoStream, [2]).await.expect("nothing of it was kept");
    })
    .await;
}

#[tokio::test]
async fn a_tail_that_is_dropped_or_released_leaves_no_trace() {
    on_both(async |_, store| {
        for dropped in [true, false] {
            let mut held = store.hold_tail(&tail(&store).await).await.expect("held");
            held.side_rows(SideTable::Secret, "a")
                .await
                .expect("readable");
            if dropped {
                drop(held);
            } else {
                held.release().await;
            }
            append(&store, "a-1", Any, [if dropped { 1 } else { 2 }])
                .await
                .expect("the tail is free");
        }
        assert_eq!(positions(&everything(&store).await), [1, 2]);
    })
    .await;
}

/// Whoever gives up at any moment leaves the tail free, and nothing half done behind it.
#[tokio::test]
async fn a_call_that_is_cancelled_at_any_moment_does_no_harm() {
    on_both(async |_, store| {
        let mut number = 0;
        for microseconds in (0..3_000).step_by(60) {
            number += 10;
            let patience = std::time::Duration::from_micros(microseconds);
            // Cancelled while taking the tail, while it is held, or while it commits.
            let _ = tokio::time::timeout(patience, append(&store, "a-1", Any, number..number + 5))
                .await;
            let _ = tokio::time::timeout(patience, async {
                let mut held = store.hold_tail(&tail(&store).await).await.expect("held");
                held.side_rows(SideTable::Secret, "")
                    .await
                    .expect("readable");
                held.commit(vec![to("b-1", Any, [number + 9])], Vec::new(), NOW)
                    .await
                    .expect("committed");
            })
            .await;
            let before = store.nodes().await.expect("readable").len();
            store.register_node("n", None).await.expect("registered");
            assert_eq!(
                store.nodes().await.expect("readable").len(),
                before + 1,
                "after {microseconds} us"
            );
        }
        let done = append(&store, "c-1", Any, [1_000_000])
            .await
            .expect("the tail is free");
        let all = everything(&store).await;
        assert_eq!(all.len() as u64, done.head.position);
        let of_appends = all.iter().filter(|event| event.stream == "a-1").count();
        assert_eq!(of_appends % 5, 0, "whole batches");
        assert!(store.verify(|_| {}).await.expect("readable").is_whole());
    })
    .await;
}

/// They run on any worker of a runtime.
#[test]
fn futures_can_be_sent() {
    fn sendable<T: Send>(_: impl FnOnce(EventStore, Tail) -> T) {}
    sendable(|store, tail| async move {
        let mut held = store.hold_tail(&tail).await.expect("held");
        held.side_rows(SideTable::Secret, "")
            .await
            .expect("readable");
        let _ = held.commit(Vec::new(), Vec::new(), 0).await;
        let _ = store.append(Vec::new(), Vec::new(), 0).await;
        let _ = store.subscribe(0, Selection::All).next().await;
        let _ = store.replay(0, 1).next().await;
        let _ = store.verify(|_| {}).await;
        let _ = store
            .change_side_rows((SideTable::Secret, ""), |_| Vec::new())
            .await;
        store.close().await;
    });
}

#[tokio::test]
async fn only_one_holds_the_tail() {
    on_both(async |database, store| {
        let options = eventstore::Options {
            lock_timeout: std::time::Duration::from_millis(100),
            ..Default::default()
        };
        let other = database.open_with(options).await;
        let at = tail(&store).await;
        let held = store.hold_tail(&at).await.expect("held");
        assert!(matches!(other.hold_tail(&at).await, Err(HoldError::Busy)));
        held.release().await;
        other
            .hold_tail(&at)
            .await
            .expect("free again")
            .release()
            .await;
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_others_appended_is_handed_to_who_takes_the_tail() {
    on_both(async |database, store| {
        let other = database.open().await;
        let at = tail(&store).await;
        let mut expected = append(&other, "a-1", Any, 1..=900)
            .await
            .expect("appended")
            .events;
        expected.extend(
            append(&other, "b-1", Any, 1_000..=3_400)
                .await
                .expect("appended")
                .events,
        );
        let mut held = store.hold_tail(&at).await.expect("held");
        let missed = held.take_missed();
        assert_eq!(missed.len(), 3_301);
        assert_eq!(missed, expected);
        assert!(held.take_missed().is_empty());
        let appended = held
            .commit(vec![to("a-1", Exact(899), [5_000])], Vec::new(), NOW)
            .await
            .expect("committed");
        assert_eq!(appended.events[0].position, 3_302);
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_log_that_is_not_the_one_folded_is_refused() {
    on_both(async |_, store| {
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        let right = tail(&store).await;
        let early = Tail::start(right.epoch);
        let cases = [
            (
                "beyond the head",
                Tail {
                    position: 4,
                    ..right
                },
                false,
            ),
            (
                "another hash",
                Tail {
                    tail_hash: [1; 32],
                    ..right
                },
                false,
            ),
            (
                "another hash below the head",
                Tail {
                    tail_hash: [1; 32],
                    ..early
                },
                false,
            ),
            (
                "another epoch",
                Tail {
                    epoch: right.epoch + 1,
                    ..right
                },
                false,
            ),
            ("the head", right, true),
            ("the start", early, true),
        ];
        for (what, at, succeeds) in cases {
            match store.hold_tail(&at).await {
                Ok(held) => {
                    assert!(succeeds, "{what}");
                    held.release().await;
                }
                Err(HoldError::Rewound {
                    at: named, head: 3, ..
                }) => {
                    assert!(!succeeds, "{what}");
                    assert_eq!(named, at.position);
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
        let begun = store.begin_epoch().await.expect("begun");
        assert_eq!(begun.epoch, right.epoch + 1);
        assert!(matches!(
            store.hold_tail(&right).await,
            Err(HoldError::Rewound { .. })
        ));
        store
            .hold_tail(&begun.into())
            .await
            .expect("the new epoch")
            .release()
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_gap_among_missed_events_is_damage() {
    on_both(async |database, store| {
        let at = tail(&store).await;
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        tamper(database, "DELETE FROM event WHERE position = 2").await;
        let refused = store.hold_tail(&at).await;
        assert!(
            matches!(refused, Err(HoldError::Unavailable(StoreError::Damaged(_)))),
            "{refused:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_doubt_is_settled_by_what_stands_at_its_position() {
    on_both(async |_, store| {
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        let cases = [
            (
                Doubt {
                    position: 2,
                    id: id(2),
                },
                true,
            ),
            (
                Doubt {
                    position: 3,
                    id: id(2),
                },
                false,
            ),
            (
                Doubt {
                    position: 2,
                    id: id(9),
                },
                false,
            ),
            (
                Doubt {
                    position: 4,
                    id: id(4),
                },
                false,
            ),
        ];
        for (doubt, committed) in cases {
            assert_eq!(
                store.settle(&doubt).await.expect("settled"),
                committed,
                "{doubt:?}"
            );
        }
    })
    .await;
}

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
