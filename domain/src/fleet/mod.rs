//! The machines: installers that bring Jump Clients, how many of these there may be, and the clients themselves.

pub mod capacity;
pub mod installer;
pub mod jump_client;
