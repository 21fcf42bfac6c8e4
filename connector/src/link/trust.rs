//! The site's trust anchors and addresses on one link: told where they are newer, and written down once they are stored.

use std::time::Duration;

use domain::site::agent_trust::Confirmed;
use link_protocol::{ServerFrame, version};
use tokio::time::Instant;

use super::{Talk, send};
use crate::mailbox::End;
use crate::saying::Saying;
use crate::transport::Transport;

impl Talk<'_> {
    /// Tells the client what to trust and where the site is, as far as that is newer than what it was told.
    pub(super) async fn send_trust<T: Transport>(&mut self, transport: &mut T) -> Result<(), End> {
        let inner = &self.hub.0;
        let anchors = inner.anchors();
        if anchors.version > self.told_trust.anchors {
            self.told_trust.anchors = anchors.version;
            send(inner, transport, ServerFrame::Anchors(anchors)).await?;
        }
        if self.protocol < version::WITH_ADDRESSES {
            return Ok(());
        }
        match inner.addresses() {
            Some(addresses) if addresses.version > self.told_trust.addresses => {
                self.told_trust.addresses = addresses.version;
                send(inner, transport, ServerFrame::Addresses(addresses)).await
            }
            _ => Ok(()),
        }
    }

    /// Writes down which lists the client has on disk, where that is news.
    pub(super) fn confirm_trust(&mut self, stored: Confirmed) -> Result<(), End> {
        self.confirm_at = None;
        self.stored_trust.anchors = self.stored_trust.anchors.max(stored.anchors);
        self.stored_trust.addresses = self.stored_trust.addresses.max(stored.addresses);
        let published = self.hub.0.engine.published();
        let known = published
            .world
            .endpoint(self.client)
            .map(|client| client.trust_confirmed);
        let is_news = known.is_some_and(|known| {
            self.stored_trust.anchors > known.anchors
                || self.stored_trust.addresses > known.addresses
        });
        if !is_news {
            return Ok(());
        }
        self.say(Saying::ConfirmTrust(self.stored_trust))
    }

    /// A list that changes is confirmed by all at once, which the log need not take at once.
    pub(super) fn confirm_trust_later(&mut self) {
        let pause = Duration::from_millis(self.hub.0.later_ms());
        self.confirm_at = Some(Instant::now() + pause);
    }
}
