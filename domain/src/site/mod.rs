//! The site itself: its first start, its settings, its users and API accounts.

pub mod api_account;
pub mod first_start;
pub mod settings;
pub mod team;
pub mod ticket_system;
pub mod user;
