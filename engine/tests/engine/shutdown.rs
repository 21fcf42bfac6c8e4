//! Stopping: what was accepted is answered, the rest is refused, nothing is half done.

use engine::ExecuteError;
use futures_util::future::join_all;

use crate::support::{How, Site, assert_as_the_log, create_group, everything, on_both, submission};

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_accepted_is_answered() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let asked: Vec<_> = (0..500)
            .map(|number| {
                let engine = site.engine.clone();
                let command = create_group(&format!("group {number}"));
                tokio::spawn(async move { engine.execute(submission(command)).await })
            })
            .collect();
        let Site {
            engine,
            task,
            store,
            ..
        } = site;
        task.shut_down().await;
        let mut made = 0;
        for answer in join_all(asked).await {
            match answer.expect("answered") {
                Ok(_) => made += 1,
                Err(ExecuteError::ShuttingDown) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(engine.published().world.jump_groups.len(), made);
        let late = engine.execute(submission(create_group("late"))).await;
        assert!(matches!(late, Err(ExecuteError::ShuttingDown)), "{late:?}");
        store.close().await;

        let site = Site::open(database, How::default()).await;
        assert_eq!(site.engine.published().world.jump_groups.len(), made);
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_dropped_stops_as_well() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let mut stream = site.engine.committed();
        let Site {
            engine,
            task,
            store,
            ..
        } = site;
        drop(task);
        let answer = engine.execute(submission(create_group("late"))).await;
        assert!(
            matches!(answer, Err(ExecuteError::ShuttingDown)),
            "{answer:?}"
        );
        drop(engine);
        let end = tokio::time::timeout(crate::support::SOON, stream.next()).await;
        assert!(
            matches!(end, Ok(Err(engine::StreamBroken::Closed))),
            "{end:?}"
        );
        everything(&store).await;
        store.close().await;
    })
    .await;
}
