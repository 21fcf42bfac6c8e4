//! The rules of the house that a machine can hold: which crate may know which, what every file carries, which names are
//! banned, how long files may get, and what the domain must not touch.
//!
//! The tests read the tree as text and build nothing. A checker is a function of text with a test of its own that shows it
//! can fail; a new rule starts at today's worst value and only gets tighter.

mod arrows;
mod callers;
mod citations;
mod domain;
mod length;
mod traces;
mod tree;
mod words;
