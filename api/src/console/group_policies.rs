//! What the published API has no place for: the order of the group policies (GPOL-01), and what they take away (GPOL-07,
//! GPOL-11).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use domain::access::group_policy::{self, GroupPolicy, Of, Row};
use domain::ids::GroupPolicyId;
use domain::record::{Object, Record};
use domain::{Command, FieldErrors, World};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::group_policy_row::{JumpGroups, Jumpoints, Kinds, Teams};
use crate::configuration::resource::{PathId, PathIds};
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let order = format!("{BASE}/group-policies/order");
    let removals = format!("{BASE}/group-policies/{{id}}/removals");
    Routes::new(site)
        .route(
            Method::GET,
            &order,
            ACCESS,
            About::new("The group policies from the top of the list to the bottom")
                .gives(Gives::One("GroupPolicyOrder")),
            get_order,
        )
        .route(
            Method::PUT,
            &order,
            ACCESS,
            About::new("Sets the order of all group policies")
                .takes("GroupPolicyOrderChange")
                .gives(Gives::One("GroupPolicyOrder")),
            put_order,
        )
        .route(
            Method::GET,
            &removals,
            ACCESS,
            About::new("What a group policy takes away from its members")
                .gives(Gives::List("GroupPolicyRemoval")),
            list_removals,
        )
        .merge(removals_of::<JumpGroups>(site, &removals))
        .merge(removals_of::<Teams>(site, &removals))
        .merge(removals_of::<Jumpoints>(site, &removals))
}

fn removals_of<K: Kinds>(site: &Arc<Site>, removals: &str) -> Routes {
    let one = format!("{removals}/{}/{{{}}}", K::PATH, K::ID);
    Routes::new(site)
        .route(
            Method::PUT,
            &one,
            ACCESS,
            About::new("Takes away what policies further up the list give")
                .gives(Gives::One("GroupPolicyRemoval")),
            put_removal::<K>,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Takes it away no more"),
            delete_removal::<K>,
        )
}

fn order_of(world: &World) -> Value {
    let named: Vec<Value> = world
        .group_policies_in_order()
        .filter_map(|id| Some(json!({"id": id, "name": world.group_policies.get(&id)?.name})))
        .collect();
    json!({"order": named})
}

async fn get_order(known: Known) -> Result<Answer<Value>, JsonError> {
    Ok(Answer::known(&known.0, order_of(known.world())).tagged())
}

async fn put_order(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = group_policy::Command::SetOrder(read_order(&change.body)?);
    let change = change.of_target(|world| Some(order_of(world)));
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    let order = order_of(&site.engine.published().world);
    Ok(Answer::done(&done, order).tagged())
}

/// Reads `{"order": [ids]}`, and as gladly what [`get_order`] gave.
fn read_order(body: &Object) -> Result<Vec<GroupPolicyId>, JsonError> {
    let id = |entry: &Value| {
        let number = entry.get("id").unwrap_or(entry).as_u64()?;
        u32::try_from(number).ok().map(GroupPolicyId)
    };
    let mut unknown = FieldErrors::default();
    for name in body.keys().filter(|name| *name != "order") {
        unknown.push(name.clone(), format!("The {name} field is not known."));
    }
    unknown.into_result(())?;
    let order = body
        .get("order")
        .and_then(Value::as_array)
        .and_then(|order| order.iter().map(id).collect::<Option<Vec<_>>>());
    order.ok_or_else(|| {
        let message = "The order field must be an array of ids.";
        Problem::invalid(FieldErrors::one("order", message)).into()
    })
}

async fn list_removals(
    known: Known,
    PathId(policy): PathId<GroupPolicyId>,
) -> Result<Answer<Vec<Of>>, JsonError> {
    if !known.world().group_policies.contains(&policy) {
        return Err(Problem::not_found(GroupPolicy::TITLE).into());
    }
    let removals = known
        .world()
        .rows_of_policy(policy)
        .filter(|(_, row)| *row == Row::Removal)
        .map(|(about, _)| about)
        .collect();
    Ok(Answer::known(&known.0, removals))
}

async fn put_removal<K: Kinds>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(policy, id): PathIds<GroupPolicyId, K::Id>,
    change: Change,
) -> Result<Answer<Of>, JsonError> {
    let about = K::about(id);
    let command = group_policy::Command::AddRemoval(policy, about);
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    Ok(Answer::done(&done, about))
}

async fn delete_removal<K: Kinds>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(policy, id): PathIds<GroupPolicyId, K::Id>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let about = K::about(id);
    let command = group_policy::Command::DropRemoval(policy, about);
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    Ok(Answer::nothing(&done))
}
