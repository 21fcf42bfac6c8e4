//! When and how a Jump Item may be reached: Jump Policies, their schedules, and the gates they are.

pub mod gates;
pub mod jump_policy;
pub mod schedule;
