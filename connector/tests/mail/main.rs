//! The outbox against a real mail server in a process of its own.

mod delivering;
mod encrypting;
mod site;
mod telling;
