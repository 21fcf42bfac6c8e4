//! The members of a body that has no table: each is taken once, and what is left over is not known.

use std::collections::BTreeSet;

use domain::record::Object;
use domain::{FieldErrors, Refusal};
use serde_json::Value;

/// Longest name of an unknown member that is repeated to the caller, in characters.
const NAME_CHARS_MAX: usize = 64;

/// A body that is being read.
pub(super) struct Fields<'b> {
    body: &'b Object,
    known: BTreeSet<&'static str>,
    errors: FieldErrors,
}

impl<'b> Fields<'b> {
    pub(super) fn of(body: &'b Object) -> Self {
        Self {
            body,
            known: BTreeSet::new(),
            errors: FieldErrors::default(),
        }
    }

    /// The member `name`, where it is there and not null.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'b Value> {
        self.known.insert(name);
        self.body.get(name).filter(|value| !value.is_null())
    }

    /// A member that is true or false; false without it.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong(name, format!("The {name} field must be true or false."));
                false
            }
        }
    }

    /// A member that is a text.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name) {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.wrong(name, format!("The {name} field must be a string."));
                None
            }
        }
    }

    /// A member that is the number of something, and is required.
    pub(super) fn number(&mut self, name: &'static str) -> Option<u32> {
        let number = self
            .take(name)
            .and_then(Value::as_u64)
            .and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.wrong(
                name,
                format!("The {name} field is required and must be a whole number."),
            );
        }
        number
    }

    /// Something is wrong with a member.
    pub(super) fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(name.to_owned(), message.into());
    }

    /// What was read; where something was wrong, all that was.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<T, Refusal> {
        for name in self.body.keys() {
            if !self.known.contains(name.as_str()) {
                self.errors.push(
                    name.chars().take(NAME_CHARS_MAX).collect::<String>(),
                    "This field is not known.",
                );
            }
        }
        match read {
            Some(read) => self.errors.into_result(read),
            None => Err(Refusal::Invalid(self.errors)),
        }
    }
}
