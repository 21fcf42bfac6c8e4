//! Who and what is in the demonstration: a haulier with a dozen people who jump, three groups of machines, and who may jump
//! where under which rules, as in the advanced use case of the Jump Client Guide.

/// The company.
pub(super) const COMPANY: &str = "Brightwater Logistics";

/// Where it is: working hours and schedules are those of this zone.
pub(super) const ZONE: chrono_tz::Tz = chrono_tz::Europe::Berlin;

/// What somebody does all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    /// Runs the servers.
    Operations,
    /// Runs the directory.
    Directory,
    /// Helps people at their desks.
    Helpdesk,
    /// Looks after the web servers, each time with an approval.
    Contractor,
    /// Reads reports and never jumps.
    Auditor,
}

/// Somebody with an account.
pub(super) struct Person {
    pub(super) username: &'static str,
    pub(super) name: &'static str,
    pub(super) post: Post,
}

const fn person(username: &'static str, name: &'static str, post: Post) -> Person {
    Person {
        username,
        name,
        post,
    }
}

/// Everybody with an account, the administrator left out. The first one takes the first jump.
pub(super) const PEOPLE: &[Person] = &[
    person("anna.keller", "Anna Keller", Post::Operations),
    person("jonas.weber", "Jonas Weber", Post::Operations),
    person("marta.silva", "Marta Silva", Post::Operations),
    person("peter.novak", "Peter Novak", Post::Directory),
    person("ines.moreau", "Ines Moreau", Post::Directory),
    person("leo.brandt", "Leo Brandt", Post::Helpdesk),
    person("sofia.rossi", "Sofia Rossi", Post::Helpdesk),
    person("tim.becker", "Tim Becker", Post::Helpdesk),
    person("nora.lind", "Nora Lind", Post::Helpdesk),
    person(
        "hugo.martin",
        "Hugo Martin (Northgate Web)",
        Post::Contractor,
    ),
    person(
        "zoe.fischer",
        "Zoe Fischer (Northgate Web)",
        Post::Contractor,
    ),
    person("clara.vogel", "Clara Vogel", Post::Auditor),
];

/// A group of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Web,
    Directory,
    Users,
}

impl Group {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Web, Self::Directory, Self::Users];

    /// What it is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Web => "Web Servers",
            Self::Directory => "Directory Servers",
            Self::Users => "User Systems",
        }
    }
}

/// A Jump Policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rules {
    Thursdays,
    OfficeHours,
    NotificationSent,
    AuthorizationRequired,
}

impl Rules {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [
        Self::Thursdays,
        Self::OfficeHours,
        Self::NotificationSent,
        Self::AuthorizationRequired,
    ];

    /// What it is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Thursdays => "Thursdays",
            Self::OfficeHours => "Office Hours",
            Self::NotificationSent => "Notification Sent",
            Self::AuthorizationRequired => "Authorization Required",
        }
    }

    /// What it is for.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Thursdays => "Thursdays, 08:00 to 17:00.",
            Self::OfficeHours => "Monday to Friday, 06:30 to 19:00.",
            Self::NotificationSent => "The manager is told when a session starts.",
            Self::AuthorizationRequired => {
                "The manager approves each access, for three hours at most."
            }
        }
    }
}

/// Who is told of sessions and asked for approval, by address.
pub(super) const MANAGER: &str = "manager@brightwater.example";

/// Who may approve as well, as a user: the index in [`PEOPLE`].
pub(super) const DEPUTY: usize = 2;

/// What the recipients and the approvers are called.
pub(super) const MANAGER_NAME: &str = "Manager";

/// Longest access that can be approved. Unit: minutes.
pub(super) const APPROVED_MINUTES_MAX: u32 = 180;

/// A Jump Item Role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Administrator,
    /// The company's own.
    DeployAndStart,
    StartSessionsOnly,
    NoAccess,
}

/// A group policy: role slots, members by their post, and memberships of Jump Groups with role and Jump Policy.
pub(super) struct Team {
    pub(super) name: &'static str,
    /// Default, Personal, Team and System; none where the policy leaves permissions as they are.
    pub(super) slots: Option<[Role; 4]>,
    pub(super) members: &'static [Post],
    pub(super) groups: &'static [(Group, Role, Option<Rules>)],
}

/// All of them, the top of the list first: where two speak of a group, the lower one counts.
pub(super) const TEAMS: &[Team] = &[
    Team {
        name: "Admins",
        slots: Some([
            Role::Administrator,
            Role::Administrator,
            Role::StartSessionsOnly,
            Role::StartSessionsOnly,
        ]),
        members: &[Post::Operations],
        groups: &[
            (Group::Web, Role::Administrator, None),
            (Group::Directory, Role::Administrator, None),
            (Group::Users, Role::Administrator, None),
        ],
    },
    Team {
        name: "Local Users",
        slots: Some([
            Role::StartSessionsOnly,
            Role::Administrator,
            Role::NoAccess,
            Role::NoAccess,
        ]),
        members: &[Post::Directory, Post::Helpdesk],
        groups: &[
            (
                Group::Web,
                Role::StartSessionsOnly,
                Some(Rules::NotificationSent),
            ),
            (
                Group::Directory,
                Role::StartSessionsOnly,
                Some(Rules::NotificationSent),
            ),
            (
                Group::Users,
                Role::StartSessionsOnly,
                Some(Rules::Thursdays),
            ),
        ],
    },
    Team {
        name: "Helpdesk",
        slots: None,
        members: &[Post::Helpdesk],
        groups: &[(Group::Users, Role::DeployAndStart, Some(Rules::OfficeHours))],
    },
    Team {
        name: "Third Parties",
        slots: Some([Role::NoAccess; 4]),
        members: &[Post::Contractor],
        groups: &[(
            Group::Web,
            Role::StartSessionsOnly,
            Some(Rules::AuthorizationRequired),
        )],
    },
];

impl Post {
    /// The Jump Policy that binds somebody on the machines of a group.
    pub(super) fn rules_on(self, group: Group) -> Option<Rules> {
        let memberships = TEAMS
            .iter()
            .rev()
            .filter(|team| team.members.contains(&self))
            .flat_map(|team| team.groups);
        let mut memberships = memberships.filter(|(of, ..)| *of == group);
        memberships.next().and_then(|(_, _, rules)| *rules)
    }

    /// The groups somebody has work in on a Thursday, or on another day.
    pub(super) const fn groups(self, is_thursday: bool) -> &'static [Group] {
        match self {
            Self::Operations => &[Group::Web, Group::Directory],
            Self::Directory if is_thursday => &Group::ALL,
            Self::Directory => &[Group::Web, Group::Directory],
            Self::Helpdesk => &[Group::Users],
            Self::Contractor => &[Group::Web],
            Self::Auditor => &[],
        }
    }

    /// Where somebody's calls come from.
    pub(super) const fn network(self) -> [u8; 3] {
        match self {
            Self::Contractor => [203, 0, 113],
            _ => [198, 51, 100],
        }
    }
}

/// A machine with an agent.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) group: Group,
    pub(super) system: &'static str,
    /// Who sits at it; nobody at a server.
    pub(super) desk_of: &'static str,
    pub(super) address: [u8; 4],
}

impl Machine {
    /// Whether it runs day and night.
    pub(super) const fn is_server(&self) -> bool {
        self.desk_of.is_empty()
    }
}

/// People at their desks; they have no account.
const DESKS: [&str; 14] = [
    "abauer", "cfuchs", "dkraus", "ehahn", "fschmid", "gwolf", "hmaier", "ilange", "jroth",
    "kvogt", "lbusch", "mkoch", "nsauer", "ojung",
];

/// The fleet.
pub(super) fn machines() -> Vec<Machine> {
    let web = (1..=6_u8).map(|n| Machine {
        name: format!("web-{n:02}"),
        group: Group::Web,
        system: "Debian GNU/Linux 12 (6.1.0-25-amd64)",
        desk_of: "",
        address: [10, 20, 1, 10 + n],
    });
    let directory = (1..=4_u8).map(|n| Machine {
        name: format!("dc-{n:02}"),
        group: Group::Directory,
        system: "Windows Server 2022 Standard 21H2",
        desk_of: "",
        address: [10, 20, 2, 10 + n],
    });
    let desks = (1..).zip(DESKS).map(|(n, desk_of): (u8, _)| Machine {
        name: format!("pc-{:04}", 1_000 + u16::from(n)),
        group: Group::Users,
        system: if n % 5 == 0 {
            "macOS 15.1 (24B83)"
        } else {
            "Windows 11 Pro 23H2"
        },
        desk_of,
        address: [10, 20, 8, 20 + n],
    });
    web.chain(directory).chain(desks).collect()
}
