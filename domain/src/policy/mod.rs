//! When and how a Jump Item may be reached: Jump Policies and their schedules.

pub mod jump_policy;
pub mod schedule;
