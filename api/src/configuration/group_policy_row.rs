//! `group-policy/{id}/jump-group`, `/team` and `/jumpoint`: what a group policy puts its members into (GPOL-07, GPOL-20).
//!
//! A row that is there already is set anew. What a policy takes away (GPOL-11) has no place in the published API; see
//! `console/v1/group-policies`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use domain::access::group_policy::{self, GroupPolicy, Of, Row};
use domain::access::jump_group::{JumpGroup, Membership};
use domain::ids::{
    GroupPolicyId, JumpGroupId, JumpItemRoleId, JumpPolicyId, JumpointId, NumericId, TeamId,
};
use domain::record::{Field, Kind, Object, Purpose, Reading, Record};
use domain::site::team::{Team, TeamRole};
use domain::{Command, World};
use serde_json::{Value, json};

use super::BASE;
use super::listing::{Listing, base_url};
use super::resource::{ACCESS, PathId, PathIds, id_in, number, read_fields};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// One kind of row.
pub(crate) trait Kinds: Send + Sync + 'static {
    /// The last part of its path.
    const PATH: &'static str;
    /// The name of the id in paths and bodies.
    const ID: &'static str;
    /// Its schema in the OpenAPI document.
    const SCHEMA: &'static str;
    /// A line per member of the body.
    const FIELDS: &'static [Field];
    /// What it is about, in messages.
    const TITLE: &'static str;
    /// Whether lists come page by page (config-api.md 2.2).
    const PAGED: bool;

    /// The ids of what it is about.
    type Id: NumericId + Send + Sync;

    /// What a row with this id is about.
    fn about(id: Self::Id) -> Of;

    /// How a row is shown; none if it is of another kind.
    fn view(about: Of, row: Row) -> Option<Object>;

    /// The row that a body asks for.
    fn row(body: &Object) -> Row;
}

/// `jump-group`
pub struct JumpGroups;
/// `team`
pub struct Teams;
/// `jumpoint`
pub struct Jumpoints;

const DEFAULT_MAX: i64 = i32::MAX as i64;

impl JumpGroups {
    /// A line per member of the body. 0 is the user's default, and "Set on Jump Items".
    pub const LINES: &'static [Field] = &[
        Field::new("jump_group_id", Kind::Id, "The Jump Group.").required(),
        Field::new(
            "jump_item_role_id",
            Kind::Integer {
                min: 0,
                max: DEFAULT_MAX,
            },
            "The role in this group; 0 is the user's default.",
        )
        .nullable(),
        Field::new(
            "jump_policy_id",
            Kind::Integer {
                min: 0,
                max: DEFAULT_MAX,
            },
            "The Jump Policy in this group; 0 is the one set on each item.",
        )
        .nullable(),
    ];
}

impl Teams {
    /// A line per member of the body.
    pub const LINES: &'static [Field] = &[
        Field::new("team_id", Kind::Id, "The team.").required(),
        Field::new(
            "role",
            Kind::Word(TeamRole::WORDS),
            "What members are there.",
        ),
    ];
}

impl Jumpoints {
    /// A line per member of the body.
    pub const LINES: &'static [Field] =
        &[Field::new("jumpoint_id", Kind::Id, "The Jumpoint.").required()];
}

fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

impl Kinds for JumpGroups {
    const PATH: &'static str = "jump-group";
    const ID: &'static str = "jump_group_id";
    const SCHEMA: &'static str = "GroupPolicyJumpGroup";
    const FIELDS: &'static [Field] = Self::LINES;
    const TITLE: &'static str = JumpGroup::TITLE;
    const PAGED: bool = false;

    type Id = JumpGroupId;

    fn about(id: JumpGroupId) -> Of {
        Of::JumpGroup(id)
    }

    fn view(about: Of, row: Row) -> Option<Object> {
        match (about, row) {
            (Of::JumpGroup(group), Row::JumpGroup(membership)) => object(json!({
                "jump_group_id": group,
                "jump_item_role_id": membership.jump_item_role_id.map_or(0, |id| id.0),
                "jump_policy_id": membership.jump_policy_id.map_or(0, |id| id.0),
            })),
            _ => None,
        }
    }

    fn row(body: &Object) -> Row {
        let id = |name| number(body, name).filter(|id| *id > 0);
        Row::JumpGroup(Membership {
            jump_item_role_id: id("jump_item_role_id").map(JumpItemRoleId),
            jump_policy_id: id("jump_policy_id").map(JumpPolicyId),
        })
    }
}

impl Kinds for Teams {
    const PATH: &'static str = "team";
    const ID: &'static str = "team_id";
    const SCHEMA: &'static str = "GroupPolicyTeam";
    const FIELDS: &'static [Field] = Self::LINES;
    const TITLE: &'static str = Team::TITLE;
    const PAGED: bool = true;

    type Id = TeamId;

    fn about(id: TeamId) -> Of {
        Of::Team(id)
    }

    fn view(about: Of, row: Row) -> Option<Object> {
        match (about, row) {
            (Of::Team(team), Row::Team(role)) => object(json!({"team_id": team, "role": role})),
            _ => None,
        }
    }

    fn row(body: &Object) -> Row {
        let word = body.get("role").and_then(Value::as_str);
        Row::Team(word.and_then(TeamRole::from_word).unwrap_or_default())
    }
}

impl Kinds for Jumpoints {
    const PATH: &'static str = "jumpoint";
    const ID: &'static str = "jumpoint_id";
    const SCHEMA: &'static str = "GroupPolicyJumpoint";
    const FIELDS: &'static [Field] = Self::LINES;
    const TITLE: &'static str = "Jumpoint";
    const PAGED: bool = true;

    type Id = JumpointId;

    fn about(id: JumpointId) -> Of {
        Of::Jumpoint(id)
    }

    fn view(about: Of, row: Row) -> Option<Object> {
        match (about, row) {
            (Of::Jumpoint(jumpoint), Row::Jumpoint) => object(json!({"jumpoint_id": jumpoint})),
            _ => None,
        }
    }

    fn row(_body: &Object) -> Row {
        Row::Jumpoint
    }
}

/// The command that puts members into something; none for what is no such row.
fn command(policy: GroupPolicyId, about: Of, row: Row) -> Option<group_policy::Command> {
    match (about, row) {
        (Of::JumpGroup(group), Row::JumpGroup(membership)) => Some(
            group_policy::Command::AddJumpGroup(policy, group, membership),
        ),
        (Of::Team(team), Row::Team(role)) => {
            Some(group_policy::Command::AddTeam(policy, team, role))
        }
        (Of::Jumpoint(jumpoint), Row::Jumpoint) => {
            Some(group_policy::Command::AddJumpoint(policy, jumpoint))
        }
        _ => None,
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .merge(routes_of::<JumpGroups>(site))
        .merge(routes_of::<Teams>(site))
        .merge(routes_of::<Jumpoints>(site))
}

fn routes_of<K: Kinds>(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/group-policy/{{id}}/{}", K::PATH);
    let one = format!("{all}/{{{}}}", K::ID);
    Routes::new(site)
        .route(
            Method::GET,
            &all,
            ACCESS,
            About::new("Lists what members are put into.").gives(if K::PAGED {
                Gives::Page(K::SCHEMA)
            } else {
                Gives::List(K::SCHEMA)
            }),
            list::<K>,
        )
        .route(
            Method::POST,
            &all,
            ACCESS,
            About::new("Puts members into one.")
                .takes(K::SCHEMA)
                .gives(Gives::Created(K::SCHEMA)),
            create::<K>,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("Reads one.").gives(Gives::One(K::SCHEMA)),
            get::<K>,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Puts members into it no more."),
            delete::<K>,
        )
}

fn rows_of<K: Kinds>(world: &World, policy: GroupPolicyId) -> Vec<Object> {
    world
        .rows_of_policy(policy)
        .filter_map(|(about, row)| K::view(about, row))
        .collect()
}

async fn list<K: Kinds>(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(policy): PathId<GroupPolicyId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    if !known.world().group_policies.contains(&policy) {
        return Err(Problem::not_found(GroupPolicy::TITLE).into());
    }
    let rows = rows_of::<K>(known.world(), policy);
    if !K::PAGED {
        return Ok(Answer::known(&known.0, rows).into_response());
    }
    let listing = Listing::read(&parts, &[], &site, &known)?;
    Ok(listing.answer(&known, rows.into_iter(), |row| row))
}

async fn get<K: Kinds>(
    known: Known,
    PathIds(policy, id): PathIds<GroupPolicyId, K::Id>,
) -> Result<Answer<Object>, JsonError> {
    let about = K::about(id);
    let shown = known
        .world()
        .policy_row(policy, about)
        .and_then(|row| K::view(about, row))
        .ok_or_else(|| Problem::not_found(K::TITLE))?;
    Ok(Answer::known(&known.0, shown).tagged())
}

async fn create<K: Kinds>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(policy): PathId<GroupPolicyId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(
        K::FIELDS,
        Some(("group_policy_id", policy.0)),
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let id: K::Id = id_in(&body, K::ID)?;
    let (about, row) = (K::about(id), K::row(&body));
    let command = command(policy, about, row).ok_or_else(Problem::internal)?;
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    let location = format!(
        "{}{BASE}/group-policy/{policy}/{}/{id}",
        base_url(&parts, &site),
        K::PATH
    );
    let shown = K::view(about, row).ok_or_else(Problem::internal)?;
    Ok(Answer::created(&done, location, shown).tagged())
}

async fn delete<K: Kinds>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(policy, id): PathIds<GroupPolicyId, K::Id>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let about = K::about(id);
    let change = change.of_target(move |world| K::view(about, world.policy_row(policy, about)?));
    let command = Command::GroupPolicy(group_policy::Command::DropRow(policy, about));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}
