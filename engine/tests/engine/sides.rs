//! Side rows: they commit with the events of an accepted command, and never otherwise.

use domain::Refusal;
use engine::{ExecuteError, Side, Unavailability};
use eventstore::{SideTable, SideWrite};
use futures_util::future::join_all;

use crate::support::{Site, create_group, on_both, submission};

const TABLE: SideTable = SideTable::ApiToken;

fn put(key: String) -> SideWrite {
    SideWrite::Put {
        table: TABLE,
        key,
        value: b"value".to_vec(),
    }
}

async fn keys(site: &Site) -> Vec<String> {
    let rows = site.store.side_rows(TABLE, "").await.expect("rows");
    rows.into_iter().map(|row| row.key).collect()
}

/// AUTH-17: of many tokens asked for at once, each sees those before it, so the oldest can be dropped.
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_a_batch_see_the_rows_of_those_before_them() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let asked = (0..40).map(|number| {
            let side = Side::reading(TABLE, "1/", move |rows, _| {
                let mut writes = vec![put(format!("1/{number:02}"))];
                if rows.len() >= 30 {
                    writes.push(SideWrite::Delete {
                        table: TABLE,
                        key: rows[0].key.clone(),
                    });
                }
                writes
            });
            let asked = submission(create_group(&format!("group {number}"))).with_side(side);
            site.engine.execute(asked)
        });
        for answer in join_all(asked).await {
            answer.expect("made");
        }
        assert_eq!(keys(&site).await.len(), 30);
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_refused_command_are_not_written() {
    on_both(async |database| {
        let site = Site::new(database).await;
        site.run(create_group("Servers")).await;
        let side = Side::writing(|_| vec![put("1/a".to_owned())]);
        let refused = site
            .engine
            .execute(submission(create_group("Servers")).with_side(side))
            .await
            .expect_err("taken");
        assert!(
            matches!(
                refused,
                ExecuteError::Refused {
                    refusal: Refusal::Invalid(_),
                    ..
                }
            ),
            "{refused:?}"
        );
        assert!(keys(&site).await.is_empty());
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_knows_the_events_the_time_and_the_fresh_values() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let side = Side::writing(|context| {
            let stream = context.events[0].stream();
            vec![put(format!(
                "{stream} {} {}",
                context.now.0,
                context.fresh.hex(0).len()
            ))]
        });
        let done = site
            .engine
            .execute(submission(create_group("Servers")).with_side(side))
            .await
            .expect("made");
        let expected = format!("jump_group-1 {} 32", done.decided_at.0);
        assert_eq!(keys(&site).await, [expected]);
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_side_costs_its_own_command_only() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let asked = (0..9).map(|number| {
            let side = Side::reading(TABLE, "k", move |rows, _| {
                let insert = SideWrite::Insert {
                    table: TABLE,
                    key: "k".to_owned(),
                    value: Vec::new(),
                };
                match number % 3 {
                    0 => vec![insert],
                    1 => panic!("a fault with {} rows", rows.len()),
                    _ => vec![put(format!("other {number}"))],
                }
            });
            let asked = submission(create_group(&format!("group {number}"))).with_side(side);
            site.engine.execute(asked)
        });
        let answers = join_all(asked).await;
        let faults = answers.iter().filter(|answer| {
            matches!(
                answer,
                Err(ExecuteError::Unavailable {
                    cause: Unavailability::Fault,
                    ..
                })
            )
        });
        assert_eq!(
            faults.count(),
            5,
            "three panics, two rows that were there: {answers:?}"
        );
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
        assert_eq!(keys(&site).await, ["k", "other 2", "other 5", "other 8"]);
        assert_eq!(site.engine.published().world.jump_groups.len(), 4);
        crate::support::assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}
