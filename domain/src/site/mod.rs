//! The site itself: its first start, its settings, its mail, its users and API accounts.

pub mod agent_trust;
pub mod api_account;
pub mod custom_session_attribute;
pub mod first_start;
pub mod mail_address;
pub mod mail_delivery;
pub mod mail_settings;
pub mod mail_template;
pub mod settings;
pub mod team;
pub mod ticket_system;
pub mod upgrade;
pub mod user;
