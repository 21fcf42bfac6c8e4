//! PostgreSQL with several writer processes: whatever happens to one of them, positions are gapless,
//! in the order of commits, and nobody's answer is wrong.

mod cut;
mod proxy;
mod race;
mod restore;
mod stopped;
mod writer;
