//! Which of the items in sight a list shows: search, filters, order, page (SESS-01, SESS-06 to SESS-08).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::access::permission;
use domain::ids::{JumpGroupId, JumpGroupRef, UserId};
use domain::record::{Field, Kind};
use domain::site::settings::SiteSettings;
use domain::{FieldErrors, Timestamp, World};
use projections::{ConsoleRow, ConsoleView, Row, RowRef, Search, SearchField, Status, Texts};

/// Most items of a page.
pub const PER_PAGE_MAX: usize = 500;
/// Items of a page where the caller does not say.
pub const PER_PAGE: usize = 100;
/// Longest search text, in characters.
pub const SEARCH_CHARACTERS_MAX: usize = 255;
/// Most filters of one request.
pub const FILTERS_MAX: usize = 14;

/// Every status with its word in answers and filters.
pub const STATUS_WORDS: [(Status, &str); 6] = [
    (Status::Active, "active"),
    (Status::Offline, "offline"),
    (Status::Lost, "lost"),
    (Status::Passive, "passive"),
    (Status::Unavailable, "unavailable"),
    (Status::Uninstalled, "uninstalled"),
];

/// The word of a status in answers and filters.
#[must_use]
pub fn status_word(status: Status) -> &'static str {
    STATUS_WORDS
        .iter()
        .find(|(known, _)| *known == status)
        .map_or("unavailable", |(_, word)| word)
}

/// The words of `sort`, each with `-` before it for the reverse.
pub const ORDER_WORDS: [&str; 8] = [
    "name",
    "hostname",
    "jump_method",
    "comments",
    "group",
    "tag",
    "status",
    "last_access_at",
];

const fn parameter(name: &'static str, about: &'static str) -> Field {
    let most = SEARCH_CHARACTERS_MAX;
    Field::new(name, Kind::Text { min: 0, max: most }, about)
}

/// The parameters of the list, for the OpenAPI document.
pub const PARAMETERS: &[Field] = &[
    parameter("search", "What one of the searched fields has to contain."),
    parameter(
        "search_in",
        "The fields that are searched, as a comma list of their titles; all of them where absent.",
    ),
    parameter(
        "filter",
        "A field's title, a colon, and what the field has to contain; may come several times, and then all have to hold.",
    ),
    parameter(
        "group",
        "Only items of this group: shared-<id> or personal-<id>.",
    ),
    parameter("tag", "Only items with this tag; empty is those without."),
    Field::new(
        "status",
        Kind::Word(&[
            "active",
            "offline",
            "lost",
            "passive",
            "unavailable",
            "uninstalled",
        ]),
        "Only items with this status.",
    ),
    parameter(
        "sort",
        "name, hostname, jump_method, comments, group, tag, status or last_access_at; with - before it the reverse.",
    ),
    Field::new(
        "per_page",
        Kind::Integer { min: 1, max: 500 },
        "Items of a page; 100 where absent.",
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
    /// What one of the searched fields has to contain, folded; empty is no search.
    pub search: String,
    /// The fields that are searched (SESS-07).
    pub search_in: Vec<SearchField>,
    /// What single fields have to contain besides, folded (SESS-08).
    pub filters: Vec<(SearchField, String)>,
    /// Only items of this group.
    pub group: Option<JumpGroupRef>,
    /// Only items with this tag, without regard to case; empty is "no tag".
    pub tag: Option<String>,
    /// Only items with this status.
    pub status: Option<Status>,
    /// What the list is ordered by: one of [`ORDER_WORDS`].
    pub order: &'static str,
    /// Whether the order is reversed.
    pub descending: bool,
    /// Items of a page.
    pub per_page: usize,
    /// Which page, from 1.
    pub page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            search: String::new(),
            search_in: SearchField::ALL.to_vec(),
            filters: Vec::new(),
            group: None,
            tag: None,
            status: None,
            order: "name",
            descending: false,
            per_page: PER_PAGE,
            page: 1,
        }
    }
}

impl Query {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// The parameters that are not right, unknown ones included.
    pub fn read(query: &str) -> Result<Self, FieldErrors> {
        let mut read = Self::default();
        let mut errors = FieldErrors::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Err(message) = read.set(&name, &value) {
                errors.push(name.chars().take(64).collect::<String>(), message);
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
            "search" => self.search = searched("search", value)?,
            "filter" if self.filters.len() >= FILTERS_MAX => {
                return Err(format!("There may be at most {FILTERS_MAX} filters."));
            }
            "filter" => {
                let field = value
                    .split_once(':')
                    .and_then(|(title, text)| Some((SearchField::titled(title.trim())?, text)));
                let (field, text) = field.ok_or_else(|| {
                    format!(
                        "The filter must be one of: {}, then a colon and what is to be found.",
                        titles()
                    )
                })?;
                self.filters.push((field, searched("filter", text)?));
            }
            "search_in" => {
                let fields: Option<Vec<SearchField>> = value
                    .split(',')
                    .map(|title| SearchField::titled(title.trim()))
                    .collect();
                self.search_in = fields.ok_or_else(|| {
                    format!("The search_in must be a comma list of: {}.", titles())
                })?;
            }
            "group" => {
                self.group = Some(group(value).ok_or_else(|| {
                    "The group must have the form shared-<id> or personal-<id>.".to_owned()
                })?);
            }
            "tag" => self.tag = Some(value.to_lowercase()),
            "status" => {
                let known = STATUS_WORDS.iter().find(|(_, word)| *word == value);
                let (status, _) = known.ok_or_else(|| {
                    let words = STATUS_WORDS.map(|(_, word)| word);
                    format!("The status must be one of: {}.", words.join(", "))
                })?;
                self.status = Some(*status);
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
            "current_page" => self.page = number(value, usize::MAX)?,
            _ => return Err("This parameter is not known.".to_owned()),
        }
        Ok(())
    }
}

/// What is searched for, folded.
fn searched(name: &str, text: &str) -> Result<String, String> {
    if text.chars().count() > SEARCH_CHARACTERS_MAX {
        return Err(format!(
            "The {name} must not be longer than {SEARCH_CHARACTERS_MAX} characters."
        ));
    }
    Ok(text.trim().to_lowercase())
}

fn titles() -> String {
    SearchField::ALL.map(SearchField::title).join(", ")
}

fn number(text: &str, max: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ if max == usize::MAX => Err("The value must be an integer of 1 or more.".to_owned()),
        _ => Err(format!("The value must be an integer of 1 to {max}.")),
    }
}

/// Reads `shared-3` or `personal-5`.
#[must_use]
pub fn group(text: &str) -> Option<JumpGroupRef> {
    let (kind, number) = text.split_once('-')?;
    let number: u32 = number.parse().ok()?;
    match kind {
        "shared" => Some(JumpGroupRef::Shared(JumpGroupId(number))),
        "personal" => Some(JumpGroupRef::Personal(UserId(number))),
        _ => None,
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows of the page, in order.
    pub rows: Vec<ConsoleRow>,
    /// How many items match.
    pub total: usize,
    /// The last page there is, from 1.
    pub last_page: usize,
    /// How many items match but for the status filter, by the status' word.
    pub by_status: BTreeMap<&'static str, usize>,
}

/// What `user` may see of the items, as asked.
#[must_use]
pub fn page_of(
    view: &ConsoleView,
    world: &World,
    user: UserId,
    query: &Query,
    now: Timestamp,
) -> Page {
    let mut groups = permission::visible_groups(world, user);
    groups.retain(|group| query.group.is_none_or(|wanted| wanted == *group));
    let choice = Choice {
        query,
        searches: searches(query, &world.settings),
        wanted: query.per_page.saturating_mul(query.page),
        now,
        settings: &world.settings,
    };
    let parts = view.gather(&groups, |part, row| choice.take_in(part, row));
    choice.page(parts)
}

/// What has to be found: the search, and each filter in its own field. An empty text is no search. A statistic that is not
/// collected is not shown, and so not found either (CLNT-31).
fn searches(query: &Query, settings: &SiteSettings) -> Vec<Search> {
    let whole = (query.search_in.as_slice(), &query.search);
    let single = query
        .filters
        .iter()
        .map(|(field, text)| (std::slice::from_ref(field), text));
    let is_shown = |field: &SearchField| {
        *field != SearchField::ConsoleUser || settings.collects("console_user")
    };
    std::iter::once(whole)
        .chain(single)
        .filter(|(_, text)| !text.is_empty())
        .map(|(fields, text)| {
            let fields: Vec<SearchField> = fields.iter().copied().filter(is_shown).collect();
            Search::new(&fields, text)
        })
        .collect()
}

/// Chooses and orders rows.
struct Choice<'a> {
    query: &'a Query,
    /// All of them have to find the row.
    searches: Vec<Search>,
    /// How many rows of the whole order the page needs.
    wanted: usize,
    now: Timestamp,
    settings: &'a SiteSettings,
}

/// Rows of one core that match: the first ones of the order, and how many there are.
#[derive(Default)]
struct Chosen {
    rows: Vec<ConsoleRow>,
    /// The rows were cut: the one at the end of those wanted is the last that can still be on the page.
    is_cut: bool,
    total: usize,
    by_status: [usize; STATUS_WORDS.len()],
}

impl Choice<'_> {
    fn take_in(&self, chosen: &mut Chosen, row: RowRef<'_>) {
        let tag = self.query.tag.as_deref();
        if tag.is_some_and(|tag| row.texts.tag_folded() != tag) {
            return;
        }
        let finds = |search: &Search| search.finds(&row, self.now, self.settings);
        if !self.searches.iter().all(finds) {
            return;
        }
        let status = row.status(self.now, self.settings);
        if let Some(count) = chosen.by_status.get_mut(place(status)) {
            *count += 1;
        }
        if self.query.status.is_some_and(|wanted| wanted != status) {
            return;
        }
        chosen.total += 1;
        let is_behind = chosen.is_cut
            && chosen
                .rows
                .get(self.wanted - 1)
                .is_some_and(|last| self.compare(&row, last).is_ge());
        if is_behind {
            return;
        }
        chosen.rows.push(row.to_row());
        if chosen.rows.len() >= self.wanted.saturating_mul(2) {
            chosen
                .rows
                .select_nth_unstable_by(self.wanted - 1, |one, other| self.compare(one, other));
            chosen.rows.truncate(self.wanted);
            chosen.is_cut = true;
        }
    }

    fn page(&self, parts: Vec<Chosen>) -> Page {
        let total = parts.iter().map(|part| part.total).sum();
        let by_status = (0..)
            .zip(STATUS_WORDS)
            .map(|(place, (_, word)): (usize, _)| {
                let counts = parts.iter().filter_map(|part| part.by_status.get(place));
                (word, counts.sum())
            })
            .collect();
        let mut rows: Vec<ConsoleRow> = parts.into_iter().flat_map(|part| part.rows).collect();
        rows.sort_unstable_by(|one, other| self.compare(one, other));
        let before = self.wanted.saturating_sub(self.query.per_page);
        Page {
            rows: rows
                .into_iter()
                .skip(before)
                .take(self.query.per_page)
                .collect(),
            total,
            last_page: total.div_ceil(self.query.per_page).max(1),
            by_status,
        }
    }

    /// What was asked for; the name and then the id decide what that leaves open.
    fn compare<T: AsRef<Texts>, N: AsRef<str>>(
        &self,
        one: &Row<T, N>,
        other: &ConsoleRow,
    ) -> Ordering {
        let texts = (one.texts.as_ref(), &other.texts);
        let asked = match self.query.order {
            "hostname" => texts.0.hostname_folded().cmp(texts.1.hostname_folded()),
            "jump_method" => one.jump_method().cmp(other.jump_method()),
            "comments" => texts.0.comments_folded().cmp(texts.1.comments_folded()),
            "group" => one.group_folded.as_ref().cmp(other.group_folded.as_ref()),
            "tag" => texts.0.tag_folded().cmp(texts.1.tag_folded()),
            "status" => status_word(one.status(self.now, self.settings))
                .cmp(status_word(other.status(self.now, self.settings))),
            "last_access_at" => one.last_accessed.cmp(&other.last_accessed),
            _ => one.name_folded().cmp(other.name_folded()),
        };
        let asked = if self.query.descending {
            asked.reverse()
        } else {
            asked
        };
        asked
            .then_with(|| one.name_folded().cmp(other.name_folded()))
            .then_with(|| one.item.cmp(&other.item))
    }
}

/// Where a status is in [`STATUS_WORDS`].
fn place(status: Status) -> usize {
    STATUS_WORDS
        .iter()
        .position(|(known, _)| *known == status)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use domain::ids::JumpClientId;
    use domain::testing::{MONDAY, SHARED, WEB_SERVERS, group, registered};

    use super::*;

    #[test]
    fn the_documented_parameters_are_those_that_are_known() {
        for field in PARAMETERS {
            let query = format!("{}=%00", field.name);
            let known = match Query::read(&query) {
                Ok(_) => true,
                Err(errors) => !errors.0[0].1.contains("not known"),
            };
            assert!(known, "{}", field.name);
        }
        let status = PARAMETERS.iter().find(|field| field.name == "status");
        let Some(Kind::Word(words)) = status.map(|field| field.kind) else {
            panic!("the status is a word");
        };
        assert_eq!(words, STATUS_WORDS.map(|(_, word)| word));
    }

    #[test]
    fn a_parameter_that_is_not_right_is_named() {
        for (query, field) in [
            ("per_page=0", "per_page"),
            ("per_page=501", "per_page"),
            ("current_page=-1", "current_page"),
            ("sort=colour", "sort"),
            ("status=fine", "status"),
            ("group=7", "group"),
            ("search_in=Name,Colour", "search_in"),
            ("filter=Colour:red", "filter"),
            ("filter=red", "filter"),
            ("nonsense=1", "nonsense"),
        ] {
            let errors = Query::read(query).expect_err("refused");
            assert_eq!(errors.0[0].0, field, "{query}");
        }
        for parameter in ["search=", "filter=Tag:"] {
            let long = "a".repeat(SEARCH_CHARACTERS_MAX);
            assert!(Query::read(&format!("{parameter}{long}")).is_ok());
            assert!(Query::read(&format!("{parameter}{long}a")).is_err());
        }
        let many = vec!["filter=Tag:a"; FILTERS_MAX];
        assert!(Query::read(&many.join("&")).is_ok());
        assert!(Query::read(&format!("{}&filter=Tag:a", many.join("&"))).is_err());
    }

    /// SESS-07
    #[test]
    fn a_query_is_read_whole() {
        let read = Query::read(
            "search=+Web%20&search_in=Name,Tag&filter=FQDN:A:b&filter=Console%20User:&group=personal-4&tag=X&status=lost&sort=-tag&per_page=5&current_page=2",
        );
        assert_eq!(
            read,
            Ok(Query {
                search: "web".to_owned(),
                search_in: vec![SearchField::Name, SearchField::Tag],
                filters: vec![
                    (SearchField::Fqdn, "a:b".to_owned()),
                    (SearchField::ConsoleUser, String::new()),
                ],
                group: Some(JumpGroupRef::Personal(UserId(4))),
                tag: Some("x".to_owned()),
                status: Some(Status::Lost),
                order: "tag",
                descending: true,
                per_page: 5,
                page: 2,
            })
        );
    }

    /// The texts of the sort, for all rows at once: what [`Choice`] does in parts and with as few rows as it can.
    fn sorted_plainly(mut rows: Vec<ConsoleRow>, query: &Query, now: Timestamp) -> Vec<ConsoleRow> {
        rows.sort_by_key(|row| (row.texts.name().to_lowercase(), row.item));
        let settings = SiteSettings::default();
        let key = |row: &ConsoleRow| match query.order {
            "hostname" => (None, row.texts.hostname().to_lowercase()),
            "jump_method" => (None, row.jump_method().to_owned()),
            "comments" => (None, row.texts.comments().to_lowercase()),
            "group" => (None, row.group_name.to_lowercase()),
            "tag" => (None, row.texts.tag().to_lowercase()),
            "status" => (None, status_word(row.status(now, &settings)).to_owned()),
            "last_access_at" => (row.last_accessed, String::new()),
            _ => (None, row.texts.name().to_lowercase()),
        };
        if query.descending {
            rows.sort_by_key(|row| std::cmp::Reverse(key(row)));
        } else {
            rows.sort_by_key(key);
        }
        rows
    }

    /// SESS-06, SESS-08: every page of every order, however the rows are spread over cores.
    #[test]
    fn pages_are_cut_from_the_whole_order() {
        let rows = rows(61);
        let settings = SiteSettings::default();
        for order in ORDER_WORDS {
            for (descending, cores, page) in [
                (false, 1, 1),
                (true, 1, 2),
                (false, 3, 1),
                (true, 4, 1),
                (false, 2, 9),
                (true, 5, 13),
            ] {
                let query = Query {
                    order,
                    descending,
                    per_page: 5,
                    page,
                    ..Query::default()
                };
                let choice = Choice {
                    query: &query,
                    searches: Vec::new(),
                    wanted: query.per_page * query.page,
                    now: MONDAY,
                    settings: &settings,
                };
                let mut parts: Vec<Chosen> = (0..cores).map(|_| Chosen::default()).collect();
                for (number, row) in rows.iter().enumerate() {
                    choice.take_in(&mut parts[number * 7 % cores], row.borrowed());
                }
                let page = choice.page(parts);
                let whole = sorted_plainly(rows.clone(), &query, MONDAY);
                let before = query.per_page * (query.page - 1);
                let expected: Vec<_> = whole.into_iter().skip(before).take(5).collect();
                assert_eq!(page.rows, expected, "{query:?} on {cores}");
                assert_eq!((page.total, page.last_page), (61, 13));
                assert_eq!(page.by_status.values().sum::<usize>(), 61);
            }
        }
    }

    /// CLNT-31
    #[test]
    fn who_is_logged_on_is_not_found_where_that_is_not_collected() {
        let row = rows(1).remove(0);
        let found = |query: &Query, settings: &SiteSettings| {
            searches(query, settings)
                .iter()
                .all(|search| search.finds(&row.borrowed(), MONDAY, settings))
        };
        let collected = SiteSettings::default();
        let mut not_collected = SiteSettings::default();
        not_collected
            .jump_client_statistics
            .retain(|statistic| statistic != "console_user");
        for query in ["search=OPERATOR", "filter=Console%20User:rato"] {
            let query = Query::read(query).expect("a query");
            assert!(found(&query, &collected), "{query:?}");
            assert!(!found(&query, &not_collected), "{query:?}");
        }
        let by_name = Query::read("search=machine").expect("a query");
        assert!(found(&by_name, &not_collected));
    }

    fn rows(count: u32) -> Vec<ConsoleRow> {
        let mut world = World::default();
        world.apply(&group(WEB_SERVERS, "Web Servers"), MONDAY);
        for number in 1..=count {
            let event = registered(JumpClientId(number), SHARED, |client| {
                client.attempt.0 = format!("{number:064x}");
                client.properties.name = format!("Machine {}", number * 37 % 11);
                client.properties.tag =
                    ["", "Linux", "linux", "db"][number as usize % 4].to_owned();
                client.properties.comments = format!("Rack {}", number * 29 % 7);
                client.facts.hostname = format!("host-{}", number * 53 % 17);
                client.facts.console_user = "Operator".to_owned();
            });
            world.apply(&event, MONDAY);
        }
        let view = ConsoleView::of(&world);
        world
            .items_of(SHARED)
            .filter_map(|item| view.row(item))
            .collect()
    }
}
