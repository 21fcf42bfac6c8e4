//! The machines: installers that bring Jump Clients, and the clients themselves.

pub mod installer;
pub mod jump_client;
