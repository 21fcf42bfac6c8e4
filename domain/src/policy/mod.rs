//! When and how a Jump Item may be reached: Jump Policies, their schedules, requests for approval, and the gates they are.

pub mod access_request;
pub mod gates;
pub mod inputs;
pub mod jump_policy;
pub mod schedule;
pub mod session_policy;
pub mod ticket;
