//! The sessions kept here. Protocol 1 carries no bytes of a session yet: it is accepted, reported
//! started, and kept until its end.

use std::collections::BTreeMap;

use link_protocol::limits::SESSIONS_MAX;
use link_protocol::{ClientFrame, EndSession, SessionEndReason, SessionFailReason, StartSession};

/// The sessions kept here; they outlive a connection.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Display name of the user by session.
    open: BTreeMap<String, String>,
}

impl Sessions {
    /// Starts a session, and says what to answer. One that is up is answered again.
    pub fn start(&mut self, start: StartSession) -> ClientFrame {
        let StartSession {
            lsid,
            user_display_name,
            ..
        } = start;
        if !self.open.contains_key(&lsid) {
            if self.open.len() >= SESSIONS_MAX {
                tracing::warn!(lsid, "session refused, too many are open");
                let reason = SessionFailReason::TooManySessions;
                return ClientFrame::SessionFailed {
                    lsid,
                    reason,
                    detail: String::new(),
                };
            }
            tracing::info!(lsid, user = user_display_name, "session started");
            self.open.insert(lsid.clone(), user_display_name);
        }
        ClientFrame::SessionStarted { lsid }
    }

    /// Ends a session, and says what to answer.
    pub fn end(&mut self, end: EndSession) -> ClientFrame {
        let EndSession { lsid, reason } = end;
        let reason = match self.open.remove(&lsid) {
            Some(_) => {
                tracing::info!(lsid, reason, "session ended");
                SessionEndReason::Asked
            }
            None => SessionEndReason::UnknownSession,
        };
        ClientFrame::SessionEnded { lsid, reason }
    }

    /// Ends all sessions because the agent stops, and says what to send.
    pub fn end_all(&mut self) -> Vec<ClientFrame> {
        let reason = SessionEndReason::Stopping;
        std::mem::take(&mut self.open)
            .into_keys()
            .map(|lsid| ClientFrame::SessionEnded {
                lsid,
                reason: reason.clone(),
            })
            .collect()
    }

    /// Drops all sessions without a word, because the server will hear no more from this client.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// The sessions kept, by name.
    #[must_use]
    pub fn lsids(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(lsid: &str) -> StartSession {
        let (lsid, user_display_name) = (lsid.to_owned(), "Anna".to_owned());
        StartSession {
            lsid,
            user_display_name,
            answer_within_ms: 1,
        }
    }

    fn end(lsid: &str) -> EndSession {
        EndSession {
            lsid: lsid.to_owned(),
            reason: String::new(),
        }
    }

    fn ended(lsid: &str, reason: SessionEndReason) -> ClientFrame {
        ClientFrame::SessionEnded {
            lsid: lsid.to_owned(),
            reason,
        }
    }

    #[test]
    fn repeated_orders_are_answered_by_what_is() {
        let mut sessions = Sessions::default();
        let started = ClientFrame::SessionStarted {
            lsid: "a".to_owned(),
        };
        assert_eq!(sessions.start(start("a")), started);
        assert_eq!(sessions.start(start("a")), started);
        assert_eq!(sessions.lsids(), ["a"]);
        assert_eq!(sessions.end(end("a")), ended("a", SessionEndReason::Asked));
        assert_eq!(
            sessions.end(end("a")),
            ended("a", SessionEndReason::UnknownSession)
        );
        assert!(sessions.lsids().is_empty());
    }

    #[test]
    fn as_many_are_kept_as_a_hello_can_name() {
        let mut sessions = Sessions::default();
        for number in 0..SESSIONS_MAX {
            assert!(matches!(
                sessions.start(start(&number.to_string())),
                ClientFrame::SessionStarted { .. }
            ));
        }
        assert!(matches!(
            sessions.start(start("one-more")),
            ClientFrame::SessionFailed { .. }
        ));
        assert!(matches!(
            sessions.start(start("0")),
            ClientFrame::SessionStarted { .. }
        ));
        assert_eq!(sessions.end_all().len(), SESSIONS_MAX);
        assert!(sessions.lsids().is_empty());
    }
}
