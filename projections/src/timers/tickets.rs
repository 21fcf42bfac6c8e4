//! When requests to the ticket system have waited long enough (TICK-40): one entry a request that is in the `World`.

use std::collections::{BTreeSet, HashMap};

use domain::ids::TicketRequestId;
use domain::policy::ticket::{Command as Asked, Event as Happened, Sent};
use domain::{Command, Event, Timestamp, World};

use super::Due;

/// Requests by the instant their time is up.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tickets {
    by_end: BTreeSet<(Timestamp, TicketRequestId)>,
    ends: HashMap<TicketRequestId, Timestamp>,
}

/// What an event says of the entries.
pub(super) enum Change {
    Add(TicketRequestId, Timestamp),
    Remove(TicketRequestId),
}

/// What `event` changes here, if anything.
pub(super) fn change(event: &Event) -> Option<Change> {
    let Event::TicketRequest(id, event) = event else {
        return None;
    };
    match event {
        Happened::Asked(asked) => Some(Change::Add(*id, asked.expires_at)),
        Happened::Sent(Sent { ends: false, .. }) => None,
        Happened::Sent(_)
        | Happened::Allowed(_)
        | Happened::StartRefused(_)
        | Happened::Denied(_)
        | Happened::AnswerInvalid(_)
        | Happened::TimedOut(_)
        | Happened::Voided(_) => Some(Change::Remove(*id)),
    }
}

impl Tickets {
    pub(super) fn of(world: &World) -> Self {
        let mut tickets = Self::default();
        for (id, request) in world.ticket_requests.iter() {
            tickets.apply(&Change::Add(*id, request.expires_at));
        }
        tickets
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
                command: Command::TicketRequest(Asked::TimeOut { request: *request }),
            })
    }

    /// When the first request's time is up.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_end.first().map(|(at, _)| *at)
    }
}
