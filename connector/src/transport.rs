//! What the socket of an agent must be able to do.

use std::future::Future;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text frame, not longer than the link allows.
    Text(String),
    /// A binary frame, which protocol 1 has none of.
    Binary,
    /// A frame longer than the link allows.
    TooBig,
    /// A ping or pong of the WebSocket itself: it means nothing, and counts as a frame.
    Control,
    /// Many more bytes than the frames in them: parts of frames that never end, or hold nothing.
    TooMuch,
}

/// The agent can't be reached over this socket any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's connection is gone")]
pub struct Gone;

/// A WebSocket whose upgrade has been accepted.
pub trait Transport: Send {
    /// The agent has proven who it is.
    fn authenticated(&mut self) {}

    /// The next frame; none once the socket is gone or was closed by the agent. Giving up on it half way loses nothing.
    fn receive(&mut self) -> impl Future<Output = Option<Incoming>> + Send;

    /// Sends a text frame.
    ///
    /// # Errors
    /// [`Gone`] when the agent can't be reached any more.
    fn send(&mut self, text: String) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Closes with a code and a reason, as far as the agent still listens.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
