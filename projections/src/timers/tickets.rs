//! When requests to the ticket system have waited long enough (TICK-40): one entry a request that is in the `World`.

use domain::ids::TicketRequestId;
use domain::policy::ticket::{Command as Asked, Event as Happened, Sent};
use domain::{Command, Event, Timestamp, World};

use super::Due;
use super::ends::{Change, Ends};

/// Requests by the instant their time is up.
pub(super) type Tickets = Ends<TicketRequestId>;

/// What `event` changes here, if anything.
pub(super) fn change(event: &Event) -> Option<Change<TicketRequestId>> {
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

/// The entries of a `World`.
pub(super) fn of(world: &World) -> Tickets {
    let requests = world.ticket_requests.iter();
    requests
        .map(|(id, request)| (*id, request.expires_at))
        .collect()
}

/// What is to be done about one whose time is over.
pub(super) fn due((at, request): (Timestamp, TicketRequestId)) -> Due {
    Due {
        at,
        command: Command::TicketRequest(Asked::TimeOut { request }),
    }
}
