//! Teams with their direct members in the [`World`](crate::World).

use crate::World;
use crate::ids::{TeamId, UserId};
use crate::site::team::{Team, TeamRole};
use crate::world::names;

impl World {
    pub(super) fn name_team(&mut self, id: TeamId, team: &Team) {
        self.names
            .take(names::Kind::TeamCode, &team.code_name, id.0);
    }

    pub(crate) fn put_team(&mut self, id: TeamId, team: Team) {
        if let Some(before) = self.teams.remove(&id) {
            self.names.free(names::Kind::TeamCode, &before.code_name);
        }
        self.name_team(id, &team);
        self.teams.insert(id, team);
    }

    /// The team goes with its members and what group policies say of it.
    pub(crate) fn forget_team(&mut self, id: TeamId) {
        if let Some(team) = self.teams.remove(&id) {
            self.names.free(names::Kind::TeamCode, &team.code_name);
        }
        let users: Vec<UserId> = self.team_members_of(id).map(|(user, _)| user).collect();
        for user in users {
            self.forget_team_member(id, user);
        }
        self.forget_rows_of(crate::access::group_policy::Of::Team(id));
    }

    /// What `user` is in `team` directly, if anything.
    #[must_use]
    pub fn team_membership(&self, team: TeamId, user: UserId) -> Option<TeamRole> {
        self.team_members.get(&(team, user)).copied()
    }

    /// The direct members of `team` by user id.
    pub fn team_members_of(&self, team: TeamId) -> impl Iterator<Item = (UserId, TeamRole)> {
        self.team_members
            .range((team, UserId(0))..=(team, UserId(u32::MAX)))
            .map(|((_, user), role)| (*user, *role))
    }

    /// The teams that `user` is in directly, with what they are there.
    pub fn teams_with_member(&self, user: UserId) -> impl Iterator<Item = (TeamId, TeamRole)> {
        self.teams_of_member
            .range((user, TeamId(0))..=(user, TeamId(u32::MAX)))
            .filter_map(move |(_, team)| Some((*team, self.team_membership(*team, user)?)))
    }

    pub(crate) fn put_team_member(&mut self, team: TeamId, user: UserId, role: TeamRole) {
        self.team_members.insert((team, user), role);
        self.teams_of_member.insert((user, team));
    }

    pub(crate) fn forget_team_member(&mut self, team: TeamId, user: UserId) {
        self.team_members.remove(&(team, user));
        self.teams_of_member.remove(&(user, team));
    }
}
