//! The stream of what was committed: in order, without a gap, and a reader that lags is told what it missed.

use engine::{EngineLimits, StreamBroken};
use futures_util::future::join_all;

use crate::support::{How, Site, create_group, everything, on_both};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_every_event_from_its_beginning_on() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let mut stream = site.engine.committed();
        let from = stream.position();
        assert_eq!(from, site.engine.published().tail.position);
        for answer in
            join_all((0..300).map(|n| site.ask(create_group(&format!("group {n}"))))).await
        {
            answer.expect("made");
        }
        let mut seen = Vec::new();
        while seen.len() < 300 {
            seen.extend(stream.next().await.expect("events").iter().cloned());
        }
        let from = usize::try_from(from).expect("small");
        assert_eq!(seen, everything(&site.store).await[from..]);
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_lags_is_told_what_to_read_again() {
    on_both(async |database| {
        let how = How {
            limits: EngineLimits {
                stream_batches_max: 4,
                ..EngineLimits::default()
            },
            ..How::default()
        };
        let site = Site::new_with(database, how).await;
        let mut stream = site.engine.committed();
        let from = stream.position();
        for number in 0..20 {
            // One at a time: each is a batch.
            site.run(create_group(&format!("group {number}"))).await;
        }
        let mut seen = Vec::new();
        let mut gaps = 0;
        while seen.len() < 20 {
            match stream.next().await {
                Ok(batch) => seen.extend(batch.iter().cloned()),
                Err(StreamBroken::Lagged { after, until }) => {
                    gaps += 1;
                    assert_eq!(after, from + seen.len() as u64);
                    seen.extend(site.engine.read_recorded(after, until).await.expect("read"));
                }
                Err(StreamBroken::Closed) => panic!("the engine runs"),
            }
        }
        assert_eq!(gaps, 1);
        let from = usize::try_from(from).expect("small");
        assert_eq!(seen, everything(&site.store).await[from..]);
        site.close().await;
    })
    .await;
}
