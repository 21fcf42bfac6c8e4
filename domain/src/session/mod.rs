//! Access sessions: one user, one endpoint, a beginning and an end.

pub mod access_session;
