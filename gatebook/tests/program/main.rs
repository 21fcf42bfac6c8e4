//! The built program, from its command line: what a person at the machine sees.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]

mod credentials;
mod demonstration;
mod encryption;
mod log;
mod nodes;
mod rates;
mod read_models;
mod refused_places;
mod running;
mod told;
mod trust;
mod upgrades;
mod upkeep;
