//! Access requests whose window is not over, in the [`World`](crate::World), with their indexes.

use crate::World;
use crate::ids::{AccessRequestId, JumpItemRef, UserId};
use crate::policy::access_request::{AccessRequest, State};

impl World {
    /// The requests for `item`, oldest first.
    pub fn requests_for(
        &self,
        item: JumpItemRef,
    ) -> impl Iterator<Item = (AccessRequestId, &AccessRequest)> {
        self.requests_by_item
            .range((item, AccessRequestId(0))..=(item, AccessRequestId(u32::MAX)))
            .filter_map(|(_, id)| Some((*id, self.access_requests.get(id)?)))
    }

    /// The requests that `user` made, oldest first.
    pub fn requests_of(
        &self,
        user: UserId,
    ) -> impl Iterator<Item = (AccessRequestId, &AccessRequest)> {
        self.requests_by_requester
            .range((user, AccessRequestId(0))..=(user, AccessRequestId(u32::MAX)))
            .filter_map(|(_, id)| Some((*id, self.access_requests.get(id)?)))
    }

    /// The requests that `user` is an approver of, oldest first.
    pub fn requests_to_answer(
        &self,
        user: UserId,
    ) -> impl Iterator<Item = (AccessRequestId, &AccessRequest)> {
        self.requests_by_approver
            .range((user, AccessRequestId(0))..=(user, AccessRequestId(u32::MAX)))
            .filter_map(|(_, id)| Some((*id, self.access_requests.get(id)?)))
    }

    pub(crate) fn request_submitted(&mut self, id: AccessRequestId, request: AccessRequest) {
        self.used_id("access_request", id.0);
        self.index_request(id, &request);
        self.access_requests.insert(id, request);
    }

    pub(super) fn index_request(&mut self, id: AccessRequestId, request: &AccessRequest) {
        self.requests_by_item.insert((request.item, id));
        self.requests_by_requester.insert((request.requester, id));
        let users = request.approvers.iter().filter_map(|by| by.user_id);
        self.requests_by_approver
            .extend(users.map(|user| (user, id)));
    }

    pub(crate) fn change_request(
        &mut self,
        id: AccessRequestId,
        change: impl FnOnce(State) -> State,
    ) {
        if let Some(request) = self.access_requests.get_mut(&id) {
            request.state = change(request.state.clone());
        }
    }

    pub(crate) fn forget_request(&mut self, id: AccessRequestId) {
        let Some(request) = self.access_requests.remove(&id) else {
            return;
        };
        self.requests_by_item.remove(&(request.item, id));
        self.requests_by_requester.remove(&(request.requester, id));
        for user in request.approvers.iter().filter_map(|by| by.user_id) {
            self.requests_by_approver.remove(&(user, id));
        }
    }
}
