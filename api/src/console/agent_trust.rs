//! What agents trust and where they find the site: listed, added and withdrawn by administrators, who are shown first which Jump
//! Clients have not confirmed what (docs/certificates.md).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::fleet::jump_client::JumpClient;
use domain::ids::{AgentAnchorId, JumpClientId, SiteAddressId};
use domain::record::{Field, Kind, Object};
use domain::site::agent_trust::{self, Confirmed, Entry, List};
use domain::{Command, FieldErrors, World};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::Listing;
use crate::configuration::resource::PathId;
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::error::{JsonError, Problem};
use crate::form;
use crate::route::{About, Gives, Routes};
use crate::site::{ShownCertificate, Site};

/// Asked of a withdrawal, and of the list of those who have not confirmed.
const CUT_OFF: &Field = &Field::new(
    "cut_off",
    Kind::Boolean,
    "Of a list: only those that would be cut off. Of a withdrawal: whether Jump Clients may be cut off by it.",
);

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let anchors = format!("{BASE}/agent-anchors");
    let addresses = format!("{BASE}/site-addresses");
    Routes::new(site)
        .route(
            Method::GET,
            &anchors,
            ACCESS,
            About::new("What agents trust, and how many have not confirmed it")
                .gives(Gives::List("AgentAnchor")),
            list_anchors,
        )
        .route(
            Method::POST,
            &anchors,
            ACCESS,
            About::new("Has agents trust one thing more")
                .takes("AgentAnchorNew")
                .gives(Gives::Created("AgentAnchor")),
            add_anchor,
        )
        .route(
            Method::DELETE,
            &format!("{anchors}/{{id}}"),
            ACCESS,
            About::new("Has agents trust one thing less").filters(vec![CUT_OFF]),
            withdraw_anchor,
        )
        .route(
            Method::GET,
            &format!("{anchors}/{{id}}/unconfirmed"),
            ACCESS,
            About::new("The Jump Clients that have not confirmed a trust anchor, page by page")
                .gives(Gives::Page("UnconfirmedJumpClient"))
                .filters(vec![CUT_OFF]),
            list_without_anchor,
        )
        .route(
            Method::GET,
            &addresses,
            ACCESS,
            About::new("Where agents find the site, and how many have not confirmed it")
                .gives(Gives::List("SiteAddress")),
            list_addresses,
        )
        .route(
            Method::POST,
            &addresses,
            ACCESS,
            About::new("Gives the site one address more")
                .takes("SiteAddressNew")
                .gives(Gives::Created("SiteAddress")),
            add_address,
        )
        .route(
            Method::DELETE,
            &format!("{addresses}/{{id}}"),
            ACCESS,
            About::new("Gives the site one address less").filters(vec![CUT_OFF]),
            withdraw_address,
        )
        .route(
            Method::GET,
            &format!("{addresses}/{{id}}/unconfirmed"),
            ACCESS,
            About::new("The Jump Clients that have not confirmed an address, page by page")
                .gives(Gives::Page("UnconfirmedJumpClient"))
                .filters(vec![CUT_OFF]),
            list_without_address,
        )
}

// --- trust anchors ---

async fn list_anchors(
    State(site): State<Arc<Site>>,
    known: Known,
) -> Result<Answer<Vec<Value>>, JsonError> {
    let shown = site.shown_certificate.borrow().clone();
    let of = known.clone();
    let clients = of.world().jump_clients.len();
    let rows = site
        .scans
        .run(clients, move || anchor_rows(of.world(), &shown))
        .await?;
    Ok(Answer::known(&known.0, rows))
}

async fn add_anchor(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let anchor = only_text(&change.body, "anchor", &[])?;
    let add = agent_trust::Command::AddAnchor(anchor.clone());
    let done = site
        .execute(&caller, &change, Command::AgentTrust(add), None)
        .await?;
    let published = site.engine.published();
    let shown = site.shown_certificate.borrow().clone();
    let clients = published.world.jump_clients.len();
    let rows = site
        .scans
        .run(clients, move || anchor_rows(&published.world, &shown))
        .await?;
    let is_it = |row: &Value| {
        let held = row["anchor"].as_str().unwrap_or_default();
        held.eq_ignore_ascii_case(anchor.trim())
    };
    created(&done, "agent-anchors", rows, is_it)
}

async fn withdraw_anchor(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(anchor): PathId<AgentAnchorId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let cut_off = may_cut_off(&parts)?;
    let in_use = {
        let world = &site.engine.published().world;
        let shown = site.shown_certificate.borrow();
        let others = shown.anchors_in_use(&world.agent_trust);
        let in_use: Vec<AgentAnchorId> = others
            .map(|entries| entries.map(|entry| entry.id).collect())
            .unwrap_or_default();
        in_use == [anchor]
    };
    let command = Command::AgentTrust(agent_trust::Command::WithdrawAnchor {
        anchor,
        in_use,
        cut_off,
    });
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

async fn list_without_anchor(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(anchor): PathId<AgentAnchorId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[CUT_OFF], &site, &known)?;
    let list = &known.world().agent_trust.anchors;
    let needed = needed_version(list, anchor, &listing, "Trust anchor")?;
    let clients = known.world().jump_clients.len();
    let answered = move || unconfirmed(&listing, &known, needed, |confirmed| confirmed.anchors);
    Ok(site.scans.run(clients, answered).await?)
}

fn anchor_rows(world: &World, shown: &ShownCertificate) -> Vec<Value> {
    let trust = &world.agent_trust;
    let in_use: Option<Vec<AgentAnchorId>> = shown
        .anchors_in_use(trust)
        .map(|entries| entries.map(|entry| entry.id).collect());
    let counted = Counted::of(world, |confirmed| confirmed.anchors);
    let entries = trust.anchors.entries.iter();
    entries
        .map(|entry| {
            let mut row = row(&trust.anchors, entry, &counted);
            row["anchor"] = json!(entry.value);
            row["in_use"] = json!(in_use.as_ref().map(|ids| ids.contains(&entry.id)));
            row
        })
        .collect()
}

// --- addresses ---

async fn list_addresses(
    State(site): State<Arc<Site>>,
    known: Known,
) -> Result<Answer<Vec<Value>>, JsonError> {
    let of = known.clone();
    let clients = of.world().jump_clients.len();
    let rows = site
        .scans
        .run(clients, move || address_rows(of.world()))
        .await?;
    Ok(Answer::known(&known.0, rows))
}

async fn add_address(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let url = only_text(&change.body, "url", &["place"])?;
    let place = match change.body.get("place") {
        None | Some(Value::Null) => None,
        Some(place) => Some(
            place
                .as_u64()
                .and_then(|place| usize::try_from(place).ok())
                .ok_or_else(|| invalid("place", "The place must be an integer of at least 1."))?,
        ),
    };
    let add = agent_trust::Command::AddAddress {
        url: url.clone(),
        place,
    };
    let done = site
        .execute(&caller, &change, Command::AgentTrust(add), None)
        .await?;
    let published = site.engine.published();
    let clients = published.world.jump_clients.len();
    let rows = site
        .scans
        .run(clients, move || address_rows(&published.world))
        .await?;
    let asked = url.trim().trim_end_matches('/');
    let is_it = |row: &Value| {
        let held = row["url"].as_str().unwrap_or_default();
        held.eq_ignore_ascii_case(asked)
    };
    created(&done, "site-addresses", rows, is_it)
}

async fn withdraw_address(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(address): PathId<SiteAddressId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let cut_off = may_cut_off(&parts)?;
    let withdraw = agent_trust::Command::WithdrawAddress { address, cut_off };
    let command = Command::AgentTrust(withdraw);
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

async fn list_without_address(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(address): PathId<SiteAddressId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[CUT_OFF], &site, &known)?;
    let list = &known.world().agent_trust.addresses;
    let needed = needed_version(list, address, &listing, "Site address")?;
    let clients = known.world().jump_clients.len();
    let answered = move || unconfirmed(&listing, &known, needed, |confirmed| confirmed.addresses);
    Ok(site.scans.run(clients, answered).await?)
}

fn address_rows(world: &World) -> Vec<Value> {
    let addresses = &world.agent_trust.addresses;
    let counted = Counted::of(world, |confirmed| confirmed.addresses);
    let entries = addresses.entries.iter().zip(1..);
    entries
        .map(|(entry, place)| {
            let mut row = row(addresses, entry, &counted);
            row["url"] = json!(entry.value);
            row["place"] = json!(place);
            row
        })
        .collect()
}

// --- both ---

/// How many Jump Clients have confirmed which version, by version.
struct Counted(std::collections::BTreeMap<u64, usize>);

impl Counted {
    fn of(world: &World, version: impl Fn(Confirmed) -> u64) -> Self {
        let mut counted = std::collections::BTreeMap::new();
        for (_, client) in world.unconfirmed_clients(|_| true) {
            *counted.entry(version(client.trust_confirmed)).or_default() += 1;
        }
        Self(counted)
    }

    fn below(&self, version: u64) -> usize {
        self.0.range(..version).map(|(_, clients)| clients).sum()
    }
}

fn row<Id: Copy + PartialEq + serde::Serialize>(
    list: &List<Id>,
    entry: &Entry<Id>,
    counted: &Counted,
) -> Value {
    // Without another entry everybody is cut off.
    let enough = list.enough_without(entry.id).unwrap_or(u64::MAX);
    json!({
        "id": entry.id,
        "version": entry.version,
        "added_at": entry.added_at.to_rfc3339(),
        "unconfirmed": counted.below(entry.version),
        "cut_off_if_withdrawn": counted.below(enough),
    })
}

/// The version that those in the list have not confirmed.
fn needed_version<Id: Copy + PartialEq>(
    list: &List<Id>,
    id: Id,
    listing: &Listing,
    what: &'static str,
) -> Result<u64, Problem> {
    let entry = list.get(id).ok_or_else(|| Problem::not_found(what))?;
    let cut_off = listing.filters.iter().any(|(_, value)| value == "true");
    Ok(if cut_off {
        list.enough_without(id).unwrap_or(u64::MAX)
    } else {
        entry.version
    })
}

fn unconfirmed(
    listing: &Listing,
    known: &Known,
    needed: u64,
    version: impl Fn(Confirmed) -> u64 + Copy,
) -> Response {
    let world = known.world();
    let lacking = world.unconfirmed_clients(move |confirmed| version(confirmed) < needed);
    listing.answer(known, lacking, |(id, client)| {
        unconfirmed_row(world, id, client, version(client.trust_confirmed))
    })
}

fn unconfirmed_row(world: &World, id: JumpClientId, client: &JumpClient, version: u64) -> Object {
    let offline_since = world.offline_since(client);
    let row = json!({
        "id": id,
        "name": client.properties.name,
        "hostname": client.facts.hostname,
        "online": world.is_online(client),
        "offline_since": offline_since.map(|since| since.to_rfc3339()),
        "confirmed_version": version,
    });
    match row {
        Value::Object(row) => row,
        _ => Object::new(),
    }
}

fn created(
    done: &engine::Done,
    path: &str,
    rows: Vec<Value>,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Answer<Value>, JsonError> {
    let row = rows.into_iter().find(is_it);
    let row = row.ok_or_else(|| Problem::not_found("Entry"))?;
    let location = format!("{BASE}/{path}/{}", row["id"]);
    Ok(Answer::created(done, location, row))
}

fn invalid(field: &str, message: impl Into<String>) -> Problem {
    Problem::invalid(FieldErrors::one(field, message))
}

/// The text `name` of a body that may have the members `others` beside it.
fn only_text(body: &Object, name: &'static str, others: &[&str]) -> Result<String, Problem> {
    let mut errors = FieldErrors::default();
    for member in body.keys() {
        if member != name && !others.contains(&member.as_str()) {
            errors.push(member.clone(), format!("The {member} field is not known."));
        }
    }
    let text = body.get(name).and_then(Value::as_str);
    if text.is_none() {
        errors.push(name, format!("The {name} field is required."));
    }
    Ok(errors.into_result(text.unwrap_or_default().to_owned())?)
}

/// Whether the query of a withdrawal says that Jump Clients may be cut off.
fn may_cut_off(parts: &Parts) -> Result<bool, Problem> {
    let mut may = false;
    let mut errors = FieldErrors::default();
    let query = form::query(parts.uri.query(), |_| false).map_err(Problem::invalid)?;
    for (name, value) in query {
        match (name.as_str(), value.as_str()) {
            ("cut_off", "true") => may = true,
            ("cut_off", "false") => may = false,
            ("cut_off", _) => errors.push("cut_off", "The cut_off must be true or false."),
            (name, _) => errors.push(
                name.chars().take(64).collect::<String>(),
                "This parameter is not known.",
            ),
        }
    }
    Ok(errors.into_result(may)?)
}
