//! Jump Items that are no agents: shortcuts through a Jumpoint; and what is asked of any item before it is changed.

pub mod rights;
pub mod shell;
