//! The newest figures of Jump Clients. They are measured at an endpoint, so they are kept by endpoint: its copies show them
//! as its first item does, also once that one is removed, and they go with the last of them.

use std::sync::Arc;

use dashmap::DashMap;
use domain::ids::JumpClientId;
use rustc_hash::FxBuildHasher;

/// The newest figures by endpoint.
#[derive(Debug, Default)]
pub(super) struct NewestFigures(DashMap<JumpClientId, OfEndpoint, FxBuildHasher>);

#[derive(Debug, Default)]
struct OfEndpoint {
    /// How many items share it; never 0.
    items: u32,
    figures: Option<Arc<[u8]>>,
}

impl NewestFigures {
    /// None, with room for so many endpoints.
    pub(super) fn with_room_for(endpoints: usize) -> Self {
        Self(DashMap::with_capacity_and_hasher(endpoints, FxBuildHasher))
    }

    /// One more item of `endpoint` is listed.
    pub(super) fn listed(&self, endpoint: JumpClientId) {
        self.0.entry(endpoint).or_default().items += 1;
    }

    /// One item of `endpoint` is gone.
    pub(super) fn gone(&self, endpoint: JumpClientId) {
        self.0.remove_if_mut(&endpoint, |_, of| {
            of.items = of.items.saturating_sub(1);
            of.items == 0
        });
    }

    /// As the hub encoded them, if there are any.
    pub(super) fn of(&self, endpoint: JumpClientId) -> Option<Arc<[u8]>> {
        self.0.get(&endpoint)?.figures.clone()
    }

    /// Takes the place of those before; those of an endpoint without items are dropped.
    pub(super) fn set(&self, endpoint: JumpClientId, figures: Arc<[u8]>) {
        if let Some(mut of) = self.0.get_mut(&endpoint) {
            of.figures = Some(figures);
        }
    }
}
