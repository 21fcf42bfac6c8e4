//! Access sessions: one endpoint, its members, a beginning and an end, what happens between; and what starts by itself.

pub mod access_session;
pub mod details;
pub mod startup_group;
