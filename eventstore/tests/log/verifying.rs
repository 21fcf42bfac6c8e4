//! Verification finds what was done to a log behind its back.

use eventstore::ExpectedRevision::Any;
use eventstore::{EventStore, Fault, Verification};

use crate::support::{append, empty, on_both, tamper};

async fn verify(store: &EventStore) -> Verification {
    store.verify(|_| {}).await.expect("readable")
}

async fn fill(store: &EventStore) {
    append(store, "a-1", Any, 1..=5).await.expect("appended");
    append(store, "b-1", Any, 6..=9).await.expect("appended");
    append(store, "a-1", Any, 10..=12).await.expect("appended");
}

#[tokio::test]
async fn a_whole_log_verifies() {
    on_both(async |_, store| {
        assert!(verify(&store).await.is_whole(), "empty");
        fill(&store).await;
        let mut told = Vec::new();
        let verification = store
            .verify(|position| told.push(position))
            .await
            .expect("readable");
        assert!(verification.is_whole(), "{:?}", verification.faults);
        assert_eq!(
            (
                verification.events,
                verification.streams,
                verification.head.position
            ),
            (12, 2, 12)
        );
        assert_eq!(told, [12]);
    })
    .await;
}

#[tokio::test]
async fn whatever_is_tampered_with_is_found() {
    let changed = |position, stream: &str| Fault::Changed {
        position,
        stream: stream.to_owned(),
    };
    let revision = |position, stream: &str, expected, found| Fault::Revision {
        position,
        stream: stream.to_owned(),
        expected,
        found,
    };
    let cases: Vec<(&str, Vec<Fault>)> = vec![
        (
            "UPDATE event SET data = CAST('{\"number\":8}' AS BLOB) WHERE position = 3",
            vec![changed(3, "a-1")],
        ),
        (
            "UPDATE event SET meta = CAST(' ' AS BLOB) WHERE position = 3",
            vec![changed(3, "a-1")],
        ),
        (
            "UPDATE event SET recorded_at = recorded_at + 1 WHERE position = 6",
            vec![changed(6, "b-1")],
        ),
        (
            "UPDATE event SET type = 'Other' WHERE position = 12",
            vec![changed(12, "a-1")],
        ),
        (
            "UPDATE event SET leaf_hash = (SELECT leaf_hash FROM event WHERE position = 1) WHERE position = 2",
            vec![changed(2, "a-1")],
        ),
        (
            "DELETE FROM event WHERE position IN (7, 8)",
            vec![
                Fault::Missing { from: 7, to: 8 },
                revision(9, "b-1", 1, 3),
                Fault::Tail,
            ],
        ),
        (
            "DELETE FROM event WHERE position = 12",
            vec![
                Fault::Missing { from: 12, to: 12 },
                Fault::Tail,
                Fault::Stream {
                    stream: "a-1".to_owned(),
                    events: Some(6),
                    table: Some(7),
                },
            ],
        ),
        (
            "UPDATE log_head SET tail_hash = (SELECT leaf_hash FROM event WHERE position = 1)",
            vec![Fault::Tail],
        ),
        (
            "DELETE FROM stream WHERE name = 'b-1'",
            vec![Fault::Stream {
                stream: "b-1".to_owned(),
                events: Some(3),
                table: None,
            }],
        ),
        (
            "INSERT INTO stream (name, revision, position) VALUES ('c-1', 0, 1)",
            vec![Fault::Stream {
                stream: "c-1".to_owned(),
                events: None,
                table: Some(0),
            }],
        ),
    ];
    on_both(async |database, store| {
        store.close().await;
        for (sql, expected) in cases.clone() {
            empty(database).await;
            let store = database.open().await;
            fill(&store).await;
            let sql = match database.kind() {
                "SQLite" => sql.to_owned(),
                _ => sql
                    .replace("CAST('", "convert_to('")
                    .replace("' AS BLOB)", "', 'UTF8')"),
            };
            tamper(database, &sql).await;
            let verification = verify(&store).await;
            let mut expected = expected;
            // A changed part changes the recomputed hash, so the chain breaks as well, but for the
            // leaf hash itself, which is not what is chained.
            if matches!(expected[..], [Fault::Changed { .. }]) && !sql.contains("leaf_hash") {
                expected.push(Fault::Tail);
            }
            assert_eq!(verification.faults, expected, "{sql}");
            assert_eq!(verification.faults_count, expected.len() as u64);
            assert!(!verification.is_whole());
            store.close().await;
        }
    })
    .await;
}

/// Not even a forger who recomputes the leaf hash goes unnoticed: the chain is broken.
#[tokio::test]
async fn a_forged_leaf_hash_breaks_the_chain() {
    on_both(async |database, store| {
        fill(&store).await;
        let mut forged = crate::support::everything(&store).await.swap_remove(2);
        forged.data = b"{}".to_vec();
        let hash: String = forged
            .expected_leaf_hash()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let sql = match database.kind() {
            "SQLite" => {
                format!("UPDATE event SET data = x'7b7d', leaf_hash = x'{hash}' WHERE position = 3")
            }
            _ => format!(
                "UPDATE event SET data = '\\x7b7d', leaf_hash = '\\x{hash}' WHERE position = 3"
            ),
        };
        tamper(database, &sql).await;
        assert_eq!(verify(&store).await.faults, [Fault::Tail]);
    })
    .await;
}

#[tokio::test]
async fn many_faults_are_counted_but_not_all_written_down() {
    on_both(async |database, store| {
        append(&store, "a-1", Any, 1..=500).await.expect("appended");
        tamper(database, "UPDATE event SET recorded_at = 0").await;
        let verification = verify(&store).await;
        assert_eq!(
            (verification.faults.len(), verification.faults_count),
            (100, 501)
        );
    })
    .await;
}
