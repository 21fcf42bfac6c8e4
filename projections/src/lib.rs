//! Folds of the log that nothing is decided from: what a console shows, what is due when, what reports are made of.
//!
//! Every view carries a bookmark, the position it was folded up to, and may be thrown away on any day. A view that meets
//! an event it can't read stops with an error that names it, and never skips. This crate refuses to know the engine, the
//! connector and any clock, and no view reads another.
//!
//! In reading order:
//!
//! - [`recorded`]: an event of the log, decoded
//! - [`views`]: what is kept in memory beside the `World`: [`console`], [`timers`]
//! - [`report`]: sessions for reports, and the history of access requests, in SQL

pub mod recorded;

pub mod console;
pub mod timers;
pub mod views;

pub mod report;

#[cfg(test)]
mod thought_of;

pub use console::{
    ConsoleRow, ConsoleView, Counts, Row, RowRef, Search, SearchField, Status, Texts,
};
pub use recorded::{Recorded, Unreadable, UnreadableEvent};
pub use report::{
    Behind, Detail, Entity, EntityKind, Interval, Member, PageKey, PastAnswer, PastRequest,
    ReportError, ReportIndex, RequestQuery, SessionQuery, SessionReport, SessionSummary,
};
pub use timers::{Due, Timers};
pub use views::Views;
