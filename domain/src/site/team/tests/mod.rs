//! Teams and who is what in them.

use serde_json::json;

use super::{Command, Event, Member, MemberRemoved, Team, TeamRole};
use crate::ids::{TeamId, UserId};
use crate::testing::{
    ADMIN, ANNA, BERT, Given, OPERATIONS, SUPPORT, change, create, delete, given, person, team,
    team_member,
};
use crate::{Event as Happened, Refusal};

fn site() -> Given {
    given([person(ANNA), person(BERT), team(OPERATIONS), team(SUPPORT)])
}

fn of(team: TeamId, event: Event) -> Happened {
    Happened::Team(team, event)
}

fn move_anna(to: TeamId, role: TeamRole) -> Command {
    Command::ChangeMember {
        team: OPERATIONS,
        user: ANNA,
        to,
        role: Some(role),
    }
}

#[test]
fn a_team_has_a_name_and_a_code_name_of_its_own() {
    site()
        .when(ADMIN, create::<Team>(json!({"comments": "x"})))
        .then_invalid(&["name"]);
    site()
        .when(
            ADMIN,
            create::<Team>(json!({"name": "T", "code_name": "TEAM_1"})),
        )
        .then_invalid(&["code_name"]);
    let site = site()
        .when(ADMIN, create::<Team>(json!({"name": "Team 1"})))
        .then_something();
    let made = site.world().teams.get(&TeamId(3)).expect("it was made");
    assert_eq!(made.code_name, "team_1_2", "two teams may share a name");
    site.when(ADMIN, delete::<Team>(OPERATIONS))
        .then_something()
        .when(
            ADMIN,
            change::<Team>(TeamId(3), json!({"code_name": "team_1"})),
        )
        .then_something();
}

/// GRP-16
#[test]
fn users_are_put_into_a_team_and_taken_out() {
    let add = |user, role| Command::AddMember(OPERATIONS, user, role);
    let joined = site().when(ADMIN, add(ANNA, TeamRole::Lead)).then([of(
        OPERATIONS,
        Event::MemberAdded(Member {
            user_id: ANNA,
            role: TeamRole::Lead,
        }),
    )]);
    joined
        .clone()
        .when(ADMIN, add(ANNA, TeamRole::Lead))
        .then_nothing();
    joined
        .clone()
        .when(ADMIN, add(ANNA, TeamRole::Manager))
        .then_invalid(&["user_id"]);
    joined
        .clone()
        .when(ADMIN, add(UserId(99), TeamRole::Member))
        .then_invalid(&["user_id"]);
    joined
        .clone()
        .when(ADMIN, Command::AddMember(TeamId(9), BERT, TeamRole::Member))
        .then_refused(Refusal::NotFound { what: "Team" });
    joined
        .when(ADMIN, Command::RemoveMember(OPERATIONS, ANNA))
        .then([of(
            OPERATIONS,
            Event::MemberRemoved(MemberRemoved { user_id: ANNA }),
        )])
        .when(ADMIN, Command::RemoveMember(OPERATIONS, ANNA))
        .then_refused(Refusal::NotFound { what: "Team user" });
}

/// ROLE-12: the role counts from the next decision on.
#[test]
fn a_member_gets_another_role_or_moves_to_another_team() {
    let joined = site().and([team_member(OPERATIONS, ANNA, TeamRole::Member)]);
    let manager = Member {
        user_id: ANNA,
        role: TeamRole::Manager,
    };
    joined
        .clone()
        .when(ADMIN, move_anna(OPERATIONS, TeamRole::Manager))
        .then([of(OPERATIONS, Event::MemberChanged(manager))])
        .when(ADMIN, move_anna(OPERATIONS, TeamRole::Manager))
        .then_nothing();
    let moved = joined
        .clone()
        .when(ADMIN, move_anna(SUPPORT, TeamRole::Manager))
        .then([
            of(
                OPERATIONS,
                Event::MemberRemoved(MemberRemoved { user_id: ANNA }),
            ),
            of(SUPPORT, Event::MemberAdded(manager)),
        ]);
    assert_eq!(
        moved.world().teams_with_member(ANNA).collect::<Vec<_>>(),
        [(SUPPORT, TeamRole::Manager)]
    );
    joined
        .clone()
        .when(ADMIN, move_anna(TeamId(9), TeamRole::Member))
        .then_invalid(&["team_id"]);
    joined
        .and([team_member(SUPPORT, ANNA, TeamRole::Lead)])
        .when(ADMIN, move_anna(SUPPORT, TeamRole::Member))
        .then_invalid(&["team_id"]);
    site()
        .when(ADMIN, move_anna(OPERATIONS, TeamRole::Lead))
        .then_refused(Refusal::NotFound { what: "Team user" });
}

#[test]
fn members_go_with_the_team_and_memberships_with_the_user() {
    let joined = site().and([
        team_member(OPERATIONS, ANNA, TeamRole::Member),
        team_member(OPERATIONS, BERT, TeamRole::Lead),
    ]);
    let without = joined
        .clone()
        .when(ADMIN, delete::<Team>(OPERATIONS))
        .then_something();
    assert_eq!(without.world().teams_with_member(ANNA).count(), 0);
    let without = joined
        .when(ADMIN, delete::<crate::site::user::User>(ANNA))
        .then_something();
    assert_eq!(
        without
            .world()
            .team_members_of(OPERATIONS)
            .collect::<Vec<_>>(),
        [(BERT, TeamRole::Lead)]
    );
}

#[test]
fn the_roles_of_a_team_have_words_and_an_order() {
    let roles = [TeamRole::Member, TeamRole::Lead, TeamRole::Manager];
    assert!(roles.is_sorted());
    for (role, word) in roles.into_iter().zip(TeamRole::WORDS) {
        assert_eq!(TeamRole::from_word(word), Some(role));
        assert_eq!(serde_json::json!(role), *word);
    }
    assert_eq!(TeamRole::from_word("boss"), None);
}
