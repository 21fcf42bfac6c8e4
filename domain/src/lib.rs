//! The pure rules of Gatebook: what is asked ([`Command`]), what has happened ([`Event`]), what is known ([`World`])
//! and how one follows from the other ([`decide`], [`World::apply`]).
//!
//! This crate refuses to know a clock, chance, the environment, threads, async or any I/O: the time and every fresh
//! value arrive in a [`Context`]. The same world, command and context give the same events, on every node and run.
//!
//! In reading order:

pub mod ids;
pub mod time;

pub mod context;
pub mod refusal;

mod late;
pub mod record;
pub mod table;

pub mod access;
pub mod fleet;
pub mod items;
pub mod policy;
pub mod session;
pub mod site;

pub mod audit;
pub mod node;

pub mod command;
pub mod event;
pub mod snapshot;
pub mod world;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use command::Command;
pub use context::{
    Actor, Cause, Context, Decision, Fresh, Meta, Surface, happened, nothing, refuse,
};
pub use event::Event;
pub use refusal::{FieldErrors, Refusal, RefusalClass};
pub use time::Timestamp;
pub use world::{EVENTS_MAX, World, decide};
