//! A row of the Jump interface: its texts as shown and as searched, and its status.

use std::fmt;
use std::sync::Arc;

use domain::fleet::jump_client::JumpClient;
use domain::ids::{JumpGroupRef, JumpItemRef};
use domain::items::shell::ShellJumpItem;
use domain::site::settings::SiteSettings;
use domain::{Timestamp, time};

/// Folds text for searching: lower case, letter by letter.
#[must_use]
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// An item as the Jump interface shows it. Its texts are behind methods of [`Texts`].
pub type ConsoleRow = Row<Arc<Texts>, Arc<str>>;

/// A row that is looked at where it is kept: most rows that a list looks at are not on its page.
pub type RowRef<'a> = Row<&'a Arc<Texts>, &'a Arc<str>>;

/// A row that owns what is counted, or borrows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<T, N> {
    /// Which item.
    pub item: JumpItemRef,
    /// What is shown and searched.
    pub texts: T,
    /// All texts, folded, one behind the other: most rows are looked at nowhere else, and it is one step away.
    pub folded: N,
    /// Where the name ends in them; it is the first.
    pub name_end: u32,
    /// The group it is in.
    pub group: JumpGroupRef,
    /// What the group is called; a personal one by its owner's private display name.
    pub group_name: N,
    /// The same, folded for comparing.
    pub group_folded: N,
    /// Whether it is connected on a node that runs.
    pub online: bool,
    /// Since when it has been offline; none while it is online.
    pub offline_since: Option<Timestamp>,
    /// When a session last started on it; none is shown as "Never".
    pub last_accessed: Option<Timestamp>,
    /// It keeps no connection.
    pub passive: bool,
    /// It was uninstalled at the endpoint and is still listed.
    pub uninstalled: bool,
    /// The user at the endpoint switched it off.
    pub disabled: bool,
    /// Two machines showed its identity.
    pub quarantined: bool,
}

/// What an item can be searched by (SESS-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SearchField {
    /// Free text.
    Comments,
    /// Who is signed in at the machine.
    ConsoleUser,
    /// The domain in the machine's full name.
    Domain,
    /// The machine's full name.
    Fqdn,
    /// What its group is called.
    Group,
    /// The machine's host name.
    HostnameIp,
    /// How one jumps there, such as "Jump Client".
    JumpMethod,
    /// When a session last started, as RFC 3339, or "Never".
    LastAccessed,
    /// What the item is called.
    Name,
    /// The machine's own address.
    PrivateIp,
    /// The address it connects from.
    PublicIp,
    /// The words of the status column.
    Status,
    /// The item's tag.
    Tag,
    /// Where a machine is that has no domain; no kind of item tells it yet.
    Workgroup,
}

impl SearchField {
    /// All of them, in the guide's order.
    pub const ALL: [Self; 14] = [
        Self::Comments,
        Self::ConsoleUser,
        Self::Domain,
        Self::Fqdn,
        Self::Group,
        Self::HostnameIp,
        Self::JumpMethod,
        Self::LastAccessed,
        Self::Name,
        Self::PrivateIp,
        Self::PublicIp,
        Self::Status,
        Self::Tag,
        Self::Workgroup,
    ];

    /// The guide's word for it (SESS-06).
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Comments => "Comments",
            Self::ConsoleUser => "Console User",
            Self::Domain => "Domain",
            Self::Fqdn => "FQDN",
            Self::Group => "Group",
            Self::HostnameIp => "Hostname/IP",
            Self::JumpMethod => "Jump Method",
            Self::LastAccessed => "Last Accessed",
            Self::Name => "Name",
            Self::PrivateIp => "Private IP",
            Self::PublicIp => "Public IP",
            Self::Status => "Status",
            Self::Tag => "Tag",
            Self::Workgroup => "Workgroup",
        }
    }

    /// Which of an item's texts it is; none where it is made of something else.
    pub(super) const fn text(self) -> Option<Text> {
        match self {
            Self::Comments => Some(Text::Comments),
            Self::ConsoleUser => Some(Text::ConsoleUser),
            Self::Fqdn => Some(Text::Fqdn),
            Self::HostnameIp => Some(Text::Hostname),
            Self::Name => Some(Text::Name),
            Self::PrivateIp => Some(Text::PrivateIp),
            Self::PublicIp => Some(Text::PublicIp),
            Self::Tag => Some(Text::Tag),
            Self::Domain
            | Self::Group
            | Self::JumpMethod
            | Self::LastAccessed
            | Self::Status
            | Self::Workgroup => None,
        }
    }

    /// The field with this title.
    #[must_use]
    pub fn titled(title: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.title() == title)
    }
}

/// What the status column says (SESS-02). Upgrades, and the words of other kinds of items, come with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Connected: a session can start.
    Active,
    /// Not connected.
    Offline,
    /// Not connected for longer than the site's lost days (CLNT-12).
    Lost,
    /// It keeps no connection.
    Passive,
    /// Switched off at the endpoint, or quarantined.
    Unavailable,
    /// Uninstalled at the endpoint.
    Uninstalled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Offline,
        Self::Lost,
        Self::Passive,
        Self::Unavailable,
        Self::Uninstalled,
    ];

    /// The words of the column.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Active => "Active (1)",
            Self::Offline => "Active [Offline]",
            Self::Lost => "Active [Lost]",
            Self::Passive => "Passive",
            Self::Unavailable => "Unavailable",
            Self::Uninstalled => "Uninstalled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl ConsoleRow {
    /// The row, to be looked at.
    #[must_use]
    pub fn borrowed(&self) -> RowRef<'_> {
        Row {
            item: self.item,
            texts: &self.texts,
            folded: &self.folded,
            name_end: self.name_end,
            group: self.group,
            group_name: &self.group_name,
            group_folded: &self.group_folded,
            online: self.online,
            offline_since: self.offline_since,
            last_accessed: self.last_accessed,
            passive: self.passive,
            uninstalled: self.uninstalled,
            disabled: self.disabled,
            quarantined: self.quarantined,
        }
    }
}

impl RowRef<'_> {
    /// The row, to be kept.
    #[must_use]
    pub fn to_row(self) -> ConsoleRow {
        Row {
            item: self.item,
            texts: Arc::clone(self.texts),
            folded: Arc::clone(self.folded),
            name_end: self.name_end,
            group: self.group,
            group_name: Arc::clone(self.group_name),
            group_folded: Arc::clone(self.group_folded),
            online: self.online,
            offline_since: self.offline_since,
            last_accessed: self.last_accessed,
            passive: self.passive,
            uninstalled: self.uninstalled,
            disabled: self.disabled,
            quarantined: self.quarantined,
        }
    }
}

impl<T, N: AsRef<str>> Row<T, N> {
    /// What the item is called, folded for comparing.
    #[must_use]
    pub fn name_folded(&self) -> &str {
        let folded = self.folded.as_ref();
        folded.get(..self.name_end as usize).unwrap_or_default()
    }
}

impl<T, N> Row<T, N> {
    /// The words of the column "Jump Method".
    #[must_use]
    pub const fn jump_method(&self) -> &'static str {
        match self.item {
            JumpItemRef::JumpClient(_) => "Jump Client",
            JumpItemRef::ShellJump(_) => "Shell Jump",
        }
    }

    /// The status at `now`, in the order in which a start would be refused.
    #[must_use]
    pub fn status(&self, now: Timestamp, settings: &SiteSettings) -> Status {
        // A shortcut's Jumpoint has no node that could be online yet.
        if self.quarantined || matches!(self.item, JumpItemRef::ShellJump(_)) {
            return Status::Unavailable;
        }
        if self.uninstalled {
            return Status::Uninstalled;
        }
        match self.offline_since {
            _ if self.passive => Status::Passive,
            Some(since) if now.since(since) >= i64::from(settings.lost_days) * time::DAY => {
                Status::Lost
            }
            Some(_) => Status::Offline,
            None if self.disabled => Status::Unavailable,
            None => Status::Active,
        }
    }

    /// When it was last accessed, in words: RFC 3339, or "Never".
    #[must_use]
    pub fn last_accessed_words(&self) -> String {
        self.last_accessed
            .map_or_else(|| "Never".to_owned(), Timestamp::to_rfc3339)
    }
}

/// The texts of an item: as shown, and folded to lower case. Two allocations a row, made anew only when a text changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    shown: Packed,
    folded: Packed,
}

/// Which text, by its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    Name,
    Tag,
    Comments,
    Hostname,
    Fqdn,
    OperatingSystem,
    PublicIp,
    PrivateIp,
    ConsoleUser,
}

const TEXTS: usize = 9;

/// Texts one behind the other, with where each ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packed {
    bytes: Arc<str>,
    ends: [u32; TEXTS],
}

impl Packed {
    fn of(texts: [&str; TEXTS]) -> Self {
        let mut bytes = String::with_capacity(texts.iter().map(|text| text.len()).sum());
        let ends = texts.map(|text| {
            bytes.push_str(text);
            // An agent's texts and a record's limits end far below.
            u32::try_from(bytes.len()).unwrap_or(u32::MAX)
        });
        Self {
            bytes: bytes.into(),
            ends,
        }
    }

    fn get(&self, text: Text) -> &str {
        let index = text as usize;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1] as usize,
        };
        self.bytes
            .get(start..self.ends[index] as usize)
            .unwrap_or_default()
    }
}

impl Texts {
    pub(crate) fn of(client: &JumpClient) -> Self {
        let shown = [
            client.properties.name.as_str(),
            &client.properties.tag,
            &client.properties.comments,
            &client.facts.hostname,
            &client.facts.fqdn,
            &client.facts.operating_system,
            &client.public_ip,
            &client.facts.private_ip,
            &client.facts.console_user,
        ];
        Self::packed(shown)
    }

    pub(crate) fn of_shell(item: &ShellJumpItem) -> Self {
        let shell = &item.properties;
        Self::packed([
            shell.name.as_str(),
            &shell.tag,
            &shell.comments,
            &shell.hostname,
            "",
            "",
            "",
            "",
            "",
        ])
    }

    fn packed(shown: [&str; TEXTS]) -> Self {
        let folded = shown.map(fold);
        Self {
            shown: Packed::of(shown),
            folded: Packed::of(folded.each_ref().map(String::as_str)),
        }
    }

    pub(super) fn folded(&self, text: Text) -> &str {
        self.folded.get(text)
    }

    /// All texts, folded, one behind the other, and where the first, the name, ends. What is not in there is in none of them.
    pub(super) fn all_folded(&self) -> (Arc<str>, u32) {
        (Arc::clone(&self.folded.bytes), self.folded.ends[0])
    }

    /// The domain in the machine's full name, folded: what stands behind its first dot; empty where there is none.
    pub(super) fn domain_folded(&self) -> &str {
        let full = self.folded(Text::Fqdn);
        full.split_once('.').map_or("", |(_, domain)| domain)
    }

    /// Free text, folded for comparing.
    #[must_use]
    pub fn comments_folded(&self) -> &str {
        self.folded(Text::Comments)
    }

    /// Its tag, folded for comparing.
    #[must_use]
    pub fn tag_folded(&self) -> &str {
        self.folded(Text::Tag)
    }

    /// The machine's host name, folded for comparing.
    #[must_use]
    pub fn hostname_folded(&self) -> &str {
        self.folded(Text::Hostname)
    }

    /// What the item is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shown.get(Text::Name)
    }

    /// Its tag; may be empty.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.shown.get(Text::Tag)
    }

    /// Free text.
    #[must_use]
    pub fn comments(&self) -> &str {
        self.shown.get(Text::Comments)
    }

    /// The machine's host name.
    #[must_use]
    pub fn hostname(&self) -> &str {
        self.shown.get(Text::Hostname)
    }

    /// The machine's full name.
    #[must_use]
    pub fn fqdn(&self) -> &str {
        self.shown.get(Text::Fqdn)
    }

    /// The machine's operating system.
    #[must_use]
    pub fn operating_system(&self) -> &str {
        self.shown.get(Text::OperatingSystem)
    }

    /// The address it connects from, with port.
    #[must_use]
    pub fn public_ip(&self) -> &str {
        self.shown.get(Text::PublicIp)
    }

    /// The machine's own address.
    #[must_use]
    pub fn private_ip(&self) -> &str {
        self.shown.get(Text::PrivateIp)
    }

    /// Who is signed in at the machine; may be empty.
    #[must_use]
    pub fn console_user(&self) -> &str {
        self.shown.get(Text::ConsoleUser)
    }
}
