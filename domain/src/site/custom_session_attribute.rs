//! Custom attributes that sessions may carry, as the site has configured them (TICK-46). A plain record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::CustomSessionAttributeId;
use crate::policy::ticket::EXTERNAL_KEY;
use crate::record::{self, Field, Kind, Record};
use crate::world::names;
use crate::{Context, FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// Most characters of one value (LIM-11).
pub const VALUE_MAX: usize = 1024;
/// Most bytes of all values of a session together (LIM-11).
pub const ALL_VALUES_BYTES_MAX: usize = 10 * 1024;

/// A custom attribute of sessions.
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
pub struct CustomSessionAttribute {
    /// What it is called.
    pub display_name: String,
    /// The name for scripts; unique, generated where absent.
    pub code_name: String,
    /// What it is for.
    pub description: String,
}

impl Record for CustomSessionAttribute {
    type Id = CustomSessionAttributeId;
    const CATEGORY: &'static str = "custom_session_attribute";
    const TITLE: &'static str = "Custom Session Attribute";
    const STORED_NAMES: [&'static str; 3] = [
        "CustomSessionAttributeCreated",
        "CustomSessionAttributeChanged",
        "CustomSessionAttributeDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "display_name",
            Kind::Name { min: 1, max: 255 },
            "What the attribute is called.",
        )
        .required(),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name for scripts; unique, generated where absent.",
        )
        .filter(),
        Field::new(
            "description",
            Kind::Text { min: 0, max: 1024 },
            "What it is for.",
        ),
    ];

    fn find(world: &World, id: CustomSessionAttributeId) -> Option<&Self> {
        world.custom_session_attributes.get(&id)
    }

    fn put(world: &mut World, id: CustomSessionAttributeId, record: Self, _at: Timestamp) {
        world.put_session_attribute(id, record);
    }

    fn remove(world: &mut World, id: CustomSessionAttributeId) {
        world.forget_session_attribute(id);
    }

    fn complete(
        &mut self,
        world: &World,
        id: Option<CustomSessionAttributeId>,
        _context: &Context,
    ) {
        if self.code_name.is_empty() {
            let kind = names::Kind::SessionAttributeCode;
            let taken = |name: &str| {
                is_reserved(name) || world.names.is_taken(kind, name, id.map(|id| id.0))
            };
            self.code_name = record::generate_code_name(&self.display_name, "attribute", taken);
        }
    }

    fn check(&self, world: &World, id: Option<CustomSessionAttributeId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let kind = names::Kind::SessionAttributeCode;
        // One that was made before the name was reserved can still be changed otherwise.
        let had_it = id
            .and_then(|id| Self::find(world, id))
            .is_some_and(|before| before.code_name == self.code_name);
        if is_reserved(&self.code_name) && !had_it {
            errors.push("code_name", "The code_name external_key is reserved.");
        }
        if world
            .names
            .is_taken(kind, &self.code_name, id.map(|id| id.0))
        {
            errors.push("code_name", "The code_name has already been taken.");
        }
        errors.into_result(())
    }
}

/// Every session has its external key under this code name (CMD-29), so that no attribute may take it.
fn is_reserved(code_name: &str) -> bool {
    code_name.eq_ignore_ascii_case(EXTERNAL_KEY)
}

/// Whether a session may carry `attributes`, by code name: each configured and no longer than 1,024 characters, all together
/// no more than 10 KB (TICK-46, LIM-11). The field of an error is the code name.
///
/// # Errors
/// [`Refusal::Invalid`] with every attribute that is not right.
pub fn check(world: &World, attributes: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    for (code_name, value) in attributes {
        if world.session_attribute_named(code_name).is_none() {
            errors.push(
                code_name.chars().take(64).collect::<String>(),
                "No session attribute with this code name is configured.",
            );
        } else if value.chars().count() > VALUE_MAX {
            errors.push(
                code_name.as_str(),
                format!("The value must not be longer than {VALUE_MAX} characters."),
            );
        }
    }
    let bytes: usize = attributes.values().map(String::len).sum();
    if bytes > ALL_VALUES_BYTES_MAX {
        errors.push(
            "attributes",
            "All attributes together must not be larger than 10 KB.",
        );
    }
    errors.into_result(())
}
