//! The wire protocol between the server and a Jump Client agent, for both sides.
//!
//! Text frames of JSON over a TLS WebSocket at [`limits::LINK_PATH`]. What each side may send, when, and
//! how long it may be is written for people in `docs/client-link.md`; this crate is the same in types.
//! It refuses to know sockets, TLS, clocks and the domain: it turns text into checked frames and back.
//!
//! - [`limits`]: every length, count and time both sides hold to.
//! - [`refusing`]: why a frame is refused, and the close codes.
//! - [`version`]: which protocol versions there are, and how one is agreed.
//! - [`secret`]: tokens and secrets that do not show themselves in logs.
//! - [`trust`]: trust anchors, and their list whose version only grows.
//! - [`key_info`]: what an installer hands to an agent: KEY_INFO.
//! - [`parameters`]: what may be said at install, in both spellings; [`package`]: the file that installs on Linux.
//! - [`facts`]: what a machine says about itself.
//! - [`call`]: how a passive client is asked to come.
//! - [`client_frame`]: what the agent sends.
//! - [`server_frame`]: what the server sends.

pub mod call;
pub mod client_frame;
pub mod facts;
pub mod key_info;
pub mod limits;
pub mod package;
pub mod parameters;
pub mod refusing;
pub mod secret;
pub mod server_frame;
pub mod trust;
pub mod version;

pub use client_frame::{
    CheckIn, ClientFrame, Hello, Identity, Overrides, Register, Resume, SessionEndReason,
    SessionFailReason,
};
pub use facts::{Disk, Facts, Figures, InstallMode};
pub use key_info::{KeyInfo, KeyInfoError};
pub use refusing::{CloseCode, ProtocolError};
pub use secret::Secret;
pub use server_frame::{
    EndSession, Refused, RefusedCode, ServerFrame, Settings, StartSession, Welcome,
};
pub use trust::{AddressList, Anchor, AnchorList};
