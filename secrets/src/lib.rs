//! Sealing and opening secrets, under a key file that lies outside the database.
//!
//! Whoever holds only the database, a backup of it, or the log, holds no secret: what is stored there
//! is either sealed (authenticated encryption, for what must be read again) or hashed with a key (for
//! what only has to be recognised, such as tokens and client secrets).
//!
//! This crate refuses to know anything of Gatebook: no ids, no events, no database, no log lines.
//!
//! - [`key_file`]: the file with the keys: made, read, checked, rewritten whole.
//! - [`sealer`]: seal, open, rotate, keyed hashes.
//! - [`secret_text`]: text that does not show itself by accident, and comparison in constant time.
//! - [`tagged_text`]: unguessable text that proves that it was given out here.

pub mod key_file;
pub mod sealer;
pub mod secret_text;
pub mod tagged_text;

pub use key_file::{KeyFile, KeyFileError, KeyId};
pub use sealer::{OpenError, Sealer};
pub use secret_text::{SecretText, constant_time_eq};
