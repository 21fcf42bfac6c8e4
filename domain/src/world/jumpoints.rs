//! Jumpoints with their users, session policies, custom fields and session attributes in the [`World`](crate::World).

use std::collections::BTreeMap;

use crate::World;
use crate::access::group_policy::Of;
use crate::ids::{
    CustomFieldId, CustomSessionAttributeId, JumpItemRef, JumpointId, SessionPolicyId, ShellJumpId,
    UserId,
};
use crate::items::custom_field::CustomField;
use crate::items::jumpoint::Jumpoint;
use crate::policy::session_policy::SessionPolicy;
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::world::names::Kind;

impl World {
    // --- Jumpoints ---

    /// Whether the Jumpoint is there.
    #[must_use]
    pub fn has_jumpoint(&self, jumpoint: JumpointId) -> bool {
        self.jumpoints.contains(&jumpoint)
    }

    /// The Jumpoint that is called so, without regard to case.
    #[must_use]
    pub fn jumpoint_named(&self, name: &str) -> Option<JumpointId> {
        self.names.holder(Kind::Jumpoint, name).map(JumpointId)
    }

    /// The shortcuts that go through a Jumpoint, by id.
    pub fn items_through(&self, jumpoint: JumpointId) -> impl Iterator<Item = JumpItemRef> {
        self.shell_jumps
            .iter()
            .filter(move |(_, item)| item.properties.jumpoint_id == jumpoint)
            .map(|(id, _)| JumpItemRef::ShellJump(*id))
    }

    pub(super) fn name_jumpoint(&mut self, id: JumpointId, jumpoint: &Jumpoint) {
        self.names.take(Kind::Jumpoint, &jumpoint.name, id.0);
        self.names
            .take(Kind::JumpointCode, &jumpoint.code_name, id.0);
    }

    fn unname_jumpoint(&mut self, id: JumpointId) {
        if let Some(before) = self.jumpoints.remove(&id) {
            self.names.free(Kind::Jumpoint, &before.name);
            self.names.free(Kind::JumpointCode, &before.code_name);
        }
    }

    pub(crate) fn put_jumpoint(&mut self, id: JumpointId, jumpoint: Jumpoint) {
        self.unname_jumpoint(id);
        self.name_jumpoint(id, &jumpoint);
        self.jumpoints.insert(id, jumpoint);
    }

    /// With its users, what group policies say of it, and the shortcuts through it (JPT-32).
    pub(crate) fn forget_jumpoint(&mut self, id: JumpointId) {
        self.unname_jumpoint(id);
        let users: Vec<UserId> = self.jumpoint_users(id).collect();
        for user in users {
            self.forget_jumpoint_user(id, user);
        }
        self.forget_rows_of(Of::Jumpoint(id));
        let items: Vec<ShellJumpId> = self
            .shell_jumps
            .iter()
            .filter(|(_, item)| item.properties.jumpoint_id == id)
            .map(|(item, _)| *item)
            .collect();
        for item in items {
            self.forget_shell_jump(item);
        }
    }

    /// Whether `user` is named on the Jumpoint.
    #[must_use]
    pub fn is_jumpoint_user(&self, jumpoint: JumpointId, user: UserId) -> bool {
        self.jumpoint_users.contains(&(jumpoint, user))
    }

    /// Who is named on the Jumpoint, by id.
    pub fn jumpoint_users(&self, jumpoint: JumpointId) -> impl Iterator<Item = UserId> {
        self.jumpoint_users
            .range((jumpoint, UserId(0))..=(jumpoint, UserId(u32::MAX)))
            .map(|(_, user)| *user)
    }

    pub(crate) fn put_jumpoint_user(&mut self, jumpoint: JumpointId, user: UserId) {
        self.jumpoint_users.insert((jumpoint, user));
    }

    pub(crate) fn forget_jumpoint_user(&mut self, jumpoint: JumpointId, user: UserId) {
        self.jumpoint_users.remove(&(jumpoint, user));
    }

    pub(super) fn forget_user_of_jumpoints(&mut self, user: UserId) {
        let named: Vec<(JumpointId, UserId)> = self
            .jumpoint_users
            .iter()
            .filter(|(_, named)| *named == user)
            .copied()
            .collect();
        for pair in named {
            self.jumpoint_users.remove(&pair);
        }
    }

    // --- session policies ---

    pub(crate) fn put_session_policy(&mut self, id: SessionPolicyId, policy: SessionPolicy) {
        self.forget_session_policy(id);
        self.names
            .take(Kind::SessionPolicyCode, &policy.code_name, id.0);
        self.session_policies.insert(id, policy);
    }

    pub(crate) fn forget_session_policy(&mut self, id: SessionPolicyId) {
        if let Some(before) = self.session_policies.remove(&id) {
            self.names.free(Kind::SessionPolicyCode, &before.code_name);
        }
    }

    // --- custom fields of items ---

    /// The custom field with this code name, without regard to case.
    #[must_use]
    pub fn custom_field_named(&self, code_name: &str) -> Option<CustomFieldId> {
        self.names
            .holder(Kind::CustomFieldCode, code_name)
            .map(CustomFieldId)
    }

    /// The value of one custom field of an item.
    #[must_use]
    pub fn custom_value(&self, item: JumpItemRef, field: CustomFieldId) -> Option<&str> {
        self.custom_values
            .get(&item)?
            .get(&field)
            .map(String::as_str)
    }

    /// The values of an item's custom fields by code name, in the order of the fields; empty ones are left out (TICK-49).
    pub fn custom_values_of(&self, item: JumpItemRef) -> impl Iterator<Item = (&str, &str)> {
        self.custom_values
            .get(&item)
            .into_iter()
            .flatten()
            .filter_map(|(field, value)| {
                let field = self.custom_fields.get(field)?;
                Some((field.code_name.as_str(), value.as_str()))
            })
    }

    pub(crate) fn set_custom_values(
        &mut self,
        item: JumpItemRef,
        changed: &BTreeMap<CustomFieldId, String>,
    ) {
        if !self.has_item(item) {
            return;
        }
        let mut values = self.custom_values.get(&item).cloned().unwrap_or_default();
        for (field, value) in changed {
            if value.is_empty() || !self.custom_fields.contains(field) {
                values.remove(field);
            } else {
                values.insert(*field, value.clone());
            }
        }
        if values.is_empty() {
            self.custom_values.remove(&item);
        } else {
            self.custom_values.insert(item, values);
        }
    }

    pub(crate) fn put_custom_field(&mut self, id: CustomFieldId, field: CustomField) {
        if let Some(before) = self.custom_fields.remove(&id) {
            self.names.free(Kind::CustomFieldCode, &before.code_name);
        }
        self.names
            .take(Kind::CustomFieldCode, &field.code_name, id.0);
        self.custom_fields.insert(id, field);
    }

    pub(crate) fn forget_custom_field(&mut self, id: CustomFieldId) {
        if let Some(before) = self.custom_fields.remove(&id) {
            self.names.free(Kind::CustomFieldCode, &before.code_name);
        }
        let items: Vec<JumpItemRef> = self
            .custom_values
            .iter()
            .filter(|(_, values)| values.contains_key(&id))
            .map(|(item, _)| *item)
            .collect();
        let gone = BTreeMap::from([(id, String::new())]);
        for item in items {
            self.set_custom_values(item, &gone);
        }
    }

    // --- custom attributes of sessions ---

    /// The session attribute with this code name, without regard to case.
    #[must_use]
    pub fn session_attribute_named(&self, code_name: &str) -> Option<CustomSessionAttributeId> {
        self.names
            .holder(Kind::SessionAttributeCode, code_name)
            .map(CustomSessionAttributeId)
    }

    pub(crate) fn put_session_attribute(
        &mut self,
        id: CustomSessionAttributeId,
        attribute: CustomSessionAttribute,
    ) {
        self.forget_session_attribute(id);
        self.names
            .take(Kind::SessionAttributeCode, &attribute.code_name, id.0);
        self.custom_session_attributes.insert(id, attribute);
    }

    pub(crate) fn forget_session_attribute(&mut self, id: CustomSessionAttributeId) {
        if let Some(before) = self.custom_session_attributes.remove(&id) {
            self.names
                .free(Kind::SessionAttributeCode, &before.code_name);
        }
    }

    /// The names of the records of this file, after a snapshot.
    pub(super) fn name_what_items_need(&mut self) {
        for (id, jumpoint) in self.jumpoints.clone().iter() {
            self.name_jumpoint(*id, jumpoint);
        }
        for (id, policy) in self.session_policies.clone().iter() {
            self.names
                .take(Kind::SessionPolicyCode, &policy.code_name, id.0);
        }
        for (id, field) in self.custom_fields.clone().iter() {
            self.names
                .take(Kind::CustomFieldCode, &field.code_name, id.0);
        }
        for (id, attribute) in self.custom_session_attributes.clone().iter() {
            self.names
                .take(Kind::SessionAttributeCode, &attribute.code_name, id.0);
        }
    }
}
