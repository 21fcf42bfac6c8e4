//! A batch that is written in parts: it is one batch for everybody else.

use eventstore::ExpectedRevision::{Any, Exact, NoStream};
use eventstore::{CommitError, GrowingBatch, SideTable, SideWrite, StoreError, Tail};

use crate::support::{NOW, append, everything, id, on_both, positions, tail, to};

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_the_rest_are_one_batch() {
    on_both(async |_, store| {
        append(&store, "a-1", NoStream, [1]).await.expect("there");
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let mut batch = GrowingBatch::new(held);
        for part in 0..20_u128 {
            let first = 10 + part * 10;
            let of_both = vec![
                to("a-1", Any, first..first + 3),
                to("b-1", Any, [first + 5]),
            ];
            batch.write(of_both, NOW).await.expect("begun");
        }
        let rows = batch
            .tail()
            .await
            .expect("written")
            .side_rows(SideTable::Secret, "");
        assert!(rows.await.expect("readable").is_empty());
        assert!(batch.is_idle());
        assert_eq!(
            everything(&store).await.len(),
            1,
            "others see nothing of it"
        );
        let side = vec![SideWrite::Insert {
            table: SideTable::Secret,
            key: "one".to_owned(),
            value: vec![1],
        }];
        let appended = batch
            .commit(
                vec![to("b-1", Exact(19), [900]), to("c-1", NoStream, [901])],
                side,
                NOW,
            )
            .await
            .expect("committed");
        let all = everything(&store).await;
        assert_eq!(appended.events.len(), 82);
        assert_eq!(all[1..], appended.events);
        assert_eq!(positions(&all), (1..=83).collect::<Vec<u64>>());
        assert_eq!(all.last().map(|event| event.id), Some(id(901)));
        assert_eq!(tail(&store).await, Tail::from(appended.head));
        assert!(
            store
                .side_row(SideTable::Secret, "one")
                .await
                .expect("readable")
                .is_some()
        );
        assert!(store.verify(|_| {}).await.expect("verified").is_whole());

        // What is remembered of the revisions is right too.
        append(&store, "a-1", Exact(60), [902])
            .await
            .expect("appended");
        append(&store, "b-1", Exact(20), [903])
            .await
            .expect("appended");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_end_with_its_last_part() {
    on_both(async |_, store| {
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let mut batch = GrowingBatch::new(held);
        batch
            .write(vec![to("a-1", NoStream, 1..=3)], NOW)
            .await
            .expect("begun");
        let side = vec![SideWrite::Put {
            table: SideTable::Idempotency,
            key: "k".to_owned(),
            value: vec![],
        }];
        let appended = batch
            .commit(Vec::new(), side, NOW)
            .await
            .expect("committed");
        assert_eq!(appended.head.position, 3);
        assert_eq!(everything(&store).await, appended.events);
        assert_eq!(*store.watch_head().borrow(), 3);
        assert!(store.verify(|_| {}).await.expect("verified").is_whole());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_leaves_nothing() {
    on_both(async |_, store| {
        append(&store, "a-1", NoStream, [1]).await.expect("there");
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let mut batch = GrowingBatch::new(held);
        batch
            .write(vec![to("a-1", Any, [2, 3])], NOW)
            .await
            .expect("begun");
        batch.release().await;
        assert_eq!(everything(&store).await.len(), 1);
        // The parts are no part of what is remembered of revisions.
        append(&store, "a-1", Exact(0), [2])
            .await
            .expect("appended");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_refused_ends_the_batch() {
    on_both(async |_, store| {
        append(&store, "a-1", NoStream, [1]).await.expect("there");
        for before in [false, true] {
            let held = store.hold_tail(&tail(&store).await).await.expect("held");
            let mut batch = GrowingBatch::new(held);
            if before {
                batch
                    .write(vec![to("a-1", Any, [2])], NOW)
                    .await
                    .expect("begun");
            }
            batch
                .write(vec![to("b-1", Any, [3, 1])], NOW)
                .await
                .expect("begun");
            let error = batch.tail().await.expect_err("the id is known");
            assert!(
                matches!(error, StoreError::DuplicateId(known) if known == id(1)),
                "{error}"
            );
            assert!(!batch.is_idle());
            let again = batch.write(vec![to("b-1", Any, [4])], NOW).await;
            assert!(matches!(again, Err(StoreError::Closed)), "{again:?}");
            let refused = batch
                .commit(vec![to("b-1", Any, [5])], Vec::new(), NOW)
                .await;
            assert!(
                matches!(refused, Err(CommitError::NotCommitted(StoreError::Closed))),
                "{refused:?}"
            );
            assert_eq!(everything(&store).await.len(), 1);
        }
        append(&store, "a-1", Exact(0), [2])
            .await
            .expect("the log goes on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_not_believed_rightly_is_told_when_the_tail_is_needed() {
    on_both(async |_, store| {
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let mut batch = GrowingBatch::new(held);
        batch.write(vec![to("a-1", NoStream, [1])], NOW).await.expect("begun");
        batch.write(vec![to("a-1", NoStream, [2])], NOW).await.expect("begun");
        let refused = batch.commit(Vec::new(), Vec::new(), NOW).await;
        assert!(
            matches!(&refused, Err(CommitError::NotCommitted(StoreError::Invalid(why))) if why.contains("a-1")),
            "{refused:?}"
        );
        assert!(everything(&store).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_in_the_middle_leaves_nothing() {
    on_both(async |_, store| {
        let held = store.hold_tail(&tail(&store).await).await.expect("held");
        let mut batch = GrowingBatch::new(held);
        batch
            .write(vec![to("a-1", NoStream, 1..=500)], NOW)
            .await
            .expect("begun");
        drop(batch);
        let held = store
            .hold_tail(&tail(&store).await)
            .await
            .expect("free again");
        assert_eq!(held.head().position, 0);
        held.release().await;
        append(&store, "a-1", NoStream, [1])
            .await
            .expect("appended");
    })
    .await;
}
