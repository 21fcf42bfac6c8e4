//! Which installers the list shows, and how each is shown.

use domain::access::permission;
use domain::fleet::installer::{JumpClientInstaller, Standing, may_handle};
use domain::ids::{JumpClientInstallerId, UserId};
use domain::record::{Field, Kind};
use domain::{FieldErrors, Timestamp, World};
use serde_json::{Value, json};

use crate::console::items;
use crate::download::{link, platform};
use crate::site::Site;

/// Most installers of a page.
const PER_PAGE_MAX: usize = 500;
/// Installers of a page where the caller does not say.
const PER_PAGE: usize = 100;
/// Longest search text, in characters.
const SEARCH_CHARS_MAX: usize = 255;
/// Longest name of an unknown parameter that is repeated to the caller, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The words of `sort`, each with `-` before it for the reverse.
const ORDER_WORDS: [&str; 5] = ["expires_at", "name", "group", "tag", "created_by"];
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
    Field::new(
        "per_page",
        Kind::Integer { min: 1, max: 500 },
        "Installers of a page; 100 where absent.",
    ),
    Field::new(
        "current_page",
        Kind::Integer {
            min: 1,
            max: 2_147_483_647,
        },
        "Which page.",
    ),
];

/// What is asked of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    search: String,
    /// None is all of them.
    state: Option<Standing>,
    order: &'static str,
    descending: bool,
    per_page: usize,
    page: usize,
}

impl Query {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// The parameters that are not right, unknown ones included.
    pub fn read(query: &str) -> Result<Self, FieldErrors> {
        let mut read = Self {
            search: String::new(),
            state: Some(Standing::Valid),
            order: ORDER_WORDS[0],
            descending: false,
            per_page: PER_PAGE,
            page: 1,
        };
        let mut errors = FieldErrors::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Err(message) = read.set(&name, &value) {
                errors.push(
                    name.chars().take(NAME_CHARS_MAX).collect::<String>(),
                    message,
                );
            }
        }
        if errors.0.is_empty() {
            Ok(read)
        } else {
            Err(errors)
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "search" if value.chars().count() > SEARCH_CHARS_MAX => {
                return Err(format!(
                    "The search must not be longer than {SEARCH_CHARS_MAX} characters."
                ));
            }
            "search" => self.search = value.trim().to_lowercase(),
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
            "sort" => {
                let (descending, word) = value
                    .strip_prefix('-')
                    .map_or((false, value), |word| (true, word));
                let known = ORDER_WORDS.into_iter().find(|known| *known == word);
                self.order = known.ok_or_else(|| {
                    format!(
                        "The sort must be one of: {}, each with - before it for the reverse.",
                        ORDER_WORDS.join(", ")
                    )
                })?;
                self.descending = descending;
            }
            "per_page" => self.per_page = number(value, PER_PAGE_MAX)?,
            "current_page" => self.page = number(value, i32::MAX as usize)?,
            _ => return Err("This parameter is not known.".to_owned()),
        }
        Ok(())
    }
}

fn number(text: &str, max: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("The value must be an integer of 1 to {max}."))
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
        .map(|(id, installer)| (key(world, installer, query.order), *id, installer))
        .collect();
    // Those that say the same stay in the order of their numbers.
    matching.sort_by(|(a, a_id, _), (b, b_id, _)| {
        let order = a.cmp(b);
        let order = if query.descending {
            order.reverse()
        } else {
            order
        };
        order.then(a_id.cmp(b_id))
    });
    let total = matching.len();
    let skipped = (query.page - 1).saturating_mul(query.per_page);
    let shown: Vec<Value> = matching
        .into_iter()
        .skip(skipped)
        .take(query.per_page)
        .map(|(_, id, installer)| view(site, world, user, id, installer, now))
        .collect();
    json!({
        "installers": shown,
        "total": total,
        "per_page": query.per_page,
        "current_page": query.page,
        "last_page": total.div_ceil(query.per_page).max(1),
    })
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
fn key(world: &World, installer: &JumpClientInstaller, order: &str) -> String {
    match order {
        "name" => installer.name.to_lowercase(),
        "group" => world.group_name(installer.group()).to_lowercase(),
        "tag" => installer.tag.to_lowercase(),
        "created_by" => creator(world, installer)
            .map(|(_, _, name)| name.to_lowercase())
            .unwrap_or_default(),
        _ => format!("{:020}", installer.expiration_timestamp.0.max(0)),
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
        .map(|token| format!("{}{}/{token}", address(site), link::PATH));
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
        "created_by": creator(world, installer)
            .map(|(kind, id, name)| json!({"type": kind, "id": id, "name": name})),
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

/// The site's own address, never a name that the caller's request brought along: the link goes to other people.
fn address(site: &Site) -> &str {
    site.public_url
        .as_deref()
        .or_else(|| site.agent_key.urls.first().map(String::as_str))
        .unwrap_or_default()
        .trim_end_matches('/')
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
                order: "name",
                descending: true,
                per_page: 5,
                page: 2,
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
