//! Connections that never say hello: strangers that stop half way, again and again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rand::Rng;
use rand::rngs::SmallRng;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use crate::dial::DialError;
use crate::fleet::Fleet;

/// How long one waits for the server to lose its patience.
const HELD_FOR: Duration = Duration::from_secs(60);

/// Where it stops.
#[derive(Clone, Copy)]
enum Half {
    Tcp,
    Tls,
    WebSocket,
}

/// Opens one after the other until the fleet stops.
pub async fn keep_opening(fleet: Arc<Fleet>, number: u32, mut chance: SmallRng) {
    let mut stop = fleet.stopping();
    let opening = async {
        loop {
            let half = match chance.random_range(0..3) {
                0 => Half::Tcp,
                1 => Half::Tls,
                _ => Half::WebSocket,
            };
            fleet.count(|tally| tally.half_open += 1);
            let held = timeout(HELD_FOR, hold(&fleet, number, half)).await;
            if let Ok(Ok(())) = held {
                fleet.count(|tally| tally.half_open_closed += 1);
            }
            sleep(Duration::from_millis(chance.random_range(500..3_000))).await;
        }
    };
    tokio::select! {
        () = opening => {}
        () = stop.told() => {}
    }
}

/// Ends when the server has closed.
async fn hold(fleet: &Fleet, number: u32, half: Half) -> Result<(), DialError> {
    let dialer = fleet.dialer();
    let mut stream = dialer.reach(number).await?;
    let mut byte = [0];
    // Whatever comes, an end or an error, the connection is over then.
    match half {
        Half::Tcp => while matches!(stream.read(&mut byte).await, Ok(1..)) {},
        Half::Tls => {
            let mut stream = dialer.secure(stream).await?;
            while matches!(stream.read(&mut byte).await, Ok(1..)) {}
        }
        Half::WebSocket => {
            let mut socket = dialer.upgrade(dialer.secure(stream).await?).await?;
            while let Some(Ok(_)) = socket.next().await {}
        }
    }
    Ok(())
}
