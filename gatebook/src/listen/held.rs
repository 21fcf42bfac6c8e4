//! A connection from its acceptance to its end: its turn for the handshake, how long it may stall, and when it has to give way.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use api::BytesLeft;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};

use super::HANDSHAKE_WITHIN;
use super::hello;
use super::places::{GivesWay, Place};
use super::source::Source;
use super::turns::{Turn, Turns};

/// How long a turn goes on while the other side answers our hello. Where machines are near, what they say next is worked on in the
/// same turn, and no more of them are let in than their greetings can be worked on; where they are far, or never answer, nobody
/// waits for them.
const ANSWER_WITHIN: Duration = Duration::from_millis(25);

/// How long a connection may wait for its turn. Below the 30 s in which agents have to connect: who waits longer has given up.
const TURN_WITHIN: Duration = Duration::from_secs(20);

/// How long the other side may take none of what is written. Whoever never reads holds nothing for longer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// A connection that holds its place until it is closed, whatever it is upgraded to.
pub(super) struct Held {
    stream: TcpStream,
    place: Place,
    gives_way: GivesWay,
    gave_way: bool,
    /// While the other side takes none of what is written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// While it is at work on its hello.
    turn: Option<Turn>,
    /// While its turn goes on after that; dropped, it is over.
    going_on: Option<oneshot::Sender<()>>,
    /// Whether more was said than the hello.
    has_answered: bool,
    /// What was said first, and how much of it was taken.
    first: Vec<u8>,
    taken: usize,
    bytes: BytesLeft,
}

impl Held {
    /// The connection `stream`, which counts into `bytes` what is read from it.
    pub(super) fn new(
        stream: TcpStream,
        place: Place,
        gives_way: GivesWay,
        bytes: BytesLeft,
    ) -> Self {
        Self {
            stream,
            place,
            gives_way,
            gave_way: false,
            stalled: None,
            turn: None,
            going_on: None,
            has_answered: false,
            first: Vec::new(),
            taken: 0,
            bytes,
        }
    }

    /// Waits until the other side has said hello and it is this connection's turn.
    pub(super) async fn wait_for_turn(&mut self, source: Source, turns: &Turns) -> io::Result<()> {
        let its_turn = async {
            let hello = timeout(HANDSHAKE_WITHIN, hello::first_record(&mut self.stream)).await??;
            Ok::<_, io::Error>((hello, timeout(TURN_WITHIN, turns.take(source)).await?))
        };
        let (hello, turn) = tokio::select! {
            its_turn = its_turn => its_turn?,
            _ = &mut self.gives_way => return Err(room_for_another()),
        };
        self.place.note_activity();
        self.first = hello;
        self.turn = Some(turn);
        Ok(())
    }

    /// An error once the connection has to give way to another.
    fn stay(&mut self, context: &mut TaskContext<'_>) -> io::Result<()> {
        self.gave_way = self.gave_way || Pin::new(&mut self.gives_way).poll(context).is_ready();
        if self.gave_way {
            Err(room_for_another())
        } else {
            Ok(())
        }
    }

    /// Gives up on what is written where the other side has taken none of it for too long.
    fn progress(
        &mut self,
        context: &mut TaskContext<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            let stalled = || Box::pin(sleep(WRITTEN_WITHIN));
            let stalled = self.stalled.get_or_insert_with(stalled);
            if stalled.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the other side reads nothing",
                )));
            }
        } else {
            self.stalled = None;
            self.place.note_activity();
        }
        written
    }
}

fn room_for_another() -> io::Error {
    io::Error::other("the connection gave way to another")
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stay(context)?;
        if self.taken < self.first.len() {
            let end = self.first.len().min(self.taken + buffer.remaining());
            buffer.put_slice(&self.first[self.taken..end]);
            self.taken = end;
            return Poll::Ready(Ok(()));
        }
        if self.has_answered {
            // That was worked on, and more is wanted: the next one's turn.
            self.going_on = None;
        }
        if let Some(turn) = self.turn.take() {
            self.first = Vec::new();
            self.taken = 0;
            let (going_on, over) = oneshot::channel();
            self.going_on = Some(going_on);
            tokio::spawn(async move {
                // Over, or out of time: both end the turn.
                drop(timeout(ANSWER_WITHIN, over).await);
                drop(turn);
            });
        }
        if self.bytes.is_used_up() {
            // Who asked for that bound is given the word: it looks whenever there is nothing to read.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.has_answered = true;
            self.place.note_activity();
        }
        self.bytes.was_read(count);
        read
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stay(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stay(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.progress(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::ConnectionCap;
    use super::*;

    async fn held(listener: &TcpListener, near: SocketAddr) -> (TcpStream, Held) {
        held_of(listener, near, &ConnectionCap::new(1)).await
    }

    async fn held_of(
        listener: &TcpListener,
        near: SocketAddr,
        cap: &ConnectionCap,
    ) -> (TcpStream, Held) {
        let far = TcpStream::connect(near).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (place, gives_way) = cap.take(None, near.ip()).unwrap();
        (
            far,
            Held::new(stream, place, gives_way, BytesLeft::default()),
        )
    }

    /// threat M: who sends and never reads is given up, and who reads slowly is not.
    #[tokio::test]
    async fn threat_m_who_never_reads_does_not_keep_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut far, mut near) = held(&listener, address).await;
        let piece = vec![7; 256 * 1024];
        // Fills what the system buffers.
        while timeout(Duration::from_millis(50), near.write_all(&piece))
            .await
            .is_ok()
        {}
        tokio::time::pause();
        assert!(near.stalled.is_some());
        tokio::time::advance(WRITTEN_WITHIN - Duration::from_secs(1)).await;
        tokio::time::resume();
        // It reads at last, and is no longer stalled.
        let mut read = vec![0; 4 * 1024 * 1024];
        while timeout(Duration::from_millis(50), near.write(&piece))
            .await
            .is_err()
        {
            assert!(far.read(&mut read).await.unwrap() > 0);
        }
        while timeout(Duration::from_millis(50), near.write_all(&piece))
            .await
            .is_ok()
        {}
        tokio::time::pause();
        let error = near.write_all(&piece).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// threat M: whatever a connection waits for, it ends when it has to give way.
    #[tokio::test]
    async fn threat_m_who_has_to_give_way_does_so_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cap = ConnectionCap::new(1);
        let (_far, mut near) = held_of(&listener, address, &cap).await;
        let reads = tokio::spawn(async move { near.read(&mut [0]).await.is_err() });
        // Before its hello.
        let (_far, mut near) = held_of(&listener, address, &cap).await;
        assert!(reads.await.unwrap());
        let turns = Turns::new(1);
        let source = Source::of(address.ip());
        let waits = tokio::spawn(async move { near.wait_for_turn(source, &turns).await.is_err() });
        let (_far, _near) = held_of(&listener, address, &cap).await;
        assert!(waits.await.unwrap());
    }

    /// threat M: who says nothing, or only begins its hello, has no turn; who said it keeps its turn only for a moment after
    /// we have answered, and not until the other side goes on.
    #[tokio::test]
    async fn threat_m_a_turn_is_only_had_by_whom_there_is_work_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = Source::of(address.ip());
        let turns = Turns::new(1);
        let mut stalled = Vec::new();
        for said in [&b""[..], b"\x16", b"\x16\x03\x01\x00\x03ab"] {
            let (mut far, mut near) = held(&listener, address).await;
            far.write_all(said).await.unwrap();
            let turns = turns.clone();
            let waits =
                tokio::spawn(async move { near.wait_for_turn(source, &turns).await.is_ok() });
            stalled.push((far, waits));
        }
        for _ in 0..3 {
            let (mut far, mut near) = held(&listener, address).await;
            far.write_all(b"\x16\x03\x01\x00\x03abc").await.unwrap();
            near.wait_for_turn(source, &turns).await.unwrap();
            let mut hello = [0; 8];
            near.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"\x16\x03\x01\x00\x03abc");
            // The far side never goes on: waiting for it gives the turn to the next one.
            let mut more = [0];
            let goes_on = near.read(&mut more);
            tokio::select! {
                biased;
                _ = goes_on => panic!("nothing more was said"),
                () = std::future::ready(()) => {}
            }
            stalled.push((
                far,
                tokio::spawn(async move {
                    drop(near);
                    false
                }),
            ));
        }
        assert!(stalled[..3].iter().all(|(_, waits)| !waits.is_finished()));
        // It goes on, and has its turn.
        let (mut far, waits) = stalled.swap_remove(2);
        far.write_all(b"c").await.unwrap();
        assert!(waits.await.unwrap());
    }
}
