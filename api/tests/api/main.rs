//! The HTTP surface, asked over real connections: an engine on a database of its own, a clock that leaps.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is a failure of the test"
)]

mod schema_check;
mod served;
mod visit;

mod access_requests;
mod administration;
mod agent_trust;
mod budget;
mod choices;
mod command;
mod command_import;
mod command_sessions;
mod conditional;
mod configuration;
mod configuration_by_users;
mod console;
mod console_items;
mod console_nodes;
mod console_sessions;
mod downloads;
mod fleet;
mod group_policies;
mod inputs;
mod installers;
mod link;
mod live;
mod mail;
mod matrix;
mod messages;
mod nodes;
mod owner_matrix;
mod past_requests;
mod people;
mod reporting;
mod reporting_strain;
mod session_rights;
mod shortcuts;
mod sign_in;
mod tables;
mod teams;
mod tickets;
mod tickets_given_up;
mod token;
mod trouble;
mod undelivered_mails;
