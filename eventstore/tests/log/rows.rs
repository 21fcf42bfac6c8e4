//! Side tables, nodes, consumers, rates, latest figures, databases of views.

use eventstore::ExpectedRevision::Any;
use eventstore::{
    ConsumerRow, Fence, NodeEpoch, RateCount, SideRow, SideTable, SideWrite, StoreError, Tail,
    ViewDatabase,
};

use crate::support::{NOW, on_both, to};

fn put(table: SideTable, key: &str, value: &[u8]) -> SideWrite {
    SideWrite::Put {
        table,
        key: key.to_owned(),
        value: value.to_vec(),
    }
}

fn keys(rows: &[SideRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

#[tokio::test]
async fn side_rows_are_read_by_prefix_and_by_page() {
    on_both(async |_, store| {
        let names = [
            "a",
            "a:1",
            "a:2",
            "a:\u{fffd}",
            "a;",
            "ab",
            "b",
            "A:1",
            "a:😀",
            "%",
            "a_1",
        ];
        for table in [
            SideTable::Secret,
            SideTable::ApiToken,
            SideTable::ConsoleSignIn,
            SideTable::Idempotency,
        ] {
            let number = table as u128 + 1;
            let side = names
                .iter()
                .map(|name| put(table, name, name.as_bytes()))
                .collect();
            store
                .append(vec![to("a-1", Any, [number])], side, NOW)
                .await
                .expect("appended");
            for prefix in ["", "a", "a:", "A", "%", "a_", "zzz"] {
                let mut expected: Vec<&str> = names
                    .iter()
                    .copied()
                    .filter(|name| name.starts_with(prefix))
                    .collect();
                expected.sort_unstable();
                let rows = store.side_rows(table, prefix).await.expect("readable");
                assert_eq!(keys(&rows), expected, "{prefix:?}");
                let at = Tail::from(store.head().await.expect("readable"));
                let mut held = store.hold_tail(&at).await.expect("held");
                assert_eq!(
                    held.side_rows(table, prefix).await.expect("readable"),
                    rows,
                    "held, {prefix:?}"
                );
                held.release().await;
            }
            let some = ["b", "none", "a:1", "%", "a:1"].map(str::to_owned);
            let rows = store.side_rows_of(table, &some).await.expect("readable");
            assert_eq!(keys(&rows), ["%", "a:1", "b"]);
            let at = Tail::from(store.head().await.expect("readable"));
            let mut held = store.hold_tail(&at).await.expect("held");
            assert_eq!(
                held.side_rows_of(table, &some).await.expect("readable"),
                rows
            );
            held.release().await;
            let mut paged = Vec::new();
            let mut after = String::new();
            loop {
                let page = store.side_page(table, &after, 4).await.expect("readable");
                let Some(last) = page.last() else { break };
                after.clone_from(&last.key);
                paged.extend(page);
            }
            assert_eq!(paged, store.side_rows(table, "").await.expect("readable"));
            let gone = ["a:1", "b", "not there"].map(str::to_owned);
            assert_eq!(store.sweep_side(table, &gone).await.expect("swept"), 2);
            assert_eq!(store.side_row(table, "b").await.expect("readable"), None);
            assert_eq!(
                store.side_row(table, "ab").await.expect("readable"),
                Some(b"ab".to_vec())
            );
        }
    })
    .await;
}

#[tokio::test]
async fn side_rows_change_in_batches_of_any_size() {
    on_both(async |_, store| {
        let table = SideTable::Idempotency;
        let key = |number: u32| format!("k{number:05}");
        let side = (0..1_500)
            .map(|number| put(table, &key(number), &number.to_be_bytes()))
            .collect();
        store
            .append(vec![to("a-1", Any, [1])], side, NOW)
            .await
            .expect("appended");
        let side = (0..1_500)
            .map(|number| match number % 3 {
                0 => SideWrite::Delete {
                    table,
                    key: key(number),
                },
                1 => put(table, &key(number), b"changed"),
                _ => SideWrite::Insert {
                    table,
                    key: format!("new{number}"),
                    value: vec![],
                },
            })
            .collect();
        store
            .append(vec![to("a-1", Any, [2])], side, NOW)
            .await
            .expect("appended");
        let rows = store.side_rows(table, "k").await.expect("readable");
        assert_eq!(rows.len(), 1_000);
        assert_eq!(
            rows.iter().filter(|row| row.value == b"changed").count(),
            500
        );
        assert_eq!(
            store.side_rows(table, "new").await.expect("readable").len(),
            500
        );
    })
    .await;
}

#[tokio::test]
async fn rows_under_a_prefix_are_changed_by_one_at_a_time() {
    on_both(async |_, store| {
        let table = SideTable::ApiToken;
        // Each adds a row named by how many there were: two at once would write the same name.
        let tasks: Vec<_> = (0..30)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .change_side_rows((table, "7:"), |rows| {
                            vec![SideWrite::Insert { table, key: format!("7:{:03}", rows.len()), value: vec![] }]
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic").expect("changed");
        }
        assert_eq!(store.side_rows(table, "7:").await.expect("readable").len(), 30);
        let refused = store
            .change_side_rows((table, "7:"), |_| {
                vec![
                    put(table, "7:other", b""),
                    SideWrite::Insert { table, key: "7:004".to_owned(), value: vec![] },
                ]
            })
            .await;
        assert!(matches!(refused, Err(StoreError::SideExists(SideTable::ApiToken, key)) if key == "7:004"));
        assert_eq!(store.side_row(table, "7:other").await.expect("readable"), None);
    })
    .await;
}

#[tokio::test]
async fn nodes_get_an_epoch_once_and_beat() {
    on_both(async |_, store| {
        let first = store
            .register_node("one", Some("https://one.example"))
            .await
            .expect("registered");
        let second = store.register_node("two", None).await.expect("registered");
        assert!(second > first);
        assert!(store.raise_beat(first).await.expect("raised"));
        assert!(store.raise_beat(first).await.expect("raised"));
        let nodes = store.nodes().await.expect("readable");
        let shown: Vec<_> = nodes
            .iter()
            .map(|node| {
                (
                    node.epoch,
                    node.name.as_str(),
                    node.url.as_deref(),
                    node.beat,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (first, "one", Some("https://one.example"), 2),
                (second, "two", None, 0)
            ]
        );
        assert!(store.remove_node(second).await.expect("removed"));
        assert!(!store.remove_node(second).await.expect("gone"));
        assert!(!store.raise_beat(second).await.expect("gone"));
        let third = store.register_node("two", None).await.expect("registered");
        assert!(third > second, "an epoch is never given twice");
    })
    .await;
}

#[tokio::test]
async fn a_cursor_moves_only_where_the_lease_is_mine() {
    on_both(async |_, store| {
        let (one, two) = (NodeEpoch(1), NodeEpoch(2));
        assert_eq!(store.consumer("mail").await.expect("readable"), None);
        assert_eq!(
            store
                .take_lease("mail", one, Fence(5))
                .await
                .expect("asked"),
            None
        );
        let first = store
            .take_lease("mail", one, Fence(0))
            .await
            .expect("asked")
            .expect("taken");
        assert_eq!(
            store
                .take_lease("mail", two, Fence(0))
                .await
                .expect("asked"),
            None
        );
        assert!(store.move_cursor("mail", first, 10).await.expect("asked"));
        assert!(
            !store.move_cursor("mail", first, 9).await.expect("asked"),
            "never back"
        );
        let row = store
            .consumer("mail")
            .await
            .expect("readable")
            .expect("there");
        assert_eq!(
            row,
            ConsumerRow {
                cursor: 10,
                holder: Some(one),
                fence: first
            }
        );

        let second = store
            .take_lease("mail", two, first)
            .await
            .expect("asked")
            .expect("taken over");
        assert!(second > first);
        assert!(
            !store.move_cursor("mail", first, 11).await.expect("asked"),
            "the old holder woke up late"
        );
        assert!(!store.release_lease("mail", first).await.expect("asked"));
        assert!(store.move_cursor("mail", second, 12).await.expect("asked"));
        assert!(store.release_lease("mail", second).await.expect("asked"));
        assert!(
            !store.move_cursor("mail", second, 13).await.expect("asked"),
            "given back"
        );
        let row = store
            .consumer("mail")
            .await
            .expect("readable")
            .expect("there");
        assert_eq!((row.cursor, row.holder), (12, None));
        let third = store
            .take_lease("mail", one, row.fence)
            .await
            .expect("asked")
            .expect("taken");
        assert!(third > second);
        assert!(!store.move_cursor("other", third, 1).await.expect("asked"));
    })
    .await;
}

#[tokio::test]
async fn rates_are_summed_over_the_nodes() {
    on_both(async |_, store| {
        let count = |account: &str, window_start, used| RateCount {
            account: account.to_owned(),
            window_start,
            used,
        };
        let sums = store
            .share_rates("one", &[count("a", 100, 3), count("b", 100, 1)])
            .await
            .expect("shared");
        assert_eq!(sums, [count("a", 100, 3), count("b", 100, 1)]);
        let sums = store
            .share_rates("two", &[count("a", 100, 4), count("a", 200, 1)])
            .await
            .expect("shared");
        assert_eq!(sums, [count("a", 100, 7), count("a", 200, 1)]);
        let sums = store
            .share_rates("one", &[count("a", 100, 5)])
            .await
            .expect("shared");
        assert_eq!(
            sums,
            [count("a", 100, 9)],
            "a node's count replaces its own"
        );
        assert_eq!(store.forget_rates(200).await.expect("forgotten"), 3);
        assert_eq!(
            store
                .share_rates("one", &[count("a", 100, 0)])
                .await
                .expect("shared"),
            [count("a", 100, 0)]
        );
    })
    .await;
}

#[tokio::test]
async fn latest_figures_are_overwritten_and_bounded() {
    on_both(async |_, store| {
        let row = |key: &str, value: &[u8]| (key.to_owned(), value.to_vec());
        let many: Vec<_> = (0..1_100)
            .map(|number| row(&format!("c{number}"), b"1"))
            .collect();
        store.put_latest(&many).await.expect("put");
        store
            .put_latest(&[
                row("c5", b"first"),
                row("c5", b"2"),
                row("x", &[0; 32 * 1024]),
            ])
            .await
            .expect("put");
        let keys: Vec<String> = ["x", "c5", "missing", "c1099"].map(str::to_owned).to_vec();
        let found = store.latest(&keys).await.expect("readable");
        assert_eq!(
            found,
            [
                row("c1099", b"1"),
                row("c5", b"2"),
                row("x", &[0; 32 * 1024])
            ]
        );
        let refused = store
            .put_latest(&[row("y", b"1"), row("z", &[0; 32 * 1024 + 1])])
            .await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))));
        assert!(
            store
                .latest(&["y".to_owned()])
                .await
                .expect("readable")
                .is_empty()
        );
        store.remove_latest(&keys).await.expect("removed");
        assert!(store.latest(&keys).await.expect("readable").is_empty());
        let all: Vec<String> = many.into_iter().map(|(key, _)| key).collect();
        assert_eq!(store.latest(&all).await.expect("readable").len(), 1_098);
    })
    .await;
}

/// Runs SQL in a view with its writing connections, then counts the rows of `t` with those that read.
async fn run(view: &ViewDatabase, sql: &'static str) -> Result<i64, sqlx::Error> {
    const COUNT: &str = "SELECT count(*) FROM t";
    match view {
        ViewDatabase::Sqlite(view) => {
            sqlx::raw_sql(sql).execute(&view.writer).await?;
            sqlx::query_scalar(COUNT).fetch_one(&view.readers).await
        }
        ViewDatabase::Postgres(view) => {
            sqlx::raw_sql(sql).execute(&view.pool).await?;
            sqlx::query_scalar(COUNT).fetch_one(&view.pool).await
        }
    }
}

#[tokio::test]
async fn views_have_a_database_for_each_version() {
    on_both(async |_, store| {
        let old = store.view_database("report_index", 1).await.expect("made");
        let new = store.view_database("report_index", 12).await.expect("made");
        let other = store.view_database("report", 1).await.expect("made");
        assert_eq!(
            run(&old, "CREATE TABLE t (x BIGINT); INSERT INTO t VALUES (1)")
                .await
                .expect("runs"),
            1
        );
        assert_eq!(
            run(&new, "CREATE TABLE t (x BIGINT)").await.expect("runs"),
            0
        );
        let names = |views: Vec<(String, u32)>| {
            views
                .into_iter()
                .map(|(name, version)| format!("{name} {version}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(store.list_views().await.expect("listed")),
            ["report 1", "report_index 1", "report_index 12"]
        );
        old.close().await;
        let old = store
            .view_database("report_index", 1)
            .await
            .expect("opened");
        assert_eq!(
            run(&old, "INSERT INTO t VALUES (2)").await.expect("runs"),
            2
        );
        for view in [&old, &new, &other] {
            view.close().await;
        }
        store.drop_view("report_index", 1).await.expect("dropped");
        store
            .drop_view("report_index", 1)
            .await
            .expect("gone already");
        assert_eq!(
            names(store.list_views().await.expect("listed")),
            ["report 1", "report_index 12"]
        );
        for name in ["", "../x", "A", "a-b", "a b", "a;drop", &"x".repeat(41)] {
            let refused = store.view_database(name, 1).await;
            assert!(matches!(refused, Err(StoreError::Invalid(_))), "{name:?}");
            assert!(
                matches!(store.drop_view(name, 1).await, Err(StoreError::Invalid(_))),
                "{name:?}"
            );
        }
    })
    .await;
}
