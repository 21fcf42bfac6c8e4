//! The frames of one agent: how many there are, and what each says.

use std::collections::VecDeque;
use std::time::Duration;

use link_protocol::refusing::CloseCode;
use link_protocol::{ClientFrame, limits};
use tokio::time::Instant;

use crate::mailbox::End;
use crate::transport::Incoming;

/// Over how long frames are counted.
const FRAMES_WINDOW: Duration = Duration::from_secs(10);

/// Counts and reads the frames of one agent, from its first one on.
#[derive(Default)]
pub(super) struct Frames {
    /// When those came that still count, oldest first. Most agents say little, so there is room for few.
    came: VecDeque<Instant>,
}

impl Frames {
    /// Reads a frame; none where it means nothing.
    pub(super) fn read(&mut self, incoming: Incoming) -> Result<Option<ClientFrame>, End> {
        let now = Instant::now();
        let over = self
            .came
            .iter()
            .take_while(|came| now - **came >= FRAMES_WINDOW);
        self.came.drain(..over.count());
        if self.came.len() >= limits::FRAMES_PER_10_SECONDS_MAX as usize {
            return Err(End::with(CloseCode::TooManyFrames, "too many frames"));
        }
        self.came.push_back(now);
        match incoming {
            Incoming::Text(text) => ClientFrame::parse(&text)
                .map(Some)
                .map_err(|error| End::with(error.close_code(), "a frame was not right")),
            Incoming::Binary => Err(End::with(CloseCode::BinaryFrame, "a binary frame")),
            Incoming::TooBig => Err(End::with(CloseCode::FrameTooBig, "a frame was too big")),
            Incoming::Control => Ok(None),
            Incoming::TooMuch => Err(End::with(
                CloseCode::TooManyFrames,
                "many bytes and no frame",
            )),
        }
    }
}
