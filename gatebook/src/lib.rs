//! The program: reads its configuration, brings the real clock and the real source of ids, puts all other crates
//! together, starts and stops them.
//!
//! This crate refuses to know rules of the product: what it wants changed it asks of the engine like everyone else.
//!
//! In reading order:
//!
//! - [`command_line`], [`configuration`]: what the program is told; [`command`]: what it does for it
//! - [`place`]: the site's directory; [`opening`]: the site opened, with its engine
//! - [`clock`]: the real clock and source of chance, and `clock_watch`, which tells when it lags behind the log;
//!   [`virtual_clock`]: one that is moved; [`cron_schedule`]
//! - [`first_start`], [`administrator`]: the first credentials, and help for who lost them; [`upgrade`]: which build runs
//! - [`serve`]: the server, put together from [`listen`], [`tls`], [`shown_certificate`], [`trust`], [`node`] with [`pulse`],
//!   [`maintenance`], [`control`], [`mail_languages`]; [`essential`]: when it has to end by itself
//! - [`log`], [`projections`], [`demo`]: the other commands; [`logging`]

pub mod command;
pub mod command_line;
pub mod configuration;

pub mod opening;
pub mod place;

pub mod clock;
mod clock_watch;
pub mod cron_schedule;
pub mod virtual_clock;

pub mod administrator;
pub mod first_start;
pub mod upgrade;

pub mod control;
pub mod essential;
pub mod listen;
pub mod mail_languages;
pub mod maintenance;
pub mod node;
pub mod pulse;
pub mod serve;
pub mod shown_certificate;
pub mod tls;
pub mod trust;

pub mod demo;
pub mod log;
pub mod logging;
pub mod projections;

/// The allocator of every program this crate is in, the benches too: docs/adr/0009-jemalloc.md says why.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
