//! Access requests whose window is not over, in the [`World`](crate::World), with their indexes.

use crate::ids::{AccessRequestId, JumpItemRef, JumpPolicyId, UserId};
use crate::policy::access_request::approvers::is_asked;
use crate::policy::access_request::{
    AccessRequest, Approver, ApproverList, REQUESTS_PER_HOUR_MAX, State,
};
use crate::{Timestamp, World, time};

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

    /// The requests that ask `user`, oldest first.
    pub fn requests_to_answer(
        &self,
        user: UserId,
    ) -> impl DoubleEndedIterator<Item = (AccessRequestId, &AccessRequest)> {
        let mut ids: Vec<AccessRequestId> = self
            .approver_lists_in(&Inbox::User(user))
            .flat_map(|list| self.requests_under(list))
            .collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(move |id| {
            let request = self.access_requests.get(&id)?;
            let is_asked = request.except.is_empty() || is_asked(self, request, user);
            is_asked.then_some((id, request))
        })
    }

    /// Whom a request asks, by place.
    pub fn approvers_of<'w>(
        &'w self,
        request: &'w AccessRequest,
    ) -> impl Iterator<Item = &'w Approver> {
        self.approver_lists
            .get(&request.approvers_of)
            .into_iter()
            .flat_map(|list| &list.approvers)
            .filter(move |approver| !request.except.contains(&approver.index))
    }

    /// The list of approvers that the newest request under the policy was made with, with the request whose event has it.
    pub(crate) fn newest_approver_list(
        &self,
        policy: JumpPolicyId,
    ) -> Option<(AccessRequestId, &ApproverList)> {
        let all = (policy, AccessRequestId(0))..=(policy, AccessRequestId(u32::MAX));
        let (_, list) = self.approver_lists_by_policy.range(all).next_back()?;
        Some((*list, self.approver_lists.get(list)?))
    }

    /// The lists of approvers that an inbox is in.
    pub(crate) fn approver_lists_in(&self, inbox: &Inbox) -> impl Iterator<Item = AccessRequestId> {
        self.approver_lists_by_inbox
            .range((inbox.clone(), AccessRequestId(0))..=(inbox.clone(), AccessRequestId(u32::MAX)))
            .map(|(_, list)| *list)
    }

    fn requests_under(&self, list: AccessRequestId) -> impl Iterator<Item = AccessRequestId> {
        self.requests_by_list
            .range((list, AccessRequestId(0))..=(list, AccessRequestId(u32::MAX)))
            .map(|(_, id)| *id)
    }

    /// Whose requests wait for those of a list, one for each request.
    pub(crate) fn waiting_under(&self, list: AccessRequestId) -> impl Iterator<Item = UserId> {
        self.waiting_by_list
            .range(
                (list, UserId(0), AccessRequestId(0))
                    ..=(list, UserId(u32::MAX), AccessRequestId(u32::MAX)),
            )
            .map(|(_, user, _)| *user)
    }

    /// How many requests of `user` wait for an answer.
    pub(crate) fn requests_waiting_of(&self, user: UserId) -> usize {
        self.waiting_by_requester
            .range((user, AccessRequestId(0))..=(user, AccessRequestId(u32::MAX)))
            .count()
    }

    /// When the user made requests of late, with the number of mails that each was.
    pub(crate) fn requests_made_by(&self, user: UserId) -> impl Iterator<Item = &(Timestamp, u32)> {
        self.requests_made.get(&user).into_iter().flatten()
    }

    pub(crate) fn request_submitted(
        &mut self,
        id: AccessRequestId,
        request: AccessRequest,
        list: Option<ApproverList>,
    ) {
        self.used_id("access_request", id.0);
        if let Some(list) = list {
            self.index_approver_list(id, &list);
            self.approver_lists.insert(id, list);
        }
        self.note_request_made(&request);
        self.index_request(id, &request);
        self.access_requests.insert(id, request);
    }

    fn note_request_made(&mut self, request: &AccessRequest) {
        let mailed = self
            .approvers_of(request)
            .filter(|by| !by.address.is_empty());
        let mails = u32::try_from(mailed.count()).unwrap_or(u32::MAX);
        let made = self
            .requests_made
            .get(&request.requester)
            .into_iter()
            .flatten();
        let mut made: Vec<(Timestamp, u32)> = made
            .filter(|(at, _)| request.submitted_at.since(*at) < time::HOUR)
            .copied()
            .collect();
        made.push((request.submitted_at, mails));
        let surplus = made.len().saturating_sub(REQUESTS_PER_HOUR_MAX);
        made.drain(..surplus);
        self.requests_made.insert(request.requester, made);
    }

    pub(super) fn index_approver_list(&mut self, id: AccessRequestId, list: &ApproverList) {
        self.approver_lists_by_policy.insert((list.policy, id));
        for inbox in list.approvers.iter().flat_map(Inbox::all_of) {
            self.approver_lists_by_inbox.insert((inbox, id));
        }
    }

    pub(super) fn index_request(&mut self, id: AccessRequestId, request: &AccessRequest) {
        self.requests_by_item.insert((request.item, id));
        self.requests_by_requester.insert((request.requester, id));
        self.requests_by_list.insert((request.approvers_of, id));
        if matches!(request.state, State::Pending) {
            self.waiting_by_requester.insert((request.requester, id));
            self.waiting_by_list
                .insert((request.approvers_of, request.requester, id));
        }
    }

    pub(crate) fn change_request(
        &mut self,
        id: AccessRequestId,
        change: impl FnOnce(State) -> State,
    ) {
        let Some(request) = self.access_requests.get_mut(&id) else {
            return;
        };
        request.state = change(request.state.clone());
        if !matches!(request.state, State::Pending) {
            let (list, requester) = (request.approvers_of, request.requester);
            self.waits_no_more(list, requester, id);
        }
    }

    fn waits_no_more(&mut self, list: AccessRequestId, requester: UserId, id: AccessRequestId) {
        self.waiting_by_requester.remove(&(requester, id));
        self.waiting_by_list.remove(&(list, requester, id));
    }

    pub(crate) fn forget_request(&mut self, id: AccessRequestId) {
        let Some(request) = self.access_requests.remove(&id) else {
            return;
        };
        self.waits_no_more(request.approvers_of, request.requester, id);
        self.requests_by_item.remove(&(request.item, id));
        self.requests_by_requester.remove(&(request.requester, id));
        self.requests_by_list.remove(&(request.approvers_of, id));
        if self.requests_under(request.approvers_of).next().is_none() {
            self.forget_approver_list(request.approvers_of);
        }
    }

    fn forget_approver_list(&mut self, id: AccessRequestId) {
        let Some(list) = self.approver_lists.remove(&id) else {
            return;
        };
        self.approver_lists_by_policy.remove(&(list.policy, id));
        for inbox in list.approvers.iter().flat_map(Inbox::all_of) {
            self.approver_lists_by_inbox.remove(&(inbox, id));
        }
    }
}

/// Where the requests of an approver come together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inbox {
    /// What a user is asked on the console.
    User(UserId),
    /// The mailbox of an address, in lower case.
    Address(String),
}

impl Inbox {
    /// The one that counts for bounds: the mailbox where there is one, which several approvers may share.
    pub(crate) fn of(approver: &Approver) -> Self {
        match approver.user_id {
            Some(user) if approver.address.is_empty() => Self::User(user),
            _ => Self::Address(approver.address.to_lowercase()),
        }
    }

    /// Each that an approver has.
    fn all_of(approver: &Approver) -> impl Iterator<Item = Self> {
        let user = approver.user_id.map(Self::User);
        let has_address = !approver.address.is_empty();
        let address = has_address.then(|| Self::Address(approver.address.to_lowercase()));
        user.into_iter().chain(address)
    }
}
