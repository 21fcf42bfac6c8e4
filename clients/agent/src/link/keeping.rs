//! What a server tells a client to keep: on disk before it is confirmed, one after the other, while the link goes on.
//!
//! A sync of the disk may take longer than a ping may wait for its answer, so the link's loop polls the write beside all else.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;

use link_protocol::{AddressList, AnchorList, ClientFrame, Secret, Settings};

use super::{Ended, Link};
use crate::endpoint::Endpoint;
use crate::store::{State, StoreError};

/// How far the time the site was last there may be behind on disk while a link stands. Unit: seconds.
const SEEN_WITHIN: u64 = 60;

/// Something to keep.
pub(super) enum Change {
    /// A new token, confirmed only when it is on disk. One that can't be kept is not confirmed, so that the present one stays
    /// good.
    Token(Secret),
    /// An anchor list, taken over if it is newer; which version is held is said either way.
    Anchors(AnchorList),
    /// The site's addresses, taken over if the list is newer; which version is held is said either way.
    Addresses(AddressList),
    /// How to be; it holds also where the server can't be reached (CLNT-19).
    Settings(Box<Settings>),
    /// That the site was there.
    Seen,
    /// That this connection has worked, and with it an address and a list of anchors.
    Worked,
}

impl Change {
    const fn what(&self) -> &'static str {
        match self {
            Self::Token(_) => "a new identity token",
            Self::Anchors(_) => "new trust anchors",
            Self::Addresses(_) => "new addresses of the site",
            Self::Settings(_) => "the site's settings",
            Self::Seen => "when the server was there",
            Self::Worked => "which address and anchors work",
        }
    }
}

type Writing = Pin<Box<dyn Future<Output = Result<State, StoreError>> + Send>>;

/// What is on its way to the disk.
#[derive(Default)]
pub(super) struct Keeping {
    /// One of a kind at most: a later one takes the place of one that waits.
    waiting: VecDeque<Change>,
    writing: Option<(Change, Writing)>,
}

impl Keeping {
    /// Whether all is on disk.
    pub(super) fn is_done(&self) -> bool {
        self.writing.is_none() && self.waiting.is_empty()
    }

    /// What became of the write under way; never, where there is none.
    pub(super) async fn written(&mut self) -> Result<State, StoreError> {
        match &mut self.writing {
            Some((_, writing)) => writing.await,
            None => pending().await,
        }
    }
}

impl Link<'_> {
    /// Keeps `change` once what came before it is kept.
    pub(super) async fn keep(&mut self, change: Change) -> Result<(), Ended> {
        let waiting = &mut self.keeping.waiting;
        let kind = std::mem::discriminant(&change);
        waiting.retain(|other| std::mem::discriminant(other) != kind);
        waiting.push_back(change);
        self.begin_writing().await
    }

    /// Takes over what was written, says so, and begins with the next.
    pub(super) async fn wrote(&mut self, written: Result<State, StoreError>) -> Result<(), Ended> {
        if let Some(change) = self.take_written(written) {
            self.confirm(change).await?;
        }
        self.begin_writing().await
    }

    /// Writes what still waits when the link is over, when nothing can be confirmed any more.
    pub(super) async fn keep_the_rest(&mut self) {
        loop {
            if self.keeping.writing.is_some() {
                let written = self.keeping.written().await;
                self.take_written(written);
            }
            let Some(change) = self.keeping.waiting.pop_front() else {
                return;
            };
            if let Some(next) = self.with(&change) {
                self.keeping.writing = Some((change, Box::pin(self.store.writing(next))));
            }
        }
    }

    async fn begin_writing(&mut self) -> Result<(), Ended> {
        while self.keeping.writing.is_none()
            && let Some(change) = self.keeping.waiting.pop_front()
        {
            match self.with(&change) {
                Some(next) => {
                    self.keeping.writing = Some((change, Box::pin(self.store.writing(next))));
                }
                None => self.confirm(change).await?,
            }
        }
        Ok(())
    }

    /// The change that is on disk now; none where it could not be kept.
    fn take_written(&mut self, written: Result<State, StoreError>) -> Option<Change> {
        let (change, _) = self.keeping.writing.take()?;
        match written {
            Ok(state) => {
                self.store.took(state);
                Some(change)
            }
            Err(error) => {
                tracing::error!(%error, "{} could not be kept", change.what());
                None
            }
        }
    }

    async fn confirm(&mut self, change: Change) -> Result<(), Ended> {
        match change {
            Change::Token(_) => {
                tracing::info!("identity token replaced");
                self.send(ClientFrame::TokenStored {}).await
            }
            Change::Anchors(_) => {
                let version = self.state().anchors.version;
                tracing::debug!(version, "trust anchors held");
                self.send(ClientFrame::AnchorsStored { version }).await
            }
            Change::Addresses(_) => {
                let version = self.state().addresses_version;
                tracing::debug!(version, "addresses held");
                self.send(ClientFrame::AddressesStored { version }).await
            }
            Change::Settings(_) | Change::Seen | Change::Worked => Ok(()),
        }
    }

    /// The state with `change`; none where that is the same as on disk, or as good.
    fn with(&self, change: &Change) -> Option<State> {
        let held = self.state();
        let mut next = held.clone();
        let now = self.clock.now();
        match change {
            Change::Token(token) => next.client.as_mut()?.token = token.clone(),
            Change::Anchors(anchors) => {
                if !anchors.supersedes(&held.anchors) {
                    return None;
                }
                next.take_anchors(anchors.clone());
            }
            Change::Addresses(addresses) => {
                // One that this program can't read would lock it out.
                let is_of_use = addresses
                    .urls
                    .iter()
                    .any(|url| url.parse::<Endpoint>().is_ok());
                if addresses.version <= held.addresses_version || !is_of_use {
                    return None;
                }
                next.take_addresses(addresses.clone(), &self.url);
            }
            Change::Settings(settings) => {
                let is_fresh = held
                    .seen_at
                    .is_some_and(|seen_at| seen_at.abs_diff(now) < SEEN_WITHIN);
                if is_fresh && held.settings.as_ref() == Some(settings.as_ref()) {
                    return None;
                }
                next.settings = Some(settings.as_ref().clone());
                next.seen_at = Some(now);
            }
            Change::Seen => next.seen_at = Some(now),
            Change::Worked => {
                next.worked(&self.url, self.trusted);
                if next == *held {
                    return None;
                }
            }
        }
        Some(next)
    }
}
