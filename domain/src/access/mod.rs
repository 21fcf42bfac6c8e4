//! Who may do what with which Jump Item: roles, Jump Groups with their members, and the one permission function.

pub mod admission;
pub mod jump_group;
pub mod permission;
pub mod role;
