//! Requests that wait for the ticket system, in the [`World`](crate::World).

use crate::World;
use crate::ids::{KeyedHash, TicketRequestId, UserId};
use crate::policy::ticket::TicketRequest;

impl World {
    /// The request that waits under this key.
    #[must_use]
    pub fn ticket_request_of(&self, key: &KeyedHash) -> Option<(TicketRequestId, &TicketRequest)> {
        let request = *self.ticket_requests_by_key.get(key)?;
        Some((request, self.ticket_requests.get(&request)?))
    }

    /// The requests of the user that wait, oldest first.
    pub fn tickets_of(
        &self,
        user: UserId,
    ) -> impl Iterator<Item = (TicketRequestId, &TicketRequest)> {
        let all = (user, TicketRequestId(0))..=(user, TicketRequestId(u32::MAX));
        self.ticket_requests_of_user
            .range(all)
            .filter_map(|(_, id)| Some((*id, self.ticket_requests.get(id)?)))
    }

    /// How many requests of the user wait.
    #[must_use]
    pub fn tickets_waiting_of(&self, user: UserId) -> usize {
        self.tickets_of(user).count()
    }

    pub(crate) fn ticket_asked(&mut self, id: TicketRequestId, request: TicketRequest) {
        self.used_id("ticket_request", id.0);
        self.ticket_settled(id);
        self.index_ticket_request(id, &request);
        self.ticket_requests.insert(id, request);
    }

    pub(super) fn index_ticket_request(&mut self, id: TicketRequestId, request: &TicketRequest) {
        self.ticket_requests_by_key
            .insert(request.answer_key.clone(), id);
        self.ticket_requests_of_user
            .insert((request.start.user, id));
    }

    pub(crate) fn ticket_settled(&mut self, id: TicketRequestId) {
        let Some(request) = self.ticket_requests.remove(&id) else {
            return;
        };
        self.ticket_requests_of_user
            .remove(&(request.start.user, id));
        if self.ticket_requests_by_key.get(&request.answer_key) == Some(&id) {
            self.ticket_requests_by_key.remove(&request.answer_key);
        }
    }
}
