//! What a plain record needs to be served, and the five handlers that serve it. Everything is led by the record's table.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;
use axum::response::Response;
use domain::ids::NumericId;
use domain::record::{self, Field, Object, Reading, Record};
use domain::{Command, Event, FieldErrors, Refusal, World};
use engine::{Done, Side};
use serde_json::Value;

use crate::access::{Access, Permission};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::BASE;
use crate::configuration::listing::{Filters, Listing, base_url, filter_text, strictly_unknown};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// What every route of the Configuration API needs (CONF-05).
pub const ACCESS: Access = Access::ApiAccount(Permission::Configuration);

/// A record that the Configuration API serves.
pub trait Resource: Record {
    /// Its path below the base, such as `jump-group`.
    const PATH: &'static str;
    /// Its schema in the OpenAPI document.
    const SCHEMA: &'static str;
    /// Members that the published schema has and this version only shows, each with what it shows: accepted and ignored.
    const FIXED: &'static [(&'static str, Fixed)] = &[];
    /// Fields of the table that only handlers write; in a body they are as unknown as any other name.
    const INTERNAL: &'static [&'static str] = &[];

    /// Members that known clients send and that mean nothing here: accepted, without effect and never shown (rules-notes).
    const SENT_BY_CLIENTS: &'static [&'static str] = &[];

    /// What lists can be filtered by and records have no member for.
    const FILTERS_ALONE: &'static [Field] = &[];

    /// The records, by id.
    fn rows(world: &World) -> impl Iterator<Item = (Self::Id, &Self)>;

    /// The command of the aggregate.
    fn command(command: record::Command<Self>) -> Command;

    /// The record that `event` made, if it made one of this kind.
    fn made(event: &Event) -> Option<(Self::Id, &Self)>;

    /// What is kept beside the log for a record, and goes when it is deleted.
    fn goes_with(_world: &World, _id: Self::Id) -> Option<Side> {
        None
    }

    /// Whether lists have it.
    fn is_listed(&self) -> bool {
        true
    }

    /// How it is shown.
    fn show(&self, _site: &Site, _world: &World, id: Self::Id) -> Object {
        let mut shown = record::render(id, self);
        show_fixed::<Self>(&mut shown);
        shown
    }

    /// What whoever saved it should know, though it was accepted; said in a header of the answer.
    fn warnings(&self, _world: &World, _id: Self::Id, _events: &[Event]) -> Vec<Cow<'static, str>> {
        Vec::new()
    }

    /// The text of one of its members that filters compare with, without regard to case.
    ///
    /// The default makes the record's whole JSON form, which is good enough for tables of some hundred rows; one that grows with
    /// the site borrows from the record.
    fn text_of<'r>(&'r self, _world: &'r World, _id: Self::Id, member: &str) -> Cow<'r, str> {
        Cow::Owned(filter_text(record::to_object(self).get(member)))
    }

    /// Records among which are all that the filters can find, by an index; `None` where no index helps.
    fn indexed(_world: &World, _filters: &Filters) -> Option<Vec<Self::Id>> {
        None
    }
}

/// The one value that a member has in this version.
#[derive(Clone, Copy, Debug)]
pub enum Fixed {
    /// `false`.
    False,
    /// `0`.
    Zero,
    /// None: it is left out of answers.
    Absent,
    /// A word.
    Word(&'static str),
}

impl Fixed {
    /// It, in JSON.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        match self {
            Self::False => Some(Value::Bool(false)),
            Self::Zero => Some(Value::from(0)),
            Self::Absent => None,
            Self::Word(word) => Some(Value::from(word)),
        }
    }
}

/// Adds the members that have one value in this version.
pub fn show_fixed<R: Resource>(shown: &mut Object) {
    for (name, fixed) in R::FIXED {
        match fixed.value() {
            Some(value) => shown.insert((*name).to_owned(), value),
            None => shown.remove(*name),
        };
    }
}

/// The fields a list of `R` can be filtered by.
#[must_use]
pub fn filters<R: Resource>() -> Vec<&'static Field> {
    R::FIELDS
        .iter()
        .chain(R::COMPUTED)
        .filter(|field| field.filter)
        .chain(R::FILTERS_ALONE)
        .collect()
}

/// `/api/config/v1/<path>`.
#[must_use]
pub fn path_of<R: Resource>() -> String {
    format!("{BASE}/{}", R::PATH)
}

/// The id that is the one parameter of a path. A parameter that is no id names nothing that is there.
#[derive(Clone, Copy, Debug)]
pub struct PathId<I>(pub I);

/// The ids that are the two parameters of a path, in order.
#[derive(Clone, Copy, Debug)]
pub struct PathIds<A, B>(pub A, pub B);

impl<S: Send + Sync, I: NumericId> FromRequestParts<S> for PathId<I> {
    type Rejection = JsonError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, JsonError> {
        let [id] = numbers(parts, state).await?;
        Ok(Self(I::from_number(id)))
    }
}

impl<S: Send + Sync, A: NumericId, B: NumericId> FromRequestParts<S> for PathIds<A, B> {
    type Rejection = JsonError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, JsonError> {
        let [first, second] = numbers(parts, state).await?;
        Ok(Self(A::from_number(first), B::from_number(second)))
    }
}

/// The numbers of a path's parameters, which must be as many as its handler takes.
async fn numbers<const N: usize>(
    parts: &mut Parts,
    state: &(impl Send + Sync),
) -> Result<[u32; N], JsonError> {
    let nothing = || Problem::not_found("Path");
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| nothing())?;
    let numbers = params
        .iter()
        .map(|(_, text)| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|number| digits && (1..=i32::MAX.cast_unsigned()).contains(number))
        })
        .collect::<Option<Vec<u32>>>()
        .ok_or_else(nothing)?;
    Ok(numbers.try_into().map_err(|_| Problem::internal())?)
}

/// Routes to read: list and get.
#[must_use]
pub fn read_routes<R: Resource>(site: &Arc<Site>) -> Routes {
    let path = path_of::<R>();
    Routes::new(site)
        .route(
            axum::http::Method::GET,
            &path,
            ACCESS,
            About::new("Lists, page by page.")
                .gives(Gives::Page(R::SCHEMA))
                .filters(filters::<R>()),
            list::<R>,
        )
        .route(
            axum::http::Method::GET,
            &format!("{path}/{{id}}"),
            ACCESS,
            About::new("Reads one.").gives(Gives::One(R::SCHEMA)),
            get::<R>,
        )
}

/// The route to delete.
#[must_use]
pub fn delete_route<R: Resource>(routes: Routes) -> Routes {
    routes.route(
        axum::http::Method::DELETE,
        &format!("{}/{{id}}", path_of::<R>()),
        ACCESS,
        About::new("Deletes one."),
        delete::<R>,
    )
}

/// The route to change.
#[must_use]
pub fn change_route<R: Resource>(routes: Routes) -> Routes {
    routes.route(
        axum::http::Method::PATCH,
        &format!("{}/{{id}}", path_of::<R>()),
        ACCESS,
        About::new("Changes the members given.")
            .takes(R::SCHEMA)
            .gives(Gives::One(R::SCHEMA)),
        change::<R>,
    )
}

/// The route to create.
#[must_use]
pub fn create_route<R: Resource>(routes: Routes) -> Routes {
    routes.route(
        axum::http::Method::POST,
        &path_of::<R>(),
        ACCESS,
        About::new("Creates one.")
            .takes(R::SCHEMA)
            .gives(Gives::Created(R::SCHEMA)),
        create::<R>,
    )
}

/// Lists a page of what matches all filters.
pub async fn list<R: Resource>(
    State(site): State<Arc<Site>>,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &filters::<R>(), &site, &known)?;
    let world = known.world();
    let found = R::indexed(world, &listing.filters);
    let rows = match &found {
        Some(found) => found.len(),
        None => R::rows(world).size_hint().0,
    };
    let scanned = Arc::clone(&site);
    let answer = site.scans.run(rows, move || match found {
        Some(found) => {
            let rows = found
                .into_iter()
                .filter_map(|id| Some((id, R::find(known.world(), id)?)));
            page_of(&scanned, &known, &listing, rows)
        }
        None => page_of(&scanned, &known, &listing, R::rows(known.world())),
    });
    Ok(answer.await?)
}

/// The page that was asked for of what matches among `rows`.
fn page_of<'w, R: Resource>(
    site: &Site,
    known: &'w Known,
    listing: &Listing,
    rows: impl Iterator<Item = (R::Id, &'w R)>,
) -> Response {
    let world = known.world();
    let matching = rows.filter(|(id, record)| {
        record.is_listed()
            && listing
                .filters
                .all_match(|member| record.text_of(world, *id, member))
    });
    listing.answer(known, matching, |(id, record)| record.show(site, world, id))
}

/// Reads one.
pub async fn get<R: Resource>(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(id): PathId<R::Id>,
) -> Result<Answer<Object>, JsonError> {
    let record = R::find(known.world(), id).ok_or_else(|| Problem::not_found(R::TITLE))?;
    let shown = record.show(&site, known.world(), id);
    Ok(Answer::known(&known.0, shown).tagged())
}

/// The same for the record `id`, whose entity tag is that of what reading it answers.
pub fn of_record<R: Resource>(site: &Arc<Site>, change: Change, id: R::Id) -> Change {
    let site = Arc::clone(site);
    change.of_target(move |world| Some(R::find(world, id)?.show(&site, world, id)))
}

/// Creates one.
pub async fn create<R: Resource>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = accepted::<R>(&change.body, &known)?;
    let command = R::command(record::Command::Create(body));
    let done = site.execute(&caller, &change, command, None).await?;
    let (id, record) = made_by::<R>(&done)?;
    // From the event, not from the world: a repeat of the request gets the first answer.
    let published = site.engine.published();
    let shown = record.show(&site, &published.world, id);
    let location = location_in_list(&parts, &site, id);
    let warnings = record.warnings(&published.world, id, &done.events);
    Ok(Answer::created(&done, location, shown)
        .tagged()
        .warned(warnings))
}

/// Changes the members given.
pub async fn change<R: Resource>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(id): PathId<R::Id>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = accepted::<R>(&change.body, &known)?;
    let change = of_record::<R>(&site, change, id);
    let command = R::command(record::Command::Change(id, body));
    let done = site.execute(&caller, &change, command, None).await?;
    changed::<R>(&site, &done, id)
}

/// Deletes one.
pub async fn delete<R: Resource>(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(id): PathId<R::Id>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let side = R::goes_with(&site.engine.published().world, id);
    let change = of_record::<R>(&site, change, id);
    let command = R::command(record::Command::Delete(id));
    let done = site.execute(&caller, &change, command, side).await?;
    Ok(Answer::nothing(&done))
}

/// The record as it is after a change.
///
/// # Errors
/// 404 where it was deleted meanwhile.
pub fn changed<R: Resource>(
    site: &Site,
    done: &Done,
    id: R::Id,
) -> Result<Answer<Object>, JsonError> {
    // Published before the change was answered, so it is at least as new.
    let published = site.engine.published();
    let record = R::find(&published.world, id).ok_or_else(|| Problem::not_found(R::TITLE))?;
    let shown = record.show(site, &published.world, id);
    let warnings = record.warnings(&published.world, id, &done.events);
    Ok(Answer::done(done, shown).tagged().warned(warnings))
}

/// The record that a command made.
///
/// # Errors
/// 500 if it made none, which no command of this kind does.
pub fn made_by<R: Resource>(done: &Done) -> Result<(R::Id, &R), JsonError> {
    done.events
        .iter()
        .find_map(R::made)
        .ok_or_else(|| Problem::internal().into())
}

/// The URL of a record in the Configuration API.
#[must_use]
pub fn location<R: Resource>(parts: &Parts, site: &Site, id: R::Id) -> String {
    format!("{}{}/{id}", base_url(parts, site), path_of::<R>())
}

/// The URL of a record that was made by a POST to its list, on whichever surface.
pub fn location_in_list(parts: &Parts, site: &Site, id: impl NumericId) -> String {
    let path = parts.uri.path().trim_end_matches('/');
    format!("{}{path}/{id}", base_url(parts, site))
}

/// Reads the body of what is no record of its own, such as a membership, against a table. Where the site wants strict
/// compatibility, names that are not known are 401.
///
/// `owner` is what it belongs to, by the name of its id in bodies: the published description asks for it beside the one of the
/// path, and clients send it.
///
/// # Errors
/// 422 or 401 naming the fields; 422 too where the owner is another one than the path's.
pub fn read_fields(
    fields: &[Field],
    owner: Option<(&str, u32)>,
    body: &Object,
    reading: Reading<'_>,
    known: &Known,
) -> Result<Object, JsonError> {
    let mut body = body.clone();
    let mut errors = FieldErrors::default();
    if let Some((name, id)) = owner
        && let Some(given) = body.get(name)
    {
        if given.as_u64() != Some(u64::from(id)) {
            errors.push(name, format!("The {name} field must be that of the path."));
        }
        if !fields.iter().any(|field| field.name == name) {
            body.remove(name);
        }
    }
    let mut unknown = FieldErrors::default();
    for name in body.keys() {
        if name != "id" && !fields.iter().any(|field| field.name == name) {
            unknown.push(name.clone(), format!("The {name} field is not known."));
        }
    }
    if !unknown.0.is_empty() && known.world().settings.strict_compatibility {
        return Err(strictly_unknown(unknown).into());
    }
    match record::read_body(fields, &[], &body, reading) {
        Ok(read) => Ok(errors.into_result(read)?),
        Err(Refusal::Invalid(wrong)) => {
            errors.0.extend(wrong.0);
            Err(Refusal::Invalid(errors).into())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The whole number of a member, if the body has it.
#[must_use]
pub fn number(body: &Object, name: &str) -> Option<u32> {
    body.get(name)?.as_u64()?.try_into().ok()
}

/// The id of a member that the body's table requires.
///
/// # Errors
/// 500 where the body was not read against such a table.
pub fn id_in<I: NumericId>(body: &Object, name: &str) -> Result<I, Problem> {
    let number = number(body, name).ok_or_else(Problem::internal)?;
    Ok(I::from_number(number))
}

/// The body without what is accepted and ignored (config-api.md 2.3). Names that nobody knows stay, for the rules to name; where
/// the site wants strict compatibility they are 401.
///
/// # Errors
/// 422 or 401 naming fields that are not known.
pub fn accepted<R: Resource>(body: &Object, known: &Known) -> Result<Object, JsonError> {
    let mut body = body.clone();
    body.retain(|name, _| {
        let is_fixed = R::FIXED.iter().any(|(fixed, _)| fixed == name);
        !is_fixed && !R::SENT_BY_CLIENTS.contains(&name.as_str())
    });
    let mut unknown = FieldErrors::default();
    for name in body.keys() {
        let in_table = R::FIELDS.iter().chain(R::COMPUTED);
        let is_known = name == "id" || in_table.into_iter().any(|field| field.name == name);
        if !is_known || R::INTERNAL.contains(&name.as_str()) {
            unknown.push(name.clone(), format!("The {name} field is not known."));
        }
    }
    if unknown.0.is_empty() {
        return Ok(body);
    }
    if known.world().settings.strict_compatibility {
        return Err(strictly_unknown(unknown).into());
    }
    if body.keys().any(|name| R::INTERNAL.contains(&name.as_str())) {
        return Err(Problem::invalid(unknown).into());
    }
    // `decide` names these together with whatever else is wrong.
    Ok(body)
}
