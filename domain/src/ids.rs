//! Typed ids. A number that names a user can't be taken for one that names a client.
//!
//! Small integer ids come from one counter per API resource path and are never used twice; see
//! [`World::next_id`](crate::World).

use std::fmt;
use std::str::FromStr;

use crate::site::mail_template::{MailKind, NotATemplate, is_language};

/// What every small integer id can do; the generic record machinery and path parameters use it.
pub trait NumericId: Copy + Ord + fmt::Debug + fmt::Display {
    /// Makes the id of this kind with the number `number`.
    fn from_number(number: u32) -> Self;
    /// The number, 1 to 2,147,483,647.
    fn number(self) -> u32;
}

macro_rules! numeric_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl NumericId for $name {
            fn from_number(number: u32) -> Self { Self(number) }
            fn number(self) -> u32 { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    )*};
}

numeric_ids! {
    /// A user of the site.
    UserId;
    /// An account that calls the APIs.
    ApiAccountId;
    /// A shared Jump Group. A personal one is named by its owner, see [`JumpGroupRef`].
    JumpGroupId;
    /// A Jump Item Role.
    JumpItemRoleId;
    /// A Jump Policy.
    JumpPolicyId;
    /// A request for approved access.
    AccessRequestId;
    /// A team of users.
    TeamId;
    /// A group policy.
    GroupPolicyId;
    /// One member of one group policy; counted over all of them.
    GroupPolicyMemberId;
    /// A Jumpoint.
    JumpointId;
    /// A Jump Client.
    JumpClientId;
    /// A mass-deployment package for Jump Clients.
    JumpClientInstallerId;
    /// A Shell Jump item.
    ShellJumpId;
    /// A session policy.
    SessionPolicyId;
    /// A custom field of Jump Items.
    CustomFieldId;
    /// A custom attribute of sessions.
    CustomSessionAttributeId;
    /// The one record of site settings; always 1.
    SiteSettingsId;
    /// The one record of the ticket system; always 1.
    TicketSystemId;
    /// A request to the ticket system.
    TicketRequestId;
    /// The one record of mail settings; always 1.
    MailSettingsId;
    /// A trust anchor of the site.
    AgentAnchorId;
    /// An address of the site.
    SiteAddressId;
}

/// Names a Jump Group. Shared and personal groups count their ids apart, so a number alone is ambiguous (GRP-20).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(tag = "type", content = "id", rename_all = "snake_case")]
pub enum JumpGroupRef {
    /// A shared Jump Group.
    Shared(JumpGroupId),
    /// The personal list of a user (GRP-19).
    Personal(UserId),
}

impl JumpGroupRef {
    /// The word the APIs use for the kind: `shared` or `personal` (GRP-21).
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Shared(_) => "shared",
            Self::Personal(_) => "personal",
        }
    }

    /// The number beside the type: the group's id, or the owner's user id.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Shared(group) => group.0,
            Self::Personal(owner) => owner.0,
        }
    }
}

/// Names a Jump Item of any type. Each type counts its ids apart.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(tag = "type", content = "id", rename_all = "snake_case")]
pub enum JumpItemRef {
    /// A Jump Client.
    JumpClient(JumpClientId),
    /// A Shell Jump item.
    ShellJump(ShellJumpId),
}

impl JumpItemRef {
    /// The word the APIs use for the type, such as `jump_client`.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::JumpClient(_) => "jump_client",
            Self::ShellJump(_) => "shell_jump",
        }
    }

    /// The number beside the type.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::JumpClient(id) => id.0,
            Self::ShellJump(id) => id.0,
        }
    }

    /// The Jump Client, if it is one.
    #[must_use]
    pub fn jump_client(self) -> Option<JumpClientId> {
        match self {
            Self::JumpClient(id) => Some(id),
            Self::ShellJump(_) => None,
        }
    }
}

impl JumpItemRef {
    /// Before every other in order.
    pub(crate) const FIRST: Self = Self::JumpClient(JumpClientId(0));
}

impl fmt::Display for JumpItemRef {
    /// `<type>-<id>`, the form used in console URLs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.type_name(), self.number())
    }
}

/// What was read names no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this names no Jump Item")]
pub struct NoSuchItemName;

impl FromStr for JumpItemRef {
    type Err = NoSuchItemName;

    /// Reads `<type>-<id>`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, number) = text.rsplit_once('-').ok_or(NoSuchItemName)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoSuchItemName);
        }
        let number = number.parse().map_err(|_| NoSuchItemName)?;
        match kind {
            "jump_client" => Ok(Self::JumpClient(JumpClientId(number))),
            "shell_jump" => Ok(Self::ShellJump(ShellJumpId(number))),
            _ => Err(NoSuchItemName),
        }
    }
}

/// A session id: 128 random bits, shown as 32 lower-case hex digits (SESS-20).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Lsid(pub u128);

impl fmt::Display for Lsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Lsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsid({self})")
    }
}

/// The number that 32 hex digits are.
fn from_32_digits(text: &str) -> Option<u128> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok())?
}

/// The text is not 32 hex digits, so it names no session of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session id")]
pub struct NotAnLsid;

impl FromStr for Lsid {
    type Err = NotAnLsid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_32_digits(text).map(Self).ok_or(NotAnLsid)
    }
}

impl serde::Serialize for Lsid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Lsid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One run of a node, new at each start; given by the event store.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(transparent)]
pub struct NodeEpoch(pub i64);

impl fmt::Display for NodeEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one connection of an agent on one node: counted from 1 by the node since its start.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct LinkId {
    /// The run of the node that holds the connection.
    pub node: NodeEpoch,
    /// The number of the connection on that node.
    pub connection: u64,
}

/// Points at a sealed value in the `secret` side table; made once and never overwritten.
///
/// 32 lower-case hex digits. The value itself never is in an event or in the [`World`](crate::World).
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(transparent)]
pub struct SecretRef(pub String);

/// A keyed hash of something unguessable (an installer's secret, a link token): safe to store and to compare.
///
/// 64 lower-case hex digits.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(transparent)]
pub struct KeyedHash(pub String);

/// Names a mail template: its kind and its language, written `approval.en_us`.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct MailTemplateId {
    /// What it is for.
    pub kind: MailKind,
    /// The locale code, such as `en-us`.
    pub language: String,
}

impl fmt::Display for MailTemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stream's name has one dash, before the id.
        write!(f, "{}.{}", self.kind, self.language.replace('-', "_"))
    }
}

impl FromStr for MailTemplateId {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, language) = text.split_once('.').ok_or(NotATemplate)?;
        let language = language.replace('_', "-");
        if !is_language(&language) {
            return Err(NotATemplate);
        }
        Ok(Self {
            kind: kind.parse()?,
            language,
        })
    }
}

/// A mail to one recipient: 128 bits, shown as 32 lower-case hex digits; the same for the same cause and recipient.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct MailDeliveryId(pub u128);

impl fmt::Display for MailDeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MailDeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailDeliveryId({self})")
    }
}

/// The text is not 32 hex digits, so it names no mail of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a mail")]
pub struct NotAMail;

impl FromStr for MailDeliveryId {
    type Err = NotAMail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_32_digits(text).map(Self).ok_or(NotAMail)
    }
}
