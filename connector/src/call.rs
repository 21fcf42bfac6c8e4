//! A passive client is asked to come (CLNT-02, SESS-27): at every address it was seen with or says it has, where the site may
//! send anything at all.
//!
//! What it answers proves nothing. It is believed when it has come by the link and shown its token, and the session begins.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::fleet::jump_client::JumpClient;
use domain::ids::{JumpClientId, Lsid};
use domain::session::access_session::{self, Failure};
use domain::{Actor, Cause, Command, Surface};
use engine::{Lane, Submission};
use link_protocol::call::{self, Answer, Call, LINE_BYTES_MAX};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hub::Inner;
use crate::outbound::Networks;

/// Clients that are called at once; the others wait for their turn, and their sessions for no longer than any start.
pub(crate) const AT_ONCE_MAX: usize = 64;
/// How long one address may take for all of it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What came of a call at one address.
#[derive(Debug, PartialEq, Eq)]
enum Called {
    Coming,
    /// Another client, or one that is none.
    SomebodyElse(&'static str),
    NotReached(String),
}

/// Calls the client of a session that is to start. Where nobody comes, the session's start fails with the reason.
pub(crate) async fn call(inner: Arc<Inner>, lsid: Lsid, client: JumpClientId) {
    let Ok(_turn) = inner.calls.acquire().await else {
        return;
    };
    let published = inner.engine.published();
    let Some(known) = published.world.endpoint(client).cloned() else {
        return;
    };
    let networks = Networks::read(&published.world.settings.outbound_networks);
    drop(published);
    let port = known.facts.listen_port;
    let mut under_way = JoinSet::new();
    for host in hosts(&known) {
        let (inner, networks) = (Arc::clone(&inner), networks.clone());
        under_way.spawn(async move {
            let called = timeout(
                ANSWERED_WITHIN,
                call_at(&inner, &host, port, &networks, client),
            );
            let called = called
                .await
                .unwrap_or_else(|_| Called::NotReached("no answer in time".to_owned()));
            (host, called)
        });
    }
    let mut failure = Failure::NotReached;
    let mut detail = Vec::new();
    while let Some(called) = under_way.join_next().await {
        match called {
            // Dropping the others ends them.
            Ok((_, Called::Coming)) => return,
            Ok((host, Called::SomebodyElse(who))) => {
                failure = Failure::Identity;
                detail.push(format!("{host}: {who}"));
            }
            Ok((host, Called::NotReached(why))) => detail.push(format!("{host}: {why}")),
            Err(error) => tracing::error!(%error, "a call ended badly"),
        }
    }
    if detail.is_empty() {
        detail.push("no address is known".to_owned());
    }
    detail.sort();
    let command = access_session::Command::FailCall {
        lsid,
        failure,
        detail: detail.join("; "),
    };
    let cause = Cause {
        actor: Actor::System,
        surface: Surface::Link,
        address: None,
    };
    let submission = Submission::new(Command::AccessSession(command), cause, Lane::Integrations);
    if let Err(error) = inner.engine.execute(submission).await {
        // The start has a due date of its own.
        tracing::warn!(error = &error as &dyn std::error::Error, %lsid, "that a client does not come was not written down");
    }
}

/// Where a client may be: the address it last came from, the one it says it has, and its names. Each once.
fn hosts(client: &JumpClient) -> Vec<String> {
    let came_from = client
        .public_ip
        .parse::<SocketAddr>()
        .map_or_else(|_| client.public_ip.clone(), |peer| peer.ip().to_string());
    let facts = &client.facts;
    let mut hosts = Vec::new();
    for host in [&came_from, &facts.private_ip, &facts.fqdn, &facts.hostname] {
        if !host.is_empty() && !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

async fn call_at(
    inner: &Inner,
    host: &str,
    port: u16,
    networks: &Networks,
    client: JumpClientId,
) -> Called {
    if port == 0 {
        return Called::NotReached("it listens on no port".to_owned());
    }
    let addresses = match inner.outbound.addresses(host, port, networks).await {
        Ok(addresses) => addresses,
        Err(error) => return Called::NotReached(error.to_string()),
    };
    talk(&addresses, client)
        .await
        .unwrap_or_else(|error| Called::NotReached(error.to_string()))
}

async fn talk(addresses: &[SocketAddr], client: JumpClientId) -> std::io::Result<Called> {
    let mut stream = TcpStream::connect(addresses).await?;
    let wanted = u64::from(client.0);
    let mut line = serde_json::to_vec(&Call { call: wanted })?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    let mut bounded = BufReader::new(stream.take(LINE_BYTES_MAX as u64));
    bounded.read_until(b'\n', &mut answer).await?;
    let answer = str::from_utf8(&answer).unwrap_or_default();
    Ok(match call::read::<Answer>(answer.trim_end()) {
        Ok(answer) if answer.client_id != wanted => {
            Called::SomebodyElse("another Jump Client answers")
        }
        Ok(answer) if answer.coming => Called::Coming,
        Ok(_) => Called::NotReached("it does not come now".to_owned()),
        Err(_) => Called::SomebodyElse("no Jump Client answers"),
    })
}
