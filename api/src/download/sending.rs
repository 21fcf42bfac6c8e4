//! The bytes of a download, made while they are sent: nothing of a program is held beyond one piece of it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use link_protocol::package::TRAILER_BYTES;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::error::Problem;

/// Largest piece that is held. Unit: bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a piece waits to be taken: who reads slower has no line any more, or wants to hold on to what others need.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

/// How long a download may take: over a line of 100 kB/s a program of 60 MB arrives in 10 minutes.
const SENT_WITHIN: Duration = Duration::from_secs(1_800);

/// What is sent.
pub(super) struct Download<T> {
    /// Before the program.
    pub(super) head: Vec<u8>,
    /// The program.
    pub(super) program: File,
    /// Its length. Unit: bytes.
    pub(super) program_bytes: u64,
    /// Whether a sum over all comes last.
    pub(super) summed: bool,
    /// Under which name it is kept.
    pub(super) file_name: String,
    /// What keeps the turn, until all is sent.
    pub(super) turn: T,
}

/// How far it is.
enum Stage {
    Head(Vec<u8>),
    Program { left: u64 },
    Trailer,
    Over,
}

struct Sending<T> {
    stage: Stage,
    program: File,
    program_bytes: u64,
    sum: Option<Sha256>,
    until: Instant,
    _turn: T,
}

impl<T: Send + 'static> Download<T> {
    /// The answer.
    ///
    /// # Errors
    /// 500 if the file's name fits no header, which no name of ours does.
    pub(super) fn answer(self) -> Result<Response, Problem> {
        let trailer = if self.summed { TRAILER_BYTES } else { 0 };
        let length = self.head.len() as u64 + self.program_bytes + trailer;
        let disposition = format!("attachment; filename=\"{}\"", self.file_name);
        let disposition = HeaderValue::try_from(disposition).map_err(|_| Problem::internal())?;
        let sending = Sending {
            stage: Stage::Head(self.head),
            program: self.program,
            program_bytes: self.program_bytes,
            sum: self.summed.then(Sha256::new),
            until: Instant::now() + SENT_WITHIN,
            _turn: self.turn,
        };
        // A task of its own, so that a receiver who does not read ends it all the same, and gives its turn back.
        let (send, taken) = mpsc::channel(1);
        tokio::spawn(sending.run(send));
        let pieces = stream::unfold(taken, |mut taken| async move {
            let piece: std::io::Result<Bytes> = taken.recv().await?;
            Some((piece, taken))
        });
        let headers = [
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-executable"),
            ),
            (CONTENT_LENGTH, HeaderValue::from(length)),
            (CONTENT_DISPOSITION, disposition),
        ];
        Ok((StatusCode::OK, headers, Body::from_stream(pieces)).into_response())
    }
}

impl<T: Send + 'static> Sending<T> {
    async fn run(mut self, send: mpsc::Sender<std::io::Result<Bytes>>) {
        loop {
            let piece = match self.next().await {
                Ok(Some(piece)) => Ok(piece),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let is_last = piece.is_err();
            let sent = timeout(TAKEN_WITHIN, send.send(piece)).await;
            // What is missing then, the receiver sees by the length that was announced.
            if is_last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if Instant::now() > self.until {
            return Err(std::io::Error::other("the download took too long"));
        }
        let piece = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Head(head) => {
                self.stage = Stage::Program {
                    left: self.program_bytes,
                };
                if head.is_empty() {
                    return Box::pin(self.next()).await;
                }
                Bytes::from(head)
            }
            Stage::Program { left: 0 } => {
                self.stage = Stage::Trailer;
                return Box::pin(self.next()).await;
            }
            Stage::Program { left } => {
                let most = usize::try_from(left)
                    .unwrap_or(PIECE_BYTES)
                    .min(PIECE_BYTES);
                let mut piece = vec![0; most];
                let read = self.program.read(&mut piece).await?;
                if read == 0 {
                    // Shorter than it was: the receiver sees that something is missing.
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                piece.truncate(read);
                self.stage = Stage::Program {
                    left: left - read as u64,
                };
                Bytes::from(piece)
            }
            Stage::Trailer => match self.sum.take() {
                Some(sum) => {
                    return Ok(Some(Bytes::from(format!(
                        "{}\n",
                        hex::encode(sum.finalize())
                    ))));
                }
                None => return Ok(None),
            },
            Stage::Over => return Ok(None),
        };
        if let Some(sum) = &mut self.sum {
            sum.update(&piece);
        }
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    use super::*;

    async fn download(
        folder: &tempfile::TempDir,
        turns: &Arc<Semaphore>,
    ) -> Download<OwnedSemaphorePermit> {
        let path = folder.path().join("program");
        std::fs::write(&path, vec![7; 3 * PIECE_BYTES]).unwrap();
        Download {
            head: b"head".to_vec(),
            program: File::open(&path).await.unwrap(),
            program_bytes: 3 * PIECE_BYTES as u64,
            summed: true,
            file_name: "x.bin".to_owned(),
            turn: Arc::clone(turns).acquire_owned().await.unwrap(),
        }
    }

    /// threat M: whoever does not read keeps no turn from others.
    #[tokio::test(start_paused = true)]
    async fn threat_m_a_receiver_who_does_not_read_gives_the_turn_back() {
        let (folder, turns) = (tempfile::tempdir().unwrap(), Arc::new(Semaphore::new(1)));
        let answer = download(&folder, &turns).await.answer().unwrap();
        // A second one gets its turn while the first is still held by whoever does not read it.
        let second = timeout(2 * TAKEN_WITHIN, download(&folder, &turns)).await;
        let whole = second
            .unwrap()
            .answer()
            .unwrap()
            .into_body()
            .collect()
            .await;
        let whole = whole.unwrap().to_bytes();
        assert_eq!(whole.len(), 4 + 3 * PIECE_BYTES + 65);
        assert!(whole.starts_with(b"head\x07"));
        // The first is seen to be cut.
        let cut = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(cut.len() < whole.len());
    }

    /// threat R: a program that got shorter meanwhile is no package.
    #[tokio::test]
    async fn threat_r_a_program_that_is_cut_meanwhile_is_seen_to_be_cut() {
        let (folder, turns) = (tempfile::tempdir().unwrap(), Arc::new(Semaphore::new(1)));
        let mut short = download(&folder, &turns).await;
        short.program_bytes += 1;
        assert!(short.answer().unwrap().into_body().collect().await.is_err());
    }
}
