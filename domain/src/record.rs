//! The generic aggregate for plain records: most configuration.
//!
//! A record is an ordinary struct and one constant table beside it, [`Record::FIELDS`], with a line per field. Everything
//! generic works on the JSON object of the struct, led by the table: reading and checking a body, null-or-empty rules,
//! filters, the difference that becomes a `Changed` event, the schema in the OpenAPI document, the limit tests. Rules use
//! the struct.
//!
//! States: absent → there (`Created`) → there, changed (`Changed`, only the changed fields, old and new) → gone (`Deleted`).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::NumericId;
use crate::{Context, FieldErrors, Refusal, Timestamp, World};

mod language;
mod line;
mod reading;
#[cfg(test)]
mod tests;

pub(crate) use line::name_of_text;
pub use reading::{Reading, read_body, read_value};

/// A JSON object: the body of a request or the JSON form of a record.
pub type Object = Map<String, Value>;

/// What a field may hold, with its limits. Lengths count characters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A small integer id, 1 to 2,147,483,647.
    Id,
    /// Text of this many characters, with line breaks where it likes.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// What something is called: one line of this many characters that people can read and tell from another. No control
    /// characters, nothing that turns the direction of text or can't be seen, and not blanks alone.
    Name {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// A code name: 0 to 64 of letters, digits, `_`, `\` and `-`; empty counts as absent (config-api.md 7.1).
    CodeName,
    /// A locale code of a language that there is, such as `en-us`.
    Language,
    /// True or false.
    Boolean,
    /// A whole number within these bounds, inclusive.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    Texts {
        /// Most members.
        members_max: usize,
        /// Most characters of each.
        text_max: usize,
    },
    /// A list of `{start, end}`, each an IPv4 address.
    AddressRanges {
        /// Most members.
        members_max: usize,
    },
    /// A point in time; RFC 3339 UTC or a UNIX number coming in, RFC 3339 going out, microseconds in the struct.
    Moment,
    /// A reference to a sealed secret. Bodies carry the secret itself, of at most this many characters; a handler puts it
    /// away and hands the reference on.
    Secret {
        /// Most characters of the secret.
        max: usize,
    },
}

/// What a field names in another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A Jump Item Role.
    JumpItemRole,
    /// A Jump Policy.
    JumpPolicy,
    /// A shared Jump Group or, by a `jump_group_type` beside it, a personal list.
    JumpGroup,
    /// A user.
    User,
    /// A Jumpoint.
    Jumpoint,
    /// A session policy.
    SessionPolicy,
}

/// Which surface may write a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The published Configuration API (and the console API for what that can only read).
    Body,
    /// Only when the record is made; a change that gives another value is refused.
    OnCreate,
    /// Only `users/{id}/permissions` of the console API.
    Permissions,
    /// Nobody: given by the server, returned, accepted in a body and ignored.
    Never,
}

/// One line of a record's table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name in JSON and in the struct.
    pub name: &'static str,
    /// What it holds, with limits.
    pub kind: Kind,
    /// Whether a body that makes the record must have it.
    pub required: bool,
    /// Whether `null` is a value: accepted, and returned when unset.
    pub nullable: bool,
    /// Whether answers leave it out where it is unset: the published type has no null.
    pub omitted: bool,
    /// Who may write it.
    pub write: Write,
    /// Whether it is never returned.
    pub write_only: bool,
    /// Whether a list can be filtered by it (exact, case-insensitive).
    pub filter: bool,
    /// Most characters that a body of the Configuration API may give it, where that is fewer than are stored (ITEM-56).
    pub published_max: Option<usize>,
    /// The record it names.
    pub reference: Option<Reference>,
    /// What it is, for the OpenAPI document.
    pub about: &'static str,
}

impl Field {
    /// A field that bodies may write, optional, not null, returned, no filter.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            required: false,
            nullable: false,
            omitted: false,
            write: Write::Body,
            write_only: false,
            filter: false,
            published_max: None,
            reference: None,
            about,
        }
    }

    /// Required in a body that makes the record.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// May be `null`.
    #[must_use]
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// May be unset: `null` in a body, and left out of answers, where the published type has no null (config-api.md, section 8).
    #[must_use]
    pub const fn omitted(mut self) -> Self {
        self.nullable = true;
        self.omitted = true;
        self
    }

    /// Lists can be filtered by it.
    #[must_use]
    pub const fn filter(mut self) -> Self {
        self.filter = true;
        self
    }

    /// Bodies of the Configuration API give it at most this many characters.
    #[must_use]
    pub const fn published_max(mut self, characters: usize) -> Self {
        self.published_max = Some(characters);
        self
    }

    /// Who may write it.
    #[must_use]
    pub const fn write(mut self, write: Write) -> Self {
        self.write = write;
        self
    }

    /// Never returned.
    #[must_use]
    pub const fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// Names another record, which must exist.
    #[must_use]
    pub const fn names(mut self, reference: Reference) -> Self {
        self.reference = Some(reference);
        self
    }
}

/// A plain record: a struct whose JSON object has exactly the members of [`Record::FIELDS`] (a test asks).
pub trait Record:
    Clone + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The id of this kind of record.
    type Id: NumericId + Send + Sync;
    /// The category of its streams, such as `jump_group`.
    const CATEGORY: &'static str;
    /// The first number it gives.
    const FIRST_ID: u32 = 1;
    /// What it is called in messages, such as `Jump Group`.
    const TITLE: &'static str;
    /// The stored names of its events: created, changed, deleted.
    const STORED_NAMES: [&'static str; 3];
    /// A line per field.
    const FIELDS: &'static [Field];
    /// Members that are shown but not stored here: in answers, accepted in bodies and ignored.
    const COMPUTED: &'static [Field] = &[];

    /// The record `id`, if it is there.
    fn find(world: &World, id: Self::Id) -> Option<&Self>;
    /// Puts the record into the world, with all its indexes. `at` is when it happened.
    fn put(world: &mut World, id: Self::Id, record: Self, at: Timestamp);
    /// Takes the record out of the world, with all that goes with it.
    fn remove(world: &mut World, id: Self::Id);

    /// Fills in what the server gives a new or changed record: a code name, for one. `id` is none for a new record.
    fn complete(&mut self, _world: &World, _id: Option<Self::Id>, _context: &Context) {}

    /// What spans fields or records: names that must be unique, fields that exclude each other.
    ///
    /// # Errors
    /// The fields that are not right, or what else stands against it.
    fn check(&self, world: &World, id: Option<Self::Id>) -> Result<(), Refusal>;

    /// Whether the record may go now.
    ///
    /// # Errors
    /// [`Refusal::InUse`] with who uses it.
    fn may_be_deleted(_world: &World, _id: Self::Id, _now: Timestamp) -> Result<(), Refusal> {
        Ok(())
    }
}

/// What may be asked of a record. Bodies are checked against the table by `decide`.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<R: Record> {
    /// Make one.
    Create(Object),
    /// Change the named fields; the others stay.
    Change(R::Id, Object),
    /// Change the fields that only `users/{id}/permissions` writes.
    ChangePermissions(R::Id, Object),
    /// Take it away.
    Delete(R::Id),
}

/// One field's change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The value before.
    pub old: Value,
    /// The value since.
    pub new: Value,
}

/// What happens to a record. Expected rate: a few a day, thousands in an import.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event<R> {
    /// Made, with all its fields.
    Created(R),
    /// Changed: only the fields that did, old and new.
    Changed(BTreeMap<String, Change>),
    /// Taken away; `name` is what it was called, for readers of the log.
    Deleted(Deleted),
}

/// A record was taken away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deleted {
    /// What it was called at the time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Which fields a body may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Makes a record.
    Create,
    /// Changes one.
    Change,
    /// Changes a user's permissions.
    Permissions,
}

impl Purpose {
    fn writes(self, field: &Field) -> bool {
        match (self, field.write) {
            (_, Write::Never) => false,
            (Self::Create, Write::Body | Write::OnCreate) | (Self::Change, Write::Body) => true,
            (Self::Permissions, Write::Permissions) => true,
            _ => false,
        }
    }
}

/// The id that a decision concerns and what happens to it, if anything does; or why not.
pub type Outcome<R> = Result<Option<(<R as Record>::Id, Event<R>)>, Refusal>;

/// What becomes of `command`, as the id it concerns and what happens to it; `None` where nothing changes.
///
/// # Errors
/// [`Refusal::Invalid`] naming each wrong field, [`Refusal::NotFound`], or what the record's own checks say.
pub fn decide<R: Record>(world: &World, command: &Command<R>, context: &Context) -> Outcome<R> {
    match command {
        Command::Create(body) => decide_create(world, body, context).map(Some),
        Command::Change(id, body) => decide_change(world, *id, body, Purpose::Change, context),
        Command::ChangePermissions(id, body) => {
            decide_change(world, *id, body, Purpose::Permissions, context)
        }
        Command::Delete(id) => decide_delete::<R>(world, *id, context.now).map(Some),
    }
}

fn decide_create<R: Record>(
    world: &World,
    body: &Object,
    context: &Context,
) -> Result<(R::Id, Event<R>), Refusal> {
    create_from(
        world,
        &R::default(),
        body,
        Reading::of(Purpose::Create, context),
        context,
    )
}

/// What becomes of a copy: a record with the values of `original` and, in their place, those of `body`. What the original has is
/// not judged anew, so that what was stored under other rules can still be copied.
///
/// # Errors
/// As [`decide`].
pub fn decide_copy<R: Record>(
    world: &World,
    original: &R,
    body: &Object,
    context: &Context,
) -> Result<(R::Id, Event<R>), Refusal> {
    let values = to_object(original);
    let mut whole = values.clone();
    whole.extend(body.clone());
    let reading = Reading::of(Purpose::Create, context).over(&values);
    create_from(world, original, &whole, reading, context)
}

fn create_from<R: Record>(
    world: &World,
    base: &R,
    body: &Object,
    reading: Reading<'_>,
    context: &Context,
) -> Result<(R::Id, Event<R>), Refusal> {
    let body = read_body(R::FIELDS, R::COMPUTED, body, reading)?;
    let mut record: R = overlay(base, &body)?;
    record.complete(world, None, context);
    check_references(world, R::FIELDS, &to_object(&record))?;
    record.check(world, None)?;
    Ok((
        R::Id::from_number(world.next_id(R::CATEGORY).max(R::FIRST_ID)),
        Event::Created(record),
    ))
}

fn decide_change<R: Record>(
    world: &World,
    id: R::Id,
    body: &Object,
    purpose: Purpose,
    context: &Context,
) -> Outcome<R> {
    let current = R::find(world, id).ok_or(Refusal::not_found(R::TITLE))?;
    let values = to_object(current);
    let reading = Reading::of(purpose, context).over(&values);
    let body = read_body(R::FIELDS, R::COMPUTED, body, reading)?;
    let mut record: R = overlay(current, &body)?;
    record.complete(world, Some(id), context);
    let changes = difference(current, &record);
    if changes.is_empty() {
        return Ok(None);
    }
    check_references(world, R::FIELDS, &to_object(&record))?;
    record.check(world, Some(id))?;
    Ok(Some((id, Event::Changed(changes))))
}

fn decide_delete<R: Record>(
    world: &World,
    id: R::Id,
    now: Timestamp,
) -> Result<(R::Id, Event<R>), Refusal> {
    let current = R::find(world, id).ok_or(Refusal::not_found(R::TITLE))?;
    R::may_be_deleted(world, id, now)?;
    Ok((
        id,
        Event::Deleted(Deleted {
            name: name_of(current),
        }),
    ))
}

/// Folds one event into the world.
pub fn apply<R: Record>(world: &mut World, id: R::Id, event: &Event<R>, at: Timestamp) {
    match event {
        Event::Created(record) => {
            world.used_id(R::CATEGORY, id.number());
            R::put(world, id, record.clone(), at);
        }
        Event::Changed(changes) => {
            let Some(current) = R::find(world, id) else {
                return;
            };
            let mut object = to_object(current);
            for (name, change) in changes {
                object.insert(name.clone(), change.new.clone());
            }
            // What was stored was checked when it was read.
            if let Ok(record) = serde_json::from_value(Value::Object(object)) {
                R::put(world, id, record, at);
            }
        }
        Event::Deleted(_) => R::remove(world, id),
    }
}

impl<R: Record> Event<R> {
    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        let [created, changed, deleted] = R::STORED_NAMES;
        match self {
            Self::Created(_) => created,
            Self::Changed(_) => changed,
            Self::Deleted(_) => deleted,
        }
    }

    /// Reads an event back; `None` if the name is not one of this record's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let [created, changed, deleted] = R::STORED_NAMES;
        if name == created {
            serde_json::from_slice(text).map(|record| Some(Self::Created(record)))
        } else if name == changed {
            let changes = serde_json::from_slice(text)?;
            check_fit::<R>(&changes)?;
            Ok(Some(Self::Changed(changes)))
        } else if name == deleted {
            serde_json::from_slice(text).map(|gone| Some(Self::Deleted(gone)))
        } else {
            Ok(None)
        }
    }
}

/// Checks that stored changes fit the record: folding them can't fail, and leaves out what does not.
fn check_fit<R: Record>(changes: &BTreeMap<String, Change>) -> Result<(), serde_json::Error> {
    let mut object = to_object(&R::default());
    for (name, change) in changes {
        let is_known =
            object.contains_key(name) || R::FIELDS.iter().any(|field| field.name == *name);
        if !is_known {
            let message = format!("there is no field {name}");
            return Err(serde::de::Error::custom(message));
        }
        object.insert(name.clone(), change.new.clone());
    }
    serde_json::from_value::<R>(Value::Object(object)).map(drop)
}

/// The JSON object of a record. Records are structs of plain values, so this can't fail; what can't be is empty.
pub fn to_object<R: Serialize>(record: &R) -> Object {
    match serde_json::to_value(record) {
        Ok(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

/// The record as the APIs show it: the table's fields in its order, without what is never returned and what is unset and has no
/// null.
pub fn render<R: Record>(id: R::Id, record: &R) -> Object {
    let mut object = to_object(record);
    let mut shown = Object::new();
    shown.insert("id".to_owned(), Value::from(id.number()));
    for field in R::FIELDS.iter().filter(|field| !field.write_only) {
        let value = object.remove(field.name).unwrap_or(Value::Null);
        let value = match field.kind {
            Kind::Moment => value
                .as_i64()
                .map_or(Value::Null, |micros| Timestamp(micros).to_rfc3339().into()),
            _ => value,
        };
        if value.is_null() && field.omitted {
            continue;
        }
        shown.insert(field.name.to_owned(), value);
    }
    shown
}

/// What a record is called: its `name`, else its `display_name`, else its `username`.
fn name_of<R: Serialize>(record: &R) -> String {
    let object = to_object(record);
    ["name", "display_name", "username"]
        .iter()
        .find_map(|field| object.get(*field).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

fn overlay<R: Record>(base: &R, body: &Object) -> Result<R, Refusal> {
    let mut object = to_object(base);
    for (name, value) in body {
        object.insert(name.clone(), value.clone());
    }
    serde_json::from_value(Value::Object(object))
        .map_err(|error| Refusal::field("body", error.to_string()))
}

fn difference<R: Record>(old: &R, new: &R) -> BTreeMap<String, Change> {
    let mut old = to_object(old);
    to_object(new)
        .into_iter()
        .filter_map(|(name, new)| {
            let old = old.remove(&name).unwrap_or(Value::Null);
            (old != new).then_some((name, Change { old, new }))
        })
        .collect()
}

/// Every reference names a record that is there.
fn check_references(world: &World, fields: &[Field], object: &Object) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    for field in fields {
        let Some(reference) = field.reference else {
            continue;
        };
        let Some(number) = object.get(field.name).and_then(Value::as_u64) else {
            continue;
        };
        let personal = object.get("jump_group_type").and_then(Value::as_str) == Some("personal");
        if !world.has(reference, u32::try_from(number).unwrap_or(0), personal) {
            errors.push(
                field.name,
                format!("The selected {} is invalid.", field.name),
            );
        }
    }
    errors.into_result(())
}

/// Makes a code name from a display name (POL-02, POL-52, GRP-02, architecture.md "Code names").
///
/// Lower case, blanks to `_`, all outside `[a-z0-9_]` dropped, cut to 60, then `_2`, `_3`. Where nothing is left, `fallback`
/// and the lowest free number: `jump_group0`, `jump_group1`.
pub fn generate_code_name(
    display_name: &str,
    fallback: &str,
    taken: impl Fn(&str) -> bool,
) -> String {
    let base: String = display_name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_whitespace() { '_' } else { c })
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
        .take(60)
        .collect();
    let mut number: u32 = if base.is_empty() { 0 } else { 1 };
    loop {
        let name = match number {
            _ if base.is_empty() => format!("{fallback}{number}"),
            1 => base.clone(),
            _ => format!("{base}_{number}"),
        };
        if !taken(&name) {
            return name;
        }
        number += 1;
    }
}
