//! Where a passive client waits to be called (CLNT-02): section 8 of `docs/client-link.md`.
//!
//! Whoever reaches the port can make this client connect to its own site, and nothing else, and that seldom: who calls too
//! often is told so. What is read is one short line; how many callers are heard at once, and for how long, is bounded.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use link_protocol::call::{self, Answer, Call, LINE_BYTES_MAX};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

/// The port where none is named.
pub const PORT: u16 = 5832;

/// Callers that are heard at once; the next ones wait in the system's queue.
const CALLERS_MAX: usize = 8;
/// How long a caller may take for all of it.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// Calls that are followed at once, after a time without any.
const CALLS_AT_ONCE: u32 = 3;
/// How often one is followed otherwise.
const CALL_EVERY: Duration = Duration::from_secs(60);
/// The pause after the system could not give a caller, for example for want of open files.
const PAUSE: Duration = Duration::from_secs(1);

/// The calls for this client. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// 0 while nobody listens.
    port: AtomicU16,
    /// 0 before there is an identity.
    client_id: AtomicU64,
    called: Notify,
    listening: Mutex<Option<AbortHandle>>,
    allowance: Mutex<Allowance>,
}

impl Shared {
    fn listening(&self) -> MutexGuard<'_, Option<AbortHandle>> {
        // Nothing panics under this lock, and nothing is half done under it.
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn deaf(&self) {
        self.port.store(0, Ordering::Release);
        if let Some(listening) = self.listening().take() {
            listening.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.deaf();
    }
}

/// How many calls may still be followed: [`CALLS_AT_ONCE`], of which one comes back every [`CALL_EVERY`].
#[derive(Debug, Default)]
struct Allowance {
    /// When all of it is there again.
    full_at: Option<Instant>,
}

impl Allowance {
    /// Whether one may be followed now; it is taken then.
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + CALL_EVERY;
        let may = full_at <= now + CALL_EVERY * CALLS_AT_ONCE;
        if may {
            self.full_at = Some(full_at);
        }
        may
    }
}

impl Calls {
    /// The port on which calls are heard; 0 where none are.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port.load(Ordering::Acquire)
    }

    /// Who this is.
    pub fn answer_as(&self, client_id: u64) {
        self.0.client_id.store(client_id, Ordering::Release);
    }

    /// Begins to listen, where nobody does yet or any more.
    ///
    /// # Errors
    /// What the system says against it, such as that the port is taken.
    pub async fn listen(&self, address: SocketAddr) -> std::io::Result<()> {
        let is_heard = self
            .0
            .listening()
            .as_ref()
            .is_some_and(|listening| !listening.is_finished());
        if self.port() != 0 && is_heard {
            return Ok(());
        }
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let serving = tokio::spawn(serve(listener, Arc::downgrade(&self.0)));
        *self.0.listening() = Some(serving.abort_handle());
        self.0.port.store(port, Ordering::Release);
        Ok(())
    }

    /// Listens no longer: this client keeps its connection.
    pub fn close(&self) {
        self.0.deaf();
    }

    /// Forgets a call that was not followed yet: the client is with its site now.
    pub fn forget(&self) {
        // Ready at once where there is a call to take, and else it takes none.
        let _ = self.called().now_or_never();
    }

    /// Ends when this client was called since it was last asked. Dropped before it ends, it has taken nothing.
    pub async fn called(&self) {
        self.0.called.notified().await;
    }
}

async fn serve(listener: TcpListener, calls: Weak<Shared>) {
    let callers = Arc::new(Semaphore::new(CALLERS_MAX));
    loop {
        let Ok(place) = Arc::clone(&callers).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a caller was not heard");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(calls) = calls.upgrade() else {
            return;
        };
        tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(HEARD_WITHIN, hear(stream, &calls)).await {
                tracing::debug!(%error, "a caller left");
            }
            drop(place);
        });
    }
}

async fn hear(mut stream: TcpStream, calls: &Shared) -> std::io::Result<()> {
    let mut line = Vec::new();
    let (read, mut write) = stream.split();
    BufReader::new(read.take(LINE_BYTES_MAX as u64))
        .read_until(b'\n', &mut line)
        .await?;
    let line = str::from_utf8(&line).unwrap_or_default();
    let Ok(wanted) = call::read::<Call>(line.trim_end()) else {
        return Ok(());
    };
    let client_id = calls.client_id.load(Ordering::Acquire);
    let is_meant = client_id != 0 && wanted.call == client_id;
    let coming = is_meant
        && calls
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    if is_meant && !coming {
        tracing::debug!("called too often");
    }
    let mut answer = serde_json::to_vec(&Answer { client_id, coming })?;
    answer.push(b'\n');
    write.write_all(&answer).await?;
    if coming {
        calls.called.notify_one();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn say(port: u16, text: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A listener that fell over is replaced when the client is with its site next.
    #[tokio::test]
    async fn a_listener_that_ended_is_begun_anew() {
        let calls = Calls::default();
        calls.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        calls.answer_as(7);
        let listening = calls.0.listening().clone().expect("it listens");
        listening.abort();
        while !listening.is_finished() {
            tokio::task::yield_now().await;
        }
        calls.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let other = say(calls.port(), "{\"call\":8}\n").await;
        assert_eq!(other, "{\"client_id\":7,\"coming\":false}\n");
    }

    /// CLNT-02: who is called comes; another is told who is here, and nonsense is told nothing.
    #[tokio::test]
    async fn only_a_call_for_this_client_calls_it() {
        let calls = Calls::default();
        calls.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        calls.answer_as(7);
        for nonsense in ["\n", "GET / HTTP/1.1\n", "{\"call\":\"7\"}\n"] {
            assert_eq!(say(calls.port(), nonsense).await, "");
        }
        let other = say(calls.port(), "{\"call\":8}\n").await;
        assert_eq!(other, "{\"client_id\":7,\"coming\":false}\n");
        let called = timeout(Duration::from_millis(50), calls.called());
        assert!(called.await.is_err(), "nobody has called yet");
        let answer = say(calls.port(), "{\"call\":7}\n").await;
        assert_eq!(answer, "{\"client_id\":7,\"coming\":true}\n");
        calls.called().await;
    }

    /// CLNT-02: whoever reaches the port makes the client come three times and not a fourth; a call that was answered by being
    /// there is no call any more.
    #[tokio::test]
    async fn a_client_that_is_called_too_often_does_not_come() {
        let calls = Calls::default();
        calls.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        calls.answer_as(7);
        // Calls for somebody else use nothing up.
        for _ in 0..10 {
            say(calls.port(), "{\"call\":8}\n").await;
        }
        for _ in 0..3 {
            let answer = say(calls.port(), "{\"call\":7}\n").await;
            assert_eq!(answer, "{\"client_id\":7,\"coming\":true}\n");
            calls.called().await;
        }
        for _ in 0..10 {
            let answer = say(calls.port(), "{\"call\":7}\n").await;
            assert_eq!(answer, "{\"client_id\":7,\"coming\":false}\n");
        }
        assert!(calls.called().now_or_never().is_none());

        let calls = Calls::default();
        calls.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        calls.answer_as(7);
        say(calls.port(), "{\"call\":7}\n").await;
        calls.forget();
        assert!(calls.called().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_call_is_followed_every_minute() {
        let mut allowance = Allowance::default();
        let mut followed = 0;
        for second in 0..600 {
            followed += u32::from(allowance.take());
            if second == 59 {
                assert_eq!(followed, 3);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(followed, 3 + 9);
    }

    /// CLNT-02: a client that is not passive any more listens no longer.
    #[tokio::test]
    async fn nobody_is_heard_after_the_end() {
        let calls = Calls::default();
        let address = "127.0.0.1:0".parse().unwrap();
        calls.listen(address).await.unwrap();
        let port = calls.port();
        calls.close();
        assert_eq!(calls.port(), 0);
        let gone = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(HEARD_WITHIN, gone).await.unwrap();
        calls.listen(address).await.unwrap();
        assert_ne!(calls.port(), 0);
    }
}
