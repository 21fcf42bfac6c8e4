//! Which installers the list shows, and how each is shown.

use domain::access::permission;
use domain::fleet::installer::{JumpClientInstaller, Standing, may_handle};
use domain::ids::{JumpClientInstallerId, UserId};
use domain::record::{Field, Kind};
use domain::{FieldErrors, Timestamp, World};
use serde_json::{Value, json};

use crate::console::items;
use crate::console::paging::{self, Paging, SEARCH_CHARS_MAX, Sort, searched};
use crate::download::{link, platform};
use crate::site::Site;

/// What the list may be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    ExpiresAt,
    Name,
    Group,
    Tag,
    CreatedBy,
}

impl paging::Order for Order {
    const ALL: &'static [Self] = &[
        Self::ExpiresAt,
        Self::Name,
        Self::Group,
        Self::Tag,
        Self::CreatedBy,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::ExpiresAt => "expires_at",
            Self::Name => "name",
            Self::Group => "group",
            Self::Tag => "tag",
            Self::CreatedBy => "created_by",
        }
    }
}

/// The words of `state`.
const STATE_WORDS: [&str; 4] = ["valid", "expired", "invalidated", "all"];

/// The parameters of the list, for the OpenAPI document.
pub const PARAMETERS: &[Field] = &[
    Field::new(
        "search",
        Kind::Text {
            min: 0,
            max: SEARCH_CHARS_MAX,
        },
        "What name, tag, comments or group have to contain.",
    ),
    Field::new(
        "state",
        Kind::Word(&STATE_WORDS),
        "Only installers of this state; valid where absent.",
    ),
    Field::new(
        "sort",
        Kind::Text { min: 0, max: 16 },
        "expires_at, name, group, tag or created_by; with - before it the reverse.",
    ),
    Paging::ROWS,
    Paging::PAGE,
];

/// What is asked of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    search: String,
    /// None is all of them.
    state: Option<Standing>,
    sort: Sort<Order>,
    paging: Paging,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            search: String::new(),
            state: Some(Standing::Valid),
            sort: Sort::default(),
            paging: Paging::default(),
        }
    }
}

impl Query {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// The parameters that are not right, unknown ones included.
    pub fn read(query: &str) -> Result<Self, FieldErrors> {
        paging::read(query, Self::set)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "search" => self.search = searched("search", value)?,
            "state" => {
                self.state = match value {
                    "valid" => Some(Standing::Valid),
                    "expired" => Some(Standing::Expired),
                    "invalidated" => Some(Standing::Invalidated),
                    "all" => None,
                    _ => {
                        let words = STATE_WORDS.join(", ");
                        return Err(format!("The state must be one of: {words}."));
                    }
                };
            }
            "sort" => self.sort = Sort::read(value)?,
            _ => self.paging.set(name, value)?,
        }
        Ok(())
    }
}

/// The installer, where `user` may handle it (INST-62).
#[must_use]
pub fn handled(
    world: &World,
    user: UserId,
    id: JumpClientInstallerId,
) -> Option<&JumpClientInstaller> {
    world
        .installers
        .get(&id)
        .filter(|installer| may_handle(world, user, installer.group()).is_ok())
}

/// A page of the installers that `user` may handle (INST-11).
#[must_use]
pub fn page(site: &Site, world: &World, user: UserId, query: &Query, now: Timestamp) -> Value {
    let mut matching: Vec<(String, JumpClientInstallerId, &JumpClientInstaller)> = world
        .installers
        .iter()
        .filter(|(_, installer)| {
            query
                .state
                .is_none_or(|state| installer.standing(world, now) == state)
        })
        .filter(|(_, installer)| contains(world, installer, &query.search))
        .filter(|(_, installer)| may_handle(world, user, installer.group()).is_ok())
        .map(|(id, installer)| (key(world, installer, query.sort.order), *id, installer))
        .collect();
    // Those that say the same stay in the order of their numbers.
    matching
        .sort_by(|(a, a_id, _), (b, b_id, _)| query.sort.directed(a.cmp(b)).then(a_id.cmp(b_id)));
    let total = matching.len();
    let shown: Vec<Value> = matching
        .into_iter()
        .skip(query.paging.before())
        .take(query.paging.per_page)
        .map(|(_, id, installer)| view(site, world, user, id, installer, now))
        .collect();
    let mut page = json!({"installers": shown});
    for (name, value) in query.paging.told(total) {
        page[name] = value;
    }
    page
}

fn contains(world: &World, installer: &JumpClientInstaller, searched: &str) -> bool {
    searched.is_empty()
        || [
            &installer.name,
            &installer.tag,
            &installer.comments,
            &world.group_name(installer.group()),
        ]
        .into_iter()
        .any(|text| text.to_lowercase().contains(searched))
}

/// What the list is ordered by, as text of which the smaller comes first.
fn key(world: &World, installer: &JumpClientInstaller, order: Order) -> String {
    match order {
        Order::Name => installer.name.to_lowercase(),
        Order::Group => world.group_name(installer.group()).to_lowercase(),
        Order::Tag => installer.tag.to_lowercase(),
        Order::CreatedBy => creator(world, installer)
            .map(|(_, _, name)| name.to_lowercase())
            .unwrap_or_default(),
        Order::ExpiresAt => format!("{:020}", installer.expiration_timestamp.0.max(0)),
    }
}

/// Who made it: what kind of caller, the number, the name as far as they are still there.
fn creator(world: &World, installer: &JumpClientInstaller) -> Option<(&'static str, u32, String)> {
    if let Some(user) = installer.created_by_user_id {
        let name = world
            .users
            .get(&user)
            .map(|user| user.public_display_name.clone());
        return Some(("user", user.0, name.unwrap_or_default()));
    }
    let account = installer.created_by_api_account_id?;
    let name = world
        .api_accounts
        .get(&account)
        .map(|account| account.name.clone());
    Some(("api_account", account.0, name.unwrap_or_default()))
}

/// An installer as the list and the wizard show it, with what `user` may do with it.
#[must_use]
pub fn view(
    site: &Site,
    world: &World,
    user: UserId,
    id: JumpClientInstallerId,
    installer: &JumpClientInstaller,
    now: Timestamp,
) -> Value {
    let standing = installer.standing(world, now);
    let is_valid = standing == Standing::Valid;
    let may = may_handle(world, user, installer.group()).is_ok();
    let group = installer.group();
    let policy = installer
        .jump_policy_id
        .and_then(|id| Some(json!({"id": id, "name": world.jump_policies.get(&id)?.display_name})));
    let files: Vec<Value> = platform::PLATFORMS
        .iter()
        .map(|platform| {
            json!({
                "platform": platform.key,
                "title": platform.title,
                "file_name": platform.file_name(&installer.installer_id),
            })
        })
        .collect();
    // Whoever has the link may download without signing in: it is shown only while it is of use.
    let direct = link::token(&site.sealer, &installer.installer_id)
        .filter(|_| is_valid && may)
        .map(|token| format!("{}{}/{token}", site.own_url(), link::PATH));
    json!({
        "id": id,
        "installer_id": installer.installer_id,
        "name": installer.name,
        "group": items::group(group, &world.group_name(group)),
        "tag": installer.tag,
        "comments": installer.comments,
        "jump_policy": policy,
        "session_policy_id": installer.session_policy_id,
        "jumpoint_proxy": installer.jumpoint_proxy,
        "connection_type": installer.connection_type,
        "max_offline_minutes": installer.max_offline_minutes,
        "elevate_install": installer.elevate_install,
        "elevate_prompt": installer.elevate_prompt,
        "start_customer_client_minimized": installer.start_customer_client_minimized,
        "allow_override": {
            "jump_group": installer.allow_override_jump_group,
            "jump_policy": installer.allow_override_jump_policy,
            "name": installer.allow_override_name,
            "tag": installer.allow_override_tag,
            "comments": installer.allow_override_comments,
            "session_policy": installer.allow_override_session_policy,
            "max_offline_minutes": installer.allow_override_max_offline_minutes,
        },
        "state": standing.word(),
        "expires_at": installer.expiration_timestamp.to_rfc3339(),
        "created_by": creator(world, installer).map(|(kind, id, name)| {
            // INST-59: an override of the group counts no more where it is false; what the installer itself says goes on.
            let may_deploy = installer.creator_may_deploy(world, group);
            json!({"type": kind, "id": id, "name": name, "may_deploy": may_deploy})
        }),
        "files": files,
        "direct_download_link": direct,
        "rights": {
            "view": may,
            "download": may && is_valid,
            "mail": may && is_valid && world.mail_settings.is_configured(),
            "extend": may && is_valid,
            "delete": may,
            "create_like_it": permission::access_to_group(world, user, group)
                .is_some_and(|access| access.role.perm_add),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused_with_the_names_of_what_is_wrong() {
        let read = Query::read("search=Web&state=all&sort=-name&per_page=5&current_page=2");
        assert_eq!(
            read,
            Ok(Query {
                search: "web".to_owned(),
                state: None,
                sort: Sort {
                    order: Order::Name,
                    descending: true,
                },
                paging: Paging {
                    per_page: 5,
                    page: 2
                },
            })
        );
        let unasked = Query::read("").expect("nothing is asked");
        assert_eq!(unasked.state, Some(Standing::Valid), "INST-11: active ones");
        for (query, wrong) in [
            ("state=gone", "state"),
            ("sort=colour", "sort"),
            ("sort=--name", "sort"),
            ("per_page=0", "per_page"),
            ("per_page=501", "per_page"),
            ("current_page=-1", "current_page"),
            ("secret=1", "secret"),
        ] {
            let errors = Query::read(query).expect_err(query);
            let names: Vec<&str> = errors.0.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, [wrong], "{query}");
        }
        let long = format!("search={}", "x".repeat(SEARCH_CHARS_MAX + 1));
        assert!(Query::read(&long).is_err());
    }
}
