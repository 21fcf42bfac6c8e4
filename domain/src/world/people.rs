//! Users and API accounts in the [`World`](crate::World), by id and by name.

use crate::Timestamp;
use crate::World;
use crate::ids::{ApiAccountId, JumpGroupId, JumpGroupRef, TeamId, UserId};
use crate::site::api_account;
use crate::site::api_account::{ADDRESSES_MAX, ApiAccount};
use crate::site::user::User;
use std::net::IpAddr;

impl World {
    /// The user with this name, without regard to case.
    #[must_use]
    pub fn user_named(&self, username: &str) -> Option<UserId> {
        self.users_by_name.get(&username.to_lowercase()).copied()
    }

    /// Whether `user` is an enabled administrator.
    #[must_use]
    pub fn is_administrator(&self, user: UserId) -> bool {
        self.users
            .get(&user)
            .is_some_and(|user| user.perm_admin && user.enabled)
    }

    pub(crate) fn put_user(&mut self, id: UserId, user: User) {
        if let Some(before) = self.users.get(&id) {
            self.users_by_name.remove(&before.username.to_lowercase());
        }
        self.users_by_name.insert(user.username.to_lowercase(), id);
        self.users.insert(id, user);
    }

    pub(crate) fn forget_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.users_by_name.remove(&user.username.to_lowercase());
        }
        let memberships: Vec<JumpGroupId> = self.groups_with_member(id).collect();
        for group in memberships {
            self.forget_member(group, id);
        }
        let teams: Vec<TeamId> = self.teams_with_member(id).map(|(team, _)| team).collect();
        for team in teams {
            self.forget_team_member(team, id);
        }
        for policy in self.policies_of_user(id).to_vec() {
            self.forget_policy_member(policy, id);
        }
        self.forget_user_of_jumpoints(id);
        self.forget_items_of(JumpGroupRef::Personal(id));
        self.forget_startup_group(id);
        self.recent_items.remove(&id);
        self.requests_made.remove(&id);
        self.sign_ins.remove(&id);
    }

    /// The API account with this client id.
    #[must_use]
    pub fn api_account_with(&self, client_id: &str) -> Option<ApiAccountId> {
        self.api_accounts_by_client_id.get(client_id).copied()
    }

    pub(crate) fn put_api_account(&mut self, id: ApiAccountId, account: ApiAccount) {
        if let Some(before) = self.api_accounts.get(&id) {
            self.api_accounts_by_client_id.remove(&before.client_id);
        }
        self.api_accounts_by_client_id
            .insert(account.client_id.clone(), id);
        self.api_accounts.insert(id, account);
    }

    pub(crate) fn forget_api_account(&mut self, id: ApiAccountId) {
        if let Some(account) = self.api_accounts.remove(&id) {
            self.api_accounts_by_client_id.remove(&account.client_id);
        }
        self.seen_from.remove(&id);
        self.token_generations.remove(&id);
    }

    /// The generation of an account's tokens: those of an earlier one have ended (AUTH-29).
    #[must_use]
    pub fn token_generation(&self, account: ApiAccountId) -> u32 {
        self.token_generations.get(&account).copied().unwrap_or(0)
    }

    pub(crate) fn end_tokens(&mut self, account: ApiAccountId) {
        let next = self.token_generation(account).saturating_add(1);
        self.token_generations.insert(account, next);
    }

    /// Whether a use of `account` from `address` at `now` is the first of its hour.
    #[must_use]
    pub fn use_is_due(&self, account: ApiAccountId, address: IpAddr, now: Timestamp) -> bool {
        let seen = self
            .seen_from
            .get(&account)
            .and_then(|seen| seen.get(&address))
            .copied();
        api_account::begins_an_hour(seen, now)
    }

    pub(crate) fn note_use(&mut self, account: ApiAccountId, address: IpAddr, at: Timestamp) {
        let mut seen = self.seen_from.get(&account).cloned().unwrap_or_default();
        seen.insert(address, at);
        if seen.len() > ADDRESSES_MAX
            && let Some(oldest) = seen
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(address, _)| *address)
        {
            seen.remove(&oldest);
        }
        self.seen_from.insert(account, seen);
    }
}
