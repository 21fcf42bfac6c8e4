//! Jump Items that are no agents: shortcuts through a Jumpoint; and what is asked of any item before it is changed.

pub mod custom_field;
pub mod jumpoint;
pub mod rights;
pub mod shell;
pub mod tag;
