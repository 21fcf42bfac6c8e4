//! The socket in the site's directory on which a running server takes orders from whoever owns it: mode 0600, nothing of
//! it is reachable over the network.
//!
//! One order a connection, a line of words; the answer is lines: any number of `progress N`, then `done` or `error WHY`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use domain::ids::{SecretRef, UserId};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::essential::next_ended;
use crate::place;

/// Longest order. Unit: bytes.
const ORDER_BYTES_MAX: u64 = 8 * 1024;

/// How long an order may take to arrive.
const ORDER_WITHIN: Duration = Duration::from_secs(5);

/// Orders at once; more wait to be accepted.
const ORDERS_MAX: usize = 8;

/// Longest name of a socket that systems take.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// What a running server can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Drop a read model and fold it anew.
    Rebuild {
        /// Which.
        name: String,
    },
    /// Put a new password of an administrator in place.
    ResetAdministrator {
        /// Whose.
        user: UserId,
        /// The reference of the sealed hash.
        reference: SecretRef,
        /// The sealed hash: that it opens proves that the caller has the key file.
        sealed: Vec<u8>,
    },
}

/// Carries out orders. Progress may be told on the way.
pub trait Carrier: Send + Sync + 'static {
    /// Carries one out.
    fn carry_out(&self, order: Order, progress: mpsc::Sender<u64>) -> BoxFuture<'_, Result<()>>;
}

impl Order {
    fn to_line(&self) -> String {
        match self {
            Self::Rebuild { name } => format!("rebuild {name}\n"),
            Self::ResetAdministrator {
                user,
                reference,
                sealed,
            } => {
                format!(
                    "reset-administrator {user} {} {}\n",
                    reference.0,
                    hex::encode(sealed)
                )
            }
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["rebuild", name] => Some(Self::Rebuild {
                name: (*name).to_owned(),
            }),
            ["reset-administrator", user, reference, sealed]
                if reference.len() == 32
                    && reference.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                Some(Self::ResetAdministrator {
                    user: user.parse().ok()?,
                    reference: SecretRef((*reference).to_owned()),
                    sealed: hex::decode(sealed).ok()?,
                })
            }
            _ => None,
        }
    }
}

/// The listening socket.
pub struct Control {
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Control {
    /// Listens on `path`; a socket left there by an earlier run is replaced. The caller holds the directory's lock.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(path: PathBuf, carrier: Arc<dyn Carrier>) -> Result<Self> {
        let listener = bind(&path).with_context(|| format!("listening on {}", path.display()))?;
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, carrier, stopped));
        Ok(Self { path, stop, task })
    }

    /// Ends when the task that listens has, which it does not before it is shut down unless it failed.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        next_ended(&mut self.task).await
    }

    /// Takes no more orders, waits for those under way, and removes the socket.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.task.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the control socket ended badly");
            }
        }
        if let Err(error) = place::remove_if_there(&self.path) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the control socket could not be removed"
            );
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    place::remove_if_there(path)?;
    let listener = match short(path)? {
        Short::As(path) => UnixListener::bind(path)?,
        Short::Through(folder, path) => {
            let listener = UnixListener::bind(path)?;
            drop(folder);
            listener
        }
    };
    // The directory is its owner's alone already; this is the second lock on the same door.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A name of a socket that is short enough for the system.
enum Short {
    As(PathBuf),
    /// Through the open folder, which must stay open meanwhile.
    Through(std::fs::File, PathBuf),
}

fn short(path: &Path) -> io::Result<Short> {
    use std::os::fd::AsRawFd;
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(Short::As(path.to_owned()));
    }
    let folder = std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?;
    let through = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let short = through.join(path.file_name().unwrap_or_default());
    Ok(Short::Through(folder, short))
}

async fn accept(
    listener: UnixListener,
    carrier: Arc<dyn Carrier>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut orders = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if orders.len() < ORDERS_MAX => match accepted {
                Ok((stream, _)) => {
                    let carrier = Arc::clone(&carrier);
                    orders.spawn(async move {
                        if let Err(error) = serve(stream, &*carrier).await {
                            tracing::debug!(error = format!("{error:#}"), "an order came to nothing");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the control socket accepts nothing");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
            Some(_) = orders.join_next() => {}
            () = told(&mut stopped) => break,
        }
    }
    while orders.join_next().await.is_some() {}
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    // What is returned holds a lock, which must not live on in the caller's arms.
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn serve(stream: UnixStream, carrier: &dyn Carrier) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(ORDER_BYTES_MAX));
    timeout(ORDER_WITHIN, reader.read_line(&mut line))
        .await
        .context("no order came")??;
    let Some(order) = Order::from_line(&line) else {
        write
            .write_all(b"error this is no order that this version knows\n")
            .await?;
        return Ok(());
    };
    let (progress, mut told) = mpsc::channel(16);
    let mut carried = carrier.carry_out(order, progress);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(position) = told.recv() => tell(&mut write, position).await,
            outcome = &mut carried => break outcome,
        }
    };
    // What was told at the very end.
    while let Ok(position) = told.try_recv() {
        tell(&mut write, position).await;
    }
    let answer = match outcome {
        Ok(()) => "done\n".to_owned(),
        Err(error) => format!("error {}\n", format!("{error:#}").replace('\n', " ")),
    };
    write.write_all(answer.as_bytes()).await?;
    Ok(())
}

async fn tell(write: &mut OwnedWriteHalf, position: u64) {
    // Whoever asked may have gone; the order is carried out all the same.
    let _ = write
        .write_all(format!("progress {position}\n").as_bytes())
        .await;
}

/// Gives an order to the server that runs on the site of `path`. Returns false if none runs.
///
/// # Errors
/// The server could not carry it out, or went away.
pub async fn give(path: &Path, order: &Order, mut progress: impl FnMut(u64)) -> Result<bool> {
    let connected = match short(path) {
        Ok(Short::As(path)) => UnixStream::connect(path).await,
        Ok(Short::Through(folder, path)) => {
            let stream = UnixStream::connect(path).await;
            drop(folder);
            stream
        }
        Err(error) => Err(error),
    };
    let stream = match connected {
        Ok(stream) => stream,
        // Nobody listens: never did, or was killed and left the name behind.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(false);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("connecting to {}", path.display()));
        }
    };
    let (read, mut write) = stream.into_split();
    write
        .write_all(order.to_line().as_bytes())
        .await
        .context("asking the running server")?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines
        .next_line()
        .await
        .context("waiting for the running server")?
    {
        match line.split_once(' ') {
            Some(("progress", position)) => progress(position.parse().unwrap_or(0)),
            Some(("error", why)) => bail!("the running server says: {why}"),
            _ => {
                ensure!(
                    line == "done",
                    "the running server answers with something else than expected"
                );
                return Ok(true);
            }
        }
    }
    Err(anyhow!("the running server went away before it was done"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Carrier for Echo {
        fn carry_out(
            &self,
            order: Order,
            progress: mpsc::Sender<u64>,
        ) -> BoxFuture<'_, Result<()>> {
            Box::pin(async move {
                progress.send(5).await?;
                match order {
                    Order::Rebuild { name } if name == "report" => Ok(()),
                    other => bail!("no such thing:\n{other:?}"),
                }
            })
        }
    }

    async fn asked(path: &Path) {
        let control = Control::listen(path.to_owned(), Arc::new(Echo)).unwrap();
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let mut told = Vec::new();
        let order = |name: &str| Order::Rebuild {
            name: name.to_owned(),
        };
        assert!(
            give(path, &order("report"), |position| told.push(position))
                .await
                .unwrap()
        );
        assert_eq!(told, [5]);
        let error = give(path, &order("other"), |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
        control.shut_down().await;
        assert!(!give(path, &order("report"), |_| {}).await.unwrap());
    }

    #[tokio::test]
    async fn an_order_is_carried_out_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        asked(&folder.path().join("control")).await;
        let deep = folder.path().join("a-long-name".repeat(12));
        std::fs::create_dir(&deep).unwrap();
        asked(&deep.join("control")).await;
    }

    #[tokio::test]
    async fn nonsense_and_silence_are_answered_and_a_left_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(
            !give(
                &path,
                &Order::Rebuild {
                    name: "report".to_owned()
                },
                |_| {}
            )
            .await
            .unwrap()
        );
        let control = Control::listen(path.clone(), Arc::new(Echo)).unwrap();
        for nonsense in [
            "\n",
            "rebuild\n",
            "rebuild a b\n",
            "reset-administrator 1 zz 00\n",
            "drop everything\n",
        ] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(nonsense.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("error "), "{nonsense:?} {answer}");
        }
        control.shut_down().await;
    }

    #[test]
    fn orders_read_back_as_written() {
        for order in [
            Order::Rebuild {
                name: "report".to_owned(),
            },
            Order::ResetAdministrator {
                user: UserId(7),
                reference: SecretRef("0f".repeat(16)),
                sealed: vec![0, 255, 3],
            },
        ] {
            assert_eq!(Order::from_line(&order.to_line()), Some(order));
        }
    }
}
