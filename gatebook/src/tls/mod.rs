//! TLS: the site's own authority, the certificate of this node, and how the newest one is found at each handshake.

pub mod authority;
pub mod certificate;
pub mod coverage;
pub mod pem;

pub use authority::SiteAuthority;
pub use certificate::{NodeCertificate, Source};
