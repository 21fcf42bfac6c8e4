//! Who may do what with which Jump Item: roles, Jump Groups with their members, group policies, and the one permission
//! function.

pub mod admission;
pub mod explain;
pub mod group_policy;
pub mod jump_group;
pub mod members;
pub mod permission;
pub mod review;
pub mod role;
