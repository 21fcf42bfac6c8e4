//! A TCP proxy before PostgreSQL that is slow, or cuts the line when COMMIT is on it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It passes.
    Pass,
    /// It passes after a while, a longer one for COMMIT.
    Slow,
    /// The next COMMIT reaches the server and is carried out, its answer does not come back.
    CutAfterCommit,
    /// The next COMMIT is lost, and the server learns that the line is dead.
    CutBeforeCommit,
    /// The next COMMIT is lost, and the server does not learn that the line is dead.
    HangBeforeCommit,
}

/// A proxy that lives as long as this value.
pub(crate) struct Proxy {
    pub(crate) url: String,
    plan: Arc<Mutex<Plan>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Stands before the server of `url`.
    pub(crate) async fn start(url: &str, plan: Plan) -> Proxy {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let url = options
            .host("127.0.0.1")
            .port(port)
            .to_url_lossy()
            .to_string();
        let plan = Arc::new(Mutex::new(plan));
        let mut accepting = JoinSet::new();
        let shared = Arc::clone(&plan);
        accepting.spawn(async move {
            // Ends, and closes every line, with the proxy.
            let mut lines = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server)
                    .await
                    .expect("the server answers");
                client.set_nodelay(true).expect("set");
                server.set_nodelay(true).expect("set");
                lines.spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Proxy {
            url,
            plan,
            _accepting: accepting,
        }
    }

    /// Changes what happens from now on.
    pub(crate) fn set(&self, plan: Plan) {
        *self.plan.lock().expect("not poisoned") = plan;
    }

    /// What happens now; a cut that was made leaves `Pass`.
    pub(crate) fn plan(&self) -> Plan {
        *self.plan.lock().expect("not poisoned")
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, plan: Arc<Mutex<Plan>>) {
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let chunk = &up[..length];
                let commits = chunk.windows(7).any(|window| window == b"COMMIT\0");
                let now = {
                    let mut plan = plan.lock().expect("not poisoned");
                    let now = *plan;
                    if commits && !matches!(now, Plan::Pass | Plan::Slow) {
                        *plan = Plan::Pass;
                    }
                    now
                };
                match now {
                    Plan::Slow if commits => tokio::time::sleep(Duration::from_millis(8)).await,
                    Plan::Slow => tokio::time::sleep(Duration::from_millis(1)).await,
                    Plan::CutAfterCommit if commits => {
                        server.write_all(chunk).await.expect("sent");
                        // The answer is here: it was carried out. It goes no further.
                        let answer = server.read(&mut down).await.expect("answered");
                        assert!(answer > 0, "the server hung up");
                        return;
                    }
                    Plan::CutBeforeCommit if commits => return,
                    Plan::HangBeforeCommit if commits => {
                        drop(client);
                        // Until the server gives up by itself.
                        while let Ok(1..) = server.read(&mut down).await {}
                        return;
                    }
                    _ => {}
                }
                if server.write_all(chunk).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
