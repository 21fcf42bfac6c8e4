//! The HTTP surface, asked over real connections: an engine on a database of its own, a clock that leaps.

mod schema_check;
mod served;
mod visit;

mod budget;
mod command;
mod configuration;
mod fleet;
mod matrix;
mod nodes;
mod people;
mod reporting;
mod token;
