//! Custom fields of Jump Items: the site's definitions, which are plain records, and a value per item (TICK-49).
//!
//! States of a value: none ⇄ some text. A value goes with its item and with its definition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::permission;
use crate::access::role::JumpItemPermission;
use crate::ids::{CustomFieldId, JumpItemRef};
use crate::items::rights;
use crate::record::{self, Field, Kind, Object, Record};
use crate::world::names;
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// Most characters of a value (LIM-11).
pub const VALUE_MAX: usize = 1024;

/// What may be asked of custom fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete a definition.
    Record(record::Command<CustomField>),
    /// Give an item values: texts by the code name of the field. Null and empty text take a value away; fields that are not
    /// named keep theirs.
    SetValues(JumpItemRef, Object),
}

/// An item's values changed. Empty text is none. Expected rate: a few a day, thousands in an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValuesSet {
    /// The new values of the fields that changed.
    pub values: BTreeMap<CustomFieldId, String>,
}

impl ValuesSet {
    /// The name it is stored under.
    pub const STORED_NAME: &'static str = "ItemCustomFieldsSet";

    /// Reads an event back; `None` if the name is another's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        if name == Self::STORED_NAME {
            serde_json::from_slice(text).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// A custom field of Jump Items.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
pub struct CustomField {
    /// What it is called.
    pub display_name: String,
    /// The name that ticket systems get it by; unique, generated where absent.
    pub code_name: String,
}

impl Record for CustomField {
    type Id = CustomFieldId;
    const CATEGORY: &'static str = "custom_field";
    const TITLE: &'static str = "Custom Field";
    const STORED_NAMES: [&'static str; 3] = [
        "CustomFieldCreated",
        "CustomFieldChanged",
        "CustomFieldDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "display_name",
            Kind::Name { min: 1, max: 255 },
            "What the field is called.",
        )
        .required(),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name that ticket systems get it by; unique, generated where absent.",
        )
        .filter(),
    ];

    fn find(world: &World, id: CustomFieldId) -> Option<&Self> {
        world.custom_fields.get(&id)
    }

    fn put(world: &mut World, id: CustomFieldId, record: Self, _at: Timestamp) {
        world.put_custom_field(id, record);
    }

    fn remove(world: &mut World, id: CustomFieldId) {
        world.forget_custom_field(id);
    }

    fn complete(&mut self, world: &World, id: Option<CustomFieldId>, _context: &Context) {
        if self.code_name.is_empty() {
            let kind = names::Kind::CustomFieldCode;
            let taken = |name: &str| world.names.is_taken(kind, name, id.map(|id| id.0));
            self.code_name = record::generate_code_name(&self.display_name, "custom_field", taken);
        }
    }

    fn check(&self, world: &World, id: Option<CustomFieldId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let kind = names::Kind::CustomFieldCode;
        if world
            .names
            .is_taken(kind, &self.code_name, id.map(|id| id.0))
        {
            errors.push("code_name", "The code_name has already been taken.");
        }
        errors.into_result(())
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(command) => Ok(record::decide(world, command, context)?
            .map(|(id, event)| crate::Event::CustomField(id, event))
            .into_iter()
            .collect()),
        Command::SetValues(item, body) => decide_set_values(world, *item, body, context),
    }
}

/// Folds new values of an item into the world.
pub fn apply_values(world: &mut World, item: JumpItemRef, event: &ValuesSet) {
    world.set_custom_values(item, &event.values);
}

fn decide_set_values(
    world: &World,
    item: JumpItemRef,
    body: &Object,
    context: &Context,
) -> Decision {
    rights::seen(world, item, context)?;
    let mut errors = FieldErrors::default();
    let mut values = BTreeMap::new();
    for (code_name, value) in body {
        let Some(field) = world.custom_field_named(code_name) else {
            errors.push(
                code_name.chars().take(64).collect::<String>(),
                "No custom field with this code name is defined.",
            );
            continue;
        };
        let text = match value {
            Value::Null => "",
            Value::String(text) => text.as_str(),
            _ => {
                errors.push(code_name.as_str(), "The value must be a string or null.");
                continue;
            }
        };
        if text.chars().count() > VALUE_MAX {
            errors.push(
                code_name.as_str(),
                format!("The value must not be longer than {VALUE_MAX} characters."),
            );
        } else if world.custom_value(item, field).unwrap_or_default() != text {
            values.insert(field, text.to_owned());
        }
    }
    errors.into_result(())?;
    if values.is_empty() {
        return nothing();
    }
    if let Some(user) = context.role_holder() {
        permission::need(world, user, item, JumpItemPermission::EditComments)?;
    }
    happened(crate::Event::ItemCustomFields(item, ValuesSet { values }))
}

/// The event that gives `copy` the values of `original`; none where it has none.
pub(crate) fn copied(
    world: &World,
    original: JumpItemRef,
    copy: JumpItemRef,
) -> Option<crate::Event> {
    let values = world.custom_values.get(&original)?.clone();
    Some(crate::Event::ItemCustomFields(copy, ValuesSet { values }))
}
