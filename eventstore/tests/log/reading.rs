//! Reads, replay, subscriptions.

use std::collections::HashMap;
use std::time::Duration;

use eventstore::ExpectedRevision::Any;
use eventstore::{Direction, EventStore, RecordedEvent, Selection, StoreError, StreamAppend, Tail};

use crate::support::{NOW, append, everything, on_both, positions, to, typed};

/// Some streams of three categories and three types, mixed.
async fn fill(store: &EventStore) -> Vec<RecordedEvent> {
    let streams = [
        "jump_client-1",
        "jump_client-2",
        "jump-client",
        "site",
        "jump_client",
        "access_session-a-b",
    ];
    let types = ["Made", "Changed", "Made-2"];
    let batch = (0..60_usize)
        .map(|number| StreamAppend {
            stream: streams[number * 7 % streams.len()].to_owned(),
            expected: Any,
            events: vec![typed(number as u128 + 1, types[number % types.len()])],
        })
        .collect();
    store
        .append(batch, Vec::new(), NOW)
        .await
        .expect("appended")
        .events
}

#[tokio::test]
async fn reads_give_what_is_selected_in_both_directions() {
    on_both(async |_, store| {
        let all = fill(&store).await;
        let category = |event: &RecordedEvent| event.stream.split('-').next().map(str::to_owned);
        let mut selections = vec![Selection::All];
        selections.extend(
            ["jump_client-1", "site", "access_session-a-b", "none"]
                .map(|name| Selection::Stream(name.to_owned())),
        );
        selections.extend(
            ["jump_client", "jump", "site", "access_session", ""]
                .map(|name| Selection::Category(name.to_owned())),
        );
        selections
            .extend(["Made", "Made-2", "None"].map(|name| Selection::EventType(name.to_owned())));
        for selection in selections {
            let selected: Vec<&RecordedEvent> = all
                .iter()
                .filter(|event| match &selection {
                    Selection::All => true,
                    Selection::Stream(stream) => event.stream == *stream,
                    Selection::Category(name) => category(event).as_ref() == Some(name),
                    Selection::EventType(name) => event.event_type == *name,
                })
                .collect();
            let place = |event: &RecordedEvent| match selection {
                Selection::Stream(_) => event.revision,
                _ => event.position,
            };
            for from in [0, 1, 2, 7, 30, 60, 61, u64::MAX] {
                for limit in [0, 1, 5, 1_000, usize::MAX] {
                    let forward: Vec<&RecordedEvent> = selected
                        .iter()
                        .copied()
                        .filter(|event| place(event) >= from)
                        .take(limit)
                        .collect();
                    let read = store
                        .read(&selection, from, Direction::Forward, limit)
                        .await
                        .expect("readable");
                    assert_eq!(
                        read.iter().collect::<Vec<_>>(),
                        forward,
                        "{selection:?} from {from}, {limit}"
                    );
                    let backward: Vec<&RecordedEvent> = selected
                        .iter()
                        .rev()
                        .copied()
                        .filter(|event| place(event) <= from)
                        .take(limit)
                        .collect();
                    let read = store
                        .read(&selection, from, Direction::Backward, limit)
                        .await
                        .expect("readable");
                    assert_eq!(
                        read.iter().collect::<Vec<_>>(),
                        backward,
                        "{selection:?} back from {from}, {limit}"
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_replay_gives_what_a_read_gives() {
    on_both(async |_, store| {
        for start in (0..9_000_u128).step_by(1_500) {
            append(
                &store,
                &format!("s-{}", start % 7),
                Any,
                start..start + 1_500,
            )
            .await
            .expect("appended");
        }
        let all = everything(&store).await;
        assert_eq!(all.len(), 9_000);
        for (after, until) in [
            (0, 9_000),
            (0, 1),
            (1, 9_000),
            (8_999, 9_000),
            (63, 4_321),
            (9_000, 9_000),
            (5, 4),
        ] {
            let mut replay = store.replay(after, until);
            let mut replayed = Vec::new();
            while let Some(page) = replay.next().await {
                let page = page.expect("readable");
                assert!(!page.is_empty());
                replayed.extend(page);
            }
            let expected = all.get(after as usize..until as usize).unwrap_or(&[]);
            assert!(
                replayed == expected,
                "after {after} until {until}: {} events",
                replayed.len()
            );
            assert!(
                folded(&store, after, until).await.expect("readable") == expected,
                "for a fold, after {after} until {until}"
            );
        }
        assert!(matches!(
            folded(&store, 8_990, 9_005).await,
            Err(StoreError::Damaged(_))
        ));
        let mut beyond = store.replay(8_990, 9_005);
        assert_eq!(
            beyond
                .next()
                .await
                .expect("a page")
                .expect("readable")
                .len(),
            10
        );
        assert!(matches!(
            beyond.next().await,
            Some(Err(StoreError::Damaged(_)))
        ));
        assert!(beyond.next().await.is_none());
    })
    .await;
}

/// What a replay for a fold gives, with what it leaves out taken from a read.
async fn folded(
    store: &EventStore,
    after: u64,
    until: u64,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let all = everything(store).await;
    let mut folded = Vec::new();
    let mut replay = store.replay_for_fold(after, until);
    while let Some(page) = replay.next().await {
        let page = page?;
        let before = folded.len();
        for event in page.events() {
            let event = event?;
            let read = &all[event.position as usize - 1];
            folded.push(RecordedEvent {
                position: event.position,
                stream: event.stream.to_owned(),
                revision: read.revision,
                id: read.id,
                event_type: event.event_type.to_owned(),
                data: event.data.to_vec(),
                meta: read.meta.clone(),
                codec: event.codec,
                recorded_at: event.recorded_at,
                leaf_hash: event.leaf_hash,
            });
        }
        assert_eq!(page.count(), folded.len() - before);
    }
    Ok(folded)
}

/// Reads a subscription until it has delivered so many events.
async fn take(subscription: &mut eventstore::Subscription, count: usize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let page = tokio::time::timeout(Duration::from_secs(20), subscription.next())
            .await
            .expect("in time")
            .expect("readable");
        assert!(!page.is_empty());
        events.extend(page);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscription_goes_from_history_to_live_without_a_gap_or_a_repeat() {
    on_both(async |database, store| {
        let other = database.open().await;
        append(&store, "old-1", Any, 1..=2_500)
            .await
            .expect("appended");
        let writers =
            [store.clone(), other.clone()]
                .into_iter()
                .enumerate()
                .map(|(writer, store)| {
                    tokio::spawn(async move {
                        for batch in 0..60_u128 {
                            let start = 10_000 * (writer as u128 + 1) + batch * 10;
                            // Two writers on SQLite may keep each other waiting, never losing anything.
                            append(&store, &format!("new-{writer}"), Any, start..start + 10)
                                .await
                                .expect("appended");
                            append(&store, "mixed-1", Any, [start + 1_000_000])
                                .await
                                .expect("appended");
                        }
                    })
                });
        let writers: Vec<_> = writers.collect();
        let total = 2_500 + 2 * 60 * 11;
        // history beneath it, within it, at its end; all of them while the writers write
        let mut readers = Vec::new();
        for (reader, after) in [
            (store.clone(), 0),
            (other.clone(), 0),
            (store.clone(), 1_234),
            (other.clone(), 2_500),
        ] {
            readers.push(tokio::spawn(async move {
                let mut subscription = reader.subscribe(after, Selection::All);
                let events = take(&mut subscription, total - after as usize).await;
                assert_eq!(
                    positions(&events),
                    (after + 1..=total as u64).collect::<Vec<_>>()
                );
                assert_eq!(subscription.position(), total as u64);
            }));
        }
        for selection in [
            Selection::Stream("mixed-1".to_owned()),
            Selection::Category("mixed".to_owned()),
        ] {
            let reader = other.clone();
            readers.push(tokio::spawn(async move {
                let mut subscription = reader.subscribe(100, selection);
                let events = take(&mut subscription, 120).await;
                let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
                assert_eq!(revisions, (0..120).collect::<Vec<_>>());
            }));
        }
        let reader = store.clone();
        readers.push(tokio::spawn(async move {
            let mut subscription = reader.subscribe(0, Selection::Category("new".to_owned()));
            let mut next: HashMap<String, u64> = HashMap::new();
            for event in take(&mut subscription, 1_200).await {
                let expected = next.entry(event.stream.clone()).or_default();
                assert_eq!(event.revision, *expected, "{}", event.stream);
                *expected += 1;
            }
            assert_eq!(next.values().copied().collect::<Vec<_>>(), [600, 600]);
        }));
        for task in writers.into_iter().chain(readers) {
            task.await.expect("no panic");
        }
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_subscription_waits_and_ends_when_the_store_closes() {
    on_both(async |_, store| {
        append(&store, "a-1", Any, [1]).await.expect("appended");
        let mut subscription = store.subscribe(0, Selection::Stream("b-1".to_owned()));
        let waits = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
        assert!(waits.is_err(), "nothing is selected yet");
        append(&store, "b-1", Any, [2]).await.expect("appended");
        assert_eq!(positions(&take(&mut subscription, 1).await), [2]);
        let waiting = tokio::spawn(async move { subscription.next().await });
        store.clone().close().await;
        assert!(matches!(
            waiting.await.expect("no panic"),
            Err(StoreError::Closed)
        ));
        let refused = store.head().await;
        assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn the_head_is_seen_on_another_store_without_asking() {
    on_both(async |database, store| {
        let other = database.open().await;
        let mut head = other.watch_head();
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        tokio::time::timeout(
            Duration::from_secs(10),
            head.wait_for(|position| *position == 3),
        )
        .await
        .expect("in time")
        .expect("open");
        drop(head);
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_rewound_log_stops_those_who_follow_it() {
    on_both(async |database, _| {
        let options = eventstore::Options { poll_interval: Duration::from_millis(20), ..Default::default() };
        let store = database.open_with(options).await;
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        let mut subscription = store.subscribe(3, Selection::All);
        let mut head = store.watch_head();
        head.mark_unchanged();
        crate::support::tamper(
            database,
            "DELETE FROM event; DELETE FROM stream; UPDATE log_head SET position = 0, tail_hash = x'00'".replace(
                "x'00'",
                if database.kind() == "SQLite" { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" },
            ).as_str(),
        )
        .await;
        let ended = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await.expect("in time");
        assert!(matches!(ended, Err(StoreError::Rewound { known: 3, head: 0 })), "{ended:?}");
        let refused = store.read(&Selection::All, 1, Direction::Forward, 1).await;
        assert!(matches!(refused, Err(StoreError::Rewound { .. })), "{refused:?}");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_tail_folded_from_a_subscription_can_be_held() {
    on_both(async |_, store| {
        append(&store, "a-1", Any, 1..=20).await.expect("appended");
        let mut tail = Tail::start(store.head().await.expect("readable").epoch);
        let mut subscription = store.subscribe(0, Selection::All);
        for event in take(&mut subscription, 20).await {
            tail.advance(&event);
        }
        let held = store.hold_tail(&tail).await.expect("the same log");
        held.commit(vec![to("a-1", Any, [21])], Vec::new(), NOW)
            .await
            .expect("committed");
    })
    .await;
}
