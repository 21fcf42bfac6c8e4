//! HTTP: OAuth2, the Configuration, Command, Reporting and console APIs, health. Handlers parse, call, render.
//!
//! This crate refuses to know rules: whoever may do what is decided by `domain`, and every change goes through the engine.
//! It reads no clock but the engine's.
//!
//! In reading order:

pub mod site;

pub mod error;
mod forwarded;
mod message;
pub mod peer;

pub mod access;
pub mod answer;
pub mod caller;
pub mod caller_rate;
pub mod change;
pub mod conditional;
pub mod json;
pub mod route;
pub mod scan;

pub mod attempts;
pub mod credential;
mod pace;
pub mod passwords;
pub mod rate;
pub mod token;

pub mod configuration;
pub mod mech_list;
pub mod oauth;
pub mod openapi;

pub mod form;
pub mod xml;
pub mod xml_answer;
pub mod xml_namespace;

mod approve;
pub mod command;
pub mod download;
pub mod endpoint_approval;
pub mod health;
pub mod link;
pub mod reporting;

pub mod console;

mod guard;
mod unbound;

pub use answer::Answer;
pub use caller::{Caller, Known, Principal};
pub use download::programs::{AgentPrograms, MacSigning};
pub use error::{JsonError, Problem};
pub use link::BytesLeft;
pub use peer::{Authenticated, Peer, Transport};
pub use route::{router, routes};
pub use site::{Limits, ShownCertificate, Site, SiteSetup};
