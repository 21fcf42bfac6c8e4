//! When the windows of access requests are over (APPR-33): one entry a request that is in the `World`.

use domain::ids::AccessRequestId;
use domain::policy::access_request::{self, Command as Asked};
use domain::{Command, Event, Timestamp, World};

use super::Due;
use super::ends::{Change, Ends};

/// Requests by the instant their window ends.
pub(super) type Requests = Ends<AccessRequestId>;

/// What `event` changes here, if anything.
pub(super) fn change(event: &Event) -> Option<Change<AccessRequestId>> {
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

/// The entries of a `World`.
pub(super) fn of(world: &World) -> Requests {
    let requests = world.access_requests.iter();
    requests
        .map(|(id, request)| (*id, request.ends_at))
        .collect()
}

/// What is to be done about one whose time is over.
pub(super) fn due((at, request): (Timestamp, AccessRequestId)) -> Due {
    Due {
        at,
        command: Command::AccessRequest(Asked::Expire { request }),
    }
}
