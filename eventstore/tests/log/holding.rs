//! The held tail: who has it, what it commits, what it is refused for.

use eventstore::ExpectedRevision::{Any, Exact, NoStream};
use eventstore::{
    CommitError, Doubt, EventStore, HoldError, Selection, SideTable, SideWrite, StoreError, Tail,
};

use crate::support::{NOW, append, everything, id, on_both, positions, tail, tamper, to};

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
