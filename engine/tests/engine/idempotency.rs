//! Idempotency keys: a repeat gets the first answer, another request with the key is refused, a day later all is forgotten.

use domain::time::HOUR;
use engine::{Done, ExecuteError, Idempotency};
use eventstore::SideTable;
use futures_util::future::join_all;

use crate::support::{Site, create_group, on_both, submission};

async fn ask(site: &Site, name: &str, key: &str, hash: u8) -> Result<Done, ExecuteError> {
    let keyed = Idempotency {
        key: key.to_owned(),
        request_hash: [hash; 32],
    };
    let asked = submission(create_group(name)).with_idempotency(keyed);
    site.engine.execute(asked).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let first = ask(&site, "Servers", "key", 1).await.expect("made");
        site.run(create_group("Others")).await;
        let again = ask(&site, "Servers", "key", 1).await.expect("repeated");
        assert_eq!(
            again,
            Done {
                repeated: true,
                ..first
            }
        );
        assert_eq!(site.engine.published().world.jump_groups.len(), 2);
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_at_the_same_time_are_one() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let answers = join_all((0..50).map(|_| ask(&site, "Servers", "key", 1))).await;
        let done: Vec<Done> = answers
            .into_iter()
            .map(|answer| answer.expect("answered"))
            .collect();
        assert_eq!(done.iter().filter(|done| !done.repeated).count(), 1);
        assert!(done.iter().all(|one| one.events == done[0].events));
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_request_is_refused() {
    on_both(async |database| {
        let site = Site::new(database).await;
        ask(&site, "Servers", "key", 1).await.expect("made");
        let refused = ask(&site, "Others", "key", 2).await.expect_err("reused");
        assert!(matches!(refused, ExecuteError::KeyReused), "{refused:?}");
        // A key that begins like another is another.
        ask(&site, "More", "ke", 2).await.expect("made");
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_leaves_its_key_free() {
    on_both(async |database| {
        let site = Site::new(database).await;
        site.run(create_group("Servers")).await;
        ask(&site, "Servers", "key", 1).await.expect_err("taken");
        ask(&site, "Others", "key", 2).await.expect("made");
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_forgotten_after_a_day_and_swept() {
    on_both(async |database| {
        let site = Site::new(database).await;
        ask(&site, "Servers", "key", 1).await.expect("made");
        site.clock.leap(HOUR);
        ask(&site, "More", "later", 1).await.expect("made");
        assert_eq!(site.engine.sweep_idempotency().await.expect("swept"), 0);
        site.clock.leap(23 * HOUR);
        let again = ask(&site, "Others", "key", 2).await.expect("made anew");
        assert!(!again.repeated);
        site.clock.leap(HOUR);
        assert_eq!(site.engine.sweep_idempotency().await.expect("swept"), 1);
        let left = site.store.side_rows(SideTable::Idempotency, "").await;
        assert_eq!(left.expect("rows").len(), 1);
        site.close().await;
    })
    .await;
}
