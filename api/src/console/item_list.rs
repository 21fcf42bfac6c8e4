//! Which of the items in sight a list shows: search, filters, order, page (SESS-01, SESS-06 to SESS-08).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::access::permission;
use domain::ids::{JumpGroupId, JumpGroupRef, JumpItemRef, UserId};
use domain::record::{Field, Kind};
use domain::site::settings::SiteSettings;
use domain::{FieldErrors, Timestamp, World};
use projections::{ConsoleRow, ConsoleView, Row, RowRef, Search, SearchField, Status, Texts};

use crate::console::paging::{self, Paging, SEARCH_CHARS_MAX, Sort, searched};

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

/// What the list may be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The name.
    Name,
    /// The host name.
    Hostname,
    /// How one jumps there.
    JumpMethod,
    /// The comments.
    Comments,
    /// The Jump Group's name.
    Group,
    /// The tag.
    Tag,
    /// The word of the status.
    Status,
    /// When it was last jumped to.
    LastAccessAt,
}

impl paging::Order for Order {
    const ALL: &'static [Self] = &[
        Self::Name,
        Self::Hostname,
        Self::JumpMethod,
        Self::Comments,
        Self::Group,
        Self::Tag,
        Self::Status,
        Self::LastAccessAt,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Hostname => "hostname",
            Self::JumpMethod => "jump_method",
            Self::Comments => "comments",
            Self::Group => "group",
            Self::Tag => "tag",
            Self::Status => "status",
            Self::LastAccessAt => "last_access_at",
        }
    }
}

const fn parameter(name: &'static str, about: &'static str) -> Field {
    let most = SEARCH_CHARS_MAX;
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
    parameter(
        "after",
        "The id of an item: only those behind it in the order, as the next of the page before says. Costs the same however far back.",
    ),
    Paging::ROWS,
    Paging::PAGE,
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
    /// What the list is ordered by.
    pub sort: Sort<Order>,
    /// Only the items behind this one in the order.
    pub after: Option<JumpItemRef>,
    /// Which page of them.
    pub paging: Paging,
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
            sort: Sort::default(),
            after: None,
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
            "sort" => self.sort = Sort::read(value)?,
            "after" => {
                let item = value.parse();
                self.after = Some(item.map_err(|_| {
                    "The after must be the id of an item, such as jump_client-5.".to_owned()
                })?);
            }
            _ => self.paging.set(name, value)?,
        }
        Ok(())
    }
}

fn titles() -> String {
    SearchField::ALL.map(SearchField::title).join(", ")
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
    /// After which item the next page begins; none where this is the last one.
    pub next: Option<JumpItemRef>,
    /// How many items match but for the status filter, by the status' word.
    pub by_status: BTreeMap<&'static str, usize>,
}

/// What `user` may see of the items, as asked.
///
/// # Errors
/// The item after which the page begins is not in sight.
pub fn page_of(
    view: &ConsoleView,
    world: &World,
    user: UserId,
    query: &Query,
    now: Timestamp,
) -> Result<Page, FieldErrors> {
    let mut groups = permission::visible_groups(world, user);
    let after = query.after.map(|item| {
        let row = view.row(item).filter(|row| groups.contains(&row.group));
        row.ok_or_else(|| {
            FieldErrors::one(
                "after",
                "The item is not in sight any more. Begin with the first page.",
            )
        })
    });
    let after = after.transpose()?;
    groups.retain(|group| query.group.is_none_or(|wanted| wanted == *group));
    let in_sight: u64 = groups.iter().map(|group| view.counts(*group).items).sum();
    let before = query.paging.before();
    let choice = Choice {
        query,
        searches: searches(query, &world.settings),
        // A page beyond the end has no rows, so none is kept and sorted for it.
        wanted: if (before as u64) < in_sight {
            before.saturating_add(query.paging.per_page)
        } else {
            0
        },
        after,
        now,
        settings: &world.settings,
    };
    let parts = view.gather(&groups, |part, row| choice.take_in(part, row));
    Ok(choice.page(parts))
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
    /// How many rows of the order the page needs, from where it begins.
    wanted: usize,
    /// Only what comes behind it.
    after: Option<ConsoleRow>,
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
    /// How many of them come behind the item after which the page begins.
    behind: usize,
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
        let after = self.after.as_ref();
        if after.is_some_and(|after| self.compare(&row, after).is_le()) {
            return;
        }
        chosen.behind += 1;
        if self.wanted == 0 {
            return;
        }
        let is_beyond = chosen.is_cut
            && chosen
                .rows
                .get(self.wanted - 1)
                .is_some_and(|last| self.compare(&row, last).is_ge());
        if is_beyond {
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
        let behind: usize = parts.iter().map(|part| part.behind).sum();
        let by_status = (0..)
            .zip(STATUS_WORDS)
            .map(|(place, (_, word)): (usize, _)| {
                let counts = parts.iter().filter_map(|part| part.by_status.get(place));
                (word, counts.sum())
            })
            .collect();
        let mut rows: Vec<ConsoleRow> = parts.into_iter().flat_map(|part| part.rows).collect();
        rows.sort_unstable_by(|one, other| self.compare(one, other));
        let paging = self.query.paging;
        let rows: Vec<ConsoleRow> = rows
            .into_iter()
            .skip(paging.before())
            .take(paging.per_page)
            .collect();
        let last = rows.last().map(|row| row.item);
        Page {
            next: last.filter(|_| paging.before() + rows.len() < behind),
            rows,
            total,
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
        let asked = match self.query.sort.order {
            Order::Hostname => texts.0.hostname_folded().cmp(texts.1.hostname_folded()),
            Order::JumpMethod => one.jump_method().cmp(other.jump_method()),
            Order::Comments => texts.0.comments_folded().cmp(texts.1.comments_folded()),
            Order::Group => one.group_folded.as_ref().cmp(other.group_folded.as_ref()),
            Order::Tag => texts.0.tag_folded().cmp(texts.1.tag_folded()),
            Order::Status => status_word(one.status(self.now, self.settings))
                .cmp(status_word(other.status(self.now, self.settings))),
            Order::LastAccessAt => one.last_accessed.cmp(&other.last_accessed),
            Order::Name => one.name_folded().cmp(other.name_folded()),
        };
        let directed = self.query.sort.directed(asked);
        directed
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
    use crate::console::paging::Order as _;

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
            ("after=7", "after"),
            ("nonsense=1", "nonsense"),
        ] {
            let errors = Query::read(query).expect_err("refused");
            assert_eq!(errors.0[0].0, field, "{query}");
        }
        for parameter in ["search=", "filter=Tag:"] {
            let long = "a".repeat(SEARCH_CHARS_MAX);
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
            "search=+Web%20&search_in=Name,Tag&filter=FQDN:A:b&filter=Console%20User:&group=personal-4&tag=X&status=lost&sort=-tag&after=shell_jump-3&per_page=5&current_page=2",
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
                sort: Sort {
                    order: Order::Tag,
                    descending: true,
                },
                after: Some(JumpItemRef::ShellJump(domain::ids::ShellJumpId(3))),
                paging: Paging {
                    per_page: 5,
                    page: 2
                },
            })
        );
    }

    /// The texts of the sort, for all rows at once: what [`Choice`] does in parts and with as few rows as it can.
    fn sorted_plainly(mut rows: Vec<ConsoleRow>, query: &Query, now: Timestamp) -> Vec<ConsoleRow> {
        rows.sort_by_key(|row| (row.texts.name().to_lowercase(), row.item));
        let settings = SiteSettings::default();
        let key = |row: &ConsoleRow| match query.sort.order {
            Order::Hostname => (None, row.texts.hostname().to_lowercase()),
            Order::JumpMethod => (None, row.jump_method().to_owned()),
            Order::Comments => (None, row.texts.comments().to_lowercase()),
            Order::Group => (None, row.group_name.to_lowercase()),
            Order::Tag => (None, row.texts.tag().to_lowercase()),
            Order::Status => (None, status_word(row.status(now, &settings)).to_owned()),
            Order::LastAccessAt => (row.last_accessed, String::new()),
            Order::Name => (None, row.texts.name().to_lowercase()),
        };
        if query.sort.descending {
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
        for order in Order::ALL.iter().copied() {
            for (descending, cores, page) in [
                (false, 1, 1),
                (true, 1, 2),
                (false, 3, 1),
                (true, 4, 1),
                (false, 2, 9),
                (true, 5, 13),
            ] {
                let query = Query {
                    sort: Sort { order, descending },
                    paging: Paging { per_page: 5, page },
                    ..Query::default()
                };
                let choice = Choice {
                    query: &query,
                    searches: Vec::new(),
                    wanted: 5 * query.paging.page,
                    after: None,
                    now: MONDAY,
                    settings: &settings,
                };
                let mut parts: Vec<Chosen> = (0..cores).map(|_| Chosen::default()).collect();
                for (number, row) in rows.iter().enumerate() {
                    choice.take_in(&mut parts[number * 7 % cores], row.borrowed());
                }
                let page = choice.page(parts);
                let whole = sorted_plainly(rows.clone(), &query, MONDAY);
                let before = 5 * (query.paging.page - 1);
                let expected: Vec<_> = whole.into_iter().skip(before).take(5).collect();
                let next = expected.last().map(|row| row.item);
                assert_eq!(page.next, next.filter(|_| before + 5 < 61), "{query:?}");
                assert_eq!(page.rows, expected, "{query:?} on {cores}");
                assert_eq!(page.total, 61);
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
