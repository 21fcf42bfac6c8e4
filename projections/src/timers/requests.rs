//! When the windows of access requests are over (APPR-33): one entry a request that is in the `World`.

use std::collections::{BTreeSet, HashMap};

use domain::ids::AccessRequestId;
use domain::policy::access_request::{self, Command as Asked};
use domain::{Command, Event, Timestamp, World};

use super::Due;

/// Requests by the instant their window ends.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Requests {
    by_end: BTreeSet<(Timestamp, AccessRequestId)>,
    ends: HashMap<AccessRequestId, Timestamp>,
}

/// What an event says of the entries.
pub(super) enum Change {
    Add(AccessRequestId, Timestamp),
    Remove(AccessRequestId),
}

/// What `event` changes here, if anything.
pub(super) fn change(event: &Event) -> Option<Change> {
    let Event::AccessRequest(id, event) = event else {
        return None;
    };
    match event {
        access_request::Event::Submitted(submitted) => Some(Change::Add(*id, submitted.ends_at)),
        access_request::Event::Expired(_) | access_request::Event::Closed(_) => {
            Some(Change::Remove(*id))
        }
        access_request::Event::Approved(_)
        | access_request::Event::Denied(_)
        | access_request::Event::Cancelled(_)
        | access_request::Event::Used(_) => None,
    }
}

impl Requests {
    pub(super) fn of(world: &World) -> Self {
        let mut requests = Self::default();
        for (id, request) in world.access_requests.iter() {
            requests.apply(&Change::Add(*id, request.ends_at));
        }
        requests
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let (id, end) = match *change {
            Change::Add(id, end) => (id, Some(end)),
            Change::Remove(id) => (id, None),
        };
        if let Some(before) = self.ends.remove(&id) {
            self.by_end.remove(&(before, id));
        }
        if let Some(end) = end {
            self.ends.insert(id, end);
            self.by_end.insert((end, id));
        }
    }

    /// What is due until `until`, the oldest first.
    pub(super) fn due(&self, until: Timestamp) -> impl Iterator<Item = Due> {
        self.by_end
            .iter()
            .take_while(move |(at, _)| *at <= until)
            .map(|(at, request)| Due {
                at: *at,
                command: Command::AccessRequest(Asked::Expire { request: *request }),
            })
    }

    /// When the first window ends.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_end.first().map(|(at, _)| *at)
    }
}
