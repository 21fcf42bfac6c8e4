//! What agents are to trust and where they find the site, as keys and frames carry it.

use domain::World;
use link_protocol::{AddressList, Anchor, AnchorList};

use super::Inner;

/// The site's trust anchors as the keys of installers and the link carry them.
#[must_use]
pub fn anchors_of(world: &World) -> AnchorList {
    let list = &world.agent_trust.anchors;
    AnchorList {
        version: list.version,
        list: list
            .values()
            .map(|anchor| {
                // What can't be read trusts nobody; the domain takes only what can.
                anchor
                    .parse()
                    .unwrap_or_else(|_| Anchor::Unknown(anchor.to_owned()))
            })
            .collect(),
    }
}

impl Inner {
    /// What agents are to trust, by what is published.
    pub(crate) fn anchors(&self) -> AnchorList {
        anchors_of(&self.engine.published().world)
    }

    /// Where agents find the site, by what is published; none where the site has no list.
    pub(crate) fn addresses(&self) -> Option<AddressList> {
        let published = self.engine.published();
        let list = &published.world.agent_trust.addresses;
        (!list.entries.is_empty()).then(|| AddressList {
            version: list.version,
            urls: list.values().map(str::to_owned).collect(),
        })
    }
}
