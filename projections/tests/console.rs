//! Rows of the Jump interface: status, search, figures.

mod support;

use domain::fleet::jump_client::{self, Facts, Properties};
use domain::ids::{JumpClientId, JumpItemRef, JumpointId, LinkId, ShellJumpId};
use domain::items::jumpoint::Jumpoint;
use domain::items::shell::ShellJump;
use domain::testing::{
    ADMIN, ANNA, API, FIRST, NODE, PC1, PC2, SHARED, change, client, delete, jumpoint, object,
    registered, session, shell_jump,
};
use domain::{Event, time};
use projections::{Search, SearchField, Status};
use serde_json::json;
use support::Log;
use support::site::{disconnected, fold_batch, happen, stopped, with};

/// SESS-02, CLNT-12
#[test]
fn the_status_column_says_what_a_start_would_meet() {
    type Prepare = fn(&mut Log);
    let quarantine: Prepare = |log| {
        let evidence = "two boots".to_owned();
        let quarantined = jump_client::Quarantined { evidence };
        log.happen([Event::JumpClient(
            PC1,
            jump_client::Event::Quarantined(quarantined),
        )]);
    };
    let disable: Prepare = |log| {
        let facts = Box::new(Facts {
            disabled: true,
            ..Facts::default()
        });
        let check_in = jump_client::Command::CheckIn {
            client: PC1,
            link: LinkId {
                node: NODE,
                connection: u64::from(PC1.0),
            },
            facts,
        };
        log.ask(PC1, check_in);
    };
    let lost = 15 * time::DAY;
    // how it came, how long ago, words
    let table: [(&str, Prepare, i64, &str); 7] = [
        ("connected", |_| {}, 0, "Active (1)"),
        (
            "left",
            |log| log.happen([disconnected(PC1)]),
            0,
            "Active [Offline]",
        ),
        (
            "left",
            |log| log.happen([disconnected(PC1)]),
            lost - 1,
            "Active [Offline]",
        ),
        (
            "left",
            |log| log.happen([disconnected(PC1)]),
            lost,
            "Active [Lost]",
        ),
        (
            "node stopped",
            |log| log.happen([stopped()]),
            lost,
            "Active [Lost]",
        ),
        ("quarantined", quarantine, 0, "Unavailable"),
        ("switched off", disable, 0, "Unavailable"),
    ];
    for (what, prepare, ago, words) in table {
        let (mut log, views) = with(client(PC1, SHARED));
        prepare(&mut log);
        fold_batch(&views, &log);
        let row = views
            .console
            .row(JumpItemRef::JumpClient(PC1))
            .expect("a row");
        let status = row.status(log.now.plus(ago), &log.world.settings);
        assert_eq!(status.words(), words, "{what}, {ago}");
    }
    for (connection_type, status) in [
        ("passive", Status::Passive),
        ("uninstalled", Status::Uninstalled),
    ] {
        let (log, views) = with([registered(PC1, SHARED, |client| {
            client.connection_type = connection_type.to_owned();
        })]);
        let row = views
            .console
            .row(JumpItemRef::JumpClient(PC1))
            .expect("a row");
        assert_eq!(row.status(log.now, &log.world.settings), status);
        assert_eq!(
            views.console.counts(SHARED).passive,
            u64::from(status == Status::Passive)
        );
    }
}

/// SESS-06, SESS-07
#[test]
fn each_field_is_searched_by_itself_and_without_case() {
    let mut events = vec![registered(PC1, SHARED, |client| {
        client.properties.name = "Payroll DB".to_owned();
        client.properties.tag = "Finance".to_owned();
        client.properties.comments = "Ask Überseestraße first".to_owned();
        client.facts.hostname = "HOST-A".to_owned();
        client.facts.fqdn = "host-a.Corp.example".to_owned();
        client.facts.console_user = "Operator".to_owned();
        client.facts.private_ip = "10.0.0.5".to_owned();
    })];
    events.push(domain::testing::connected(PC1, 1));
    let (mut log, views) = with(events);
    happen(&mut log, &views, session(FIRST, ANNA, PC1));
    let row = views
        .console
        .row(JumpItemRef::JumpClient(PC1))
        .expect("a row");
    let public_ip = row.texts.public_ip().to_owned();
    let table = [
        (SearchField::Comments, "ÜBERSEE"),
        (SearchField::ConsoleUser, "OPER"),
        (SearchField::Domain, "corp.EXAMPLE"),
        (SearchField::Fqdn, "HOST-a.corp"),
        (SearchField::Group, "web SERVERS"),
        (SearchField::HostnameIp, "host-A"),
        (SearchField::JumpMethod, "jump CLIENT"),
        (SearchField::LastAccessed, "2026-03-02"),
        (SearchField::Name, "payroll"),
        (SearchField::PrivateIp, "10.0.0.5"),
        (SearchField::PublicIp, public_ip.as_str()),
        (SearchField::Status, "ACTIVE (1)"),
        (SearchField::Tag, "finance"),
    ];
    let of_the_table = table.map(|(field, _)| field);
    let titles: Vec<&str> = SearchField::ALL.iter().map(|field| field.title()).collect();
    assert_eq!(
        titles,
        [
            "Comments",
            "Console User",
            "Domain",
            "FQDN",
            "Group",
            "Hostname/IP",
            "Jump Method",
            "Last Accessed",
            "Name",
            "Private IP",
            "Public IP",
            "Status",
            "Tag",
            "Workgroup",
        ]
    );
    // No kind of item has a workgroup.
    let (workgroup, all_but_it) = SearchField::ALL.split_last().expect("fields");
    assert_eq!(
        (*workgroup, all_but_it),
        (SearchField::Workgroup, &of_the_table[..])
    );
    assert!(!Search::new(&[SearchField::Workgroup], "").finds(&row, log.now, &log.world.settings));
    for (field, typed) in table {
        let found = |fields: &[SearchField]| {
            Search::new(fields, typed).finds(&row, log.now, &log.world.settings)
        };
        assert!(found(&[field]), "{field:?}");
        assert!(found(&SearchField::ALL), "{field:?}");
        let others: Vec<SearchField> = SearchField::ALL
            .into_iter()
            // The full name begins with the host name and ends with the domain.
            .filter(|other| *other != field && *other != SearchField::Fqdn)
            .collect();
        assert!(!found(&others), "{field:?}");
        assert_eq!(SearchField::titled(field.title()), Some(field));
    }
    let mut never = views
        .console
        .row(JumpItemRef::JumpClient(PC1))
        .expect("a row");
    never.last_accessed = None;
    assert_eq!(never.last_accessed_words(), "Never");
    for (typed, is_found) in [("NEV", true), ("2026", false)] {
        let search = Search::new(&[SearchField::LastAccessed], typed);
        let found = search.finds(&never, log.now, &log.world.settings);
        assert_eq!(found, is_found, "{typed}");
    }
    // The name ends with what the tag begins with: a search does not go over the edge.
    assert!(!Search::new(&SearchField::ALL, "dbfinance").finds(&row, log.now, &log.world.settings));
}

#[test]
fn figures_stay_with_the_client_and_go_with_it() {
    let (mut log, views) = with(client(PC1, SHARED));
    let figures: std::sync::Arc<[u8]> = (*b"figures").into();
    views.console.set_figures(PC1, figures.clone());
    views.console.set_figures(PC2, figures.clone());
    assert_eq!(views.console.figures(JumpItemRef::JumpClient(PC2)), None);
    log.ask(
        ADMIN,
        change::<Properties>(PC1, json!({"name": "new name"})),
    );
    fold_batch(&views, &log);
    assert_eq!(
        views.console.figures(JumpItemRef::JumpClient(PC1)),
        Some(figures)
    );
    log.ask(ADMIN, delete::<Properties>(PC1));
    fold_batch(&views, &log);
    assert_eq!(views.console.figures(JumpItemRef::JumpClient(PC1)), None);
}

/// CLNT-51: a copy shows what its endpoint measures, also once the original item is removed.
#[test]
fn copies_keep_the_figures_of_their_endpoint() {
    let (mut log, views) = with(client(PC1, SHARED));
    let copies: Vec<JumpClientId> = (0..2)
        .map(|_| {
            let body = object(json!({"jump_group_id": 1, "jump_group_type": "shared"}));
            let made = log.ask(ADMIN, jump_client::Command::Copy(PC1, body));
            made.iter()
                .find_map(|event| match event {
                    Event::JumpClient(id, jump_client::Event::Copied(_)) => Some(*id),
                    _ => None,
                })
                .expect("a copy")
        })
        .collect();
    fold_batch(&views, &log);
    let of = |id: JumpClientId| views.console.figures(JumpItemRef::JumpClient(id));
    let first: std::sync::Arc<[u8]> = (*b"first").into();
    let second: std::sync::Arc<[u8]> = (*b"second").into();
    views.console.set_figures(PC1, first.clone());
    assert_eq!(of(PC1), Some(first.clone()));
    assert_eq!(of(copies[0]), Some(first.clone()));

    log.ask(ADMIN, delete::<Properties>(PC1));
    fold_batch(&views, &log);
    assert_eq!((of(PC1), of(copies[0])), (None, Some(first)));
    // What the endpoint says from now on is still its id's.
    views.console.set_figures(PC1, second.clone());
    assert_eq!(of(copies[0]), Some(second.clone()));

    log.ask(ADMIN, delete::<Properties>(copies[0]));
    fold_batch(&views, &log);
    assert_eq!((of(copies[0]), of(copies[1])), (None, Some(second.clone())));
    log.ask(ADMIN, delete::<Properties>(copies[1]));
    fold_batch(&views, &log);
    views.console.set_figures(PC1, second);
    assert_eq!(of(copies[1]), None);
}

/// SESS-01, SESS-02, SESS-04, GRP-22, GRP-23, GRP-24, GRP-25
#[test]
fn a_shortcut_is_listed_searched_and_counted_beside_clients() {
    let router = JumpItemRef::ShellJump(ShellJumpId(1));
    let (mut log, views) = with(client(PC1, SHARED));
    happen(
        &mut log,
        &views,
        [
            jumpoint(JumpointId(1), |_| {}),
            shell_jump(ShellJumpId(1), SHARED, |shell| {
                shell.name = "Core Router".to_owned();
                shell.tag = "core".to_owned();
            }),
        ],
    );
    let row = views.console.row(router).expect("a row");
    let settings = &log.world.settings;
    assert_eq!(row.jump_method(), "Shell Jump");
    assert_eq!(row.texts.hostname(), "shell-1.example.com");
    assert_eq!(row.status(log.now, settings).words(), "Unavailable");
    assert!(!row.online && row.offline_since.is_none());
    assert!(Search::new(&[SearchField::Name], "core r").finds(&row, log.now, settings));
    assert!(Search::new(&[SearchField::JumpMethod], "shell").finds(&row, log.now, settings));
    assert!(!Search::new(&[SearchField::Fqdn], "shell").finds(&row, log.now, settings));
    let counts = views.console.counts(SHARED);
    assert_eq!(
        counts.to_string(),
        "2 Jump Items total. 1 Jump Clients total. 1 online, 0 offline, 0 passive."
    );
    let tags = |views: &projections::Views| -> Vec<String> {
        let tags = views.console.tags(SHARED).into_iter();
        tags.map(|(tag, _)| tag).collect()
    };
    assert_eq!(tags(&views), ["", "core"]);
    log.ask(
        API,
        change::<ShellJump>(ShellJumpId(1), json!({"tag": "", "comments": "rack 4"})),
    );
    fold_batch(&views, &log);
    assert_eq!(tags(&views), [""]);
    let row = views.console.row(router).expect("a row");
    assert_eq!((row.texts.tag(), row.texts.comments()), ("", "rack 4"));
}

/// JPT-32
#[test]
fn the_rows_of_a_jumpoint_go_with_it() {
    let (mut log, views) = with([
        jumpoint(JumpointId(1), |_| {}),
        jumpoint(JumpointId(2), |_| {}),
    ]);
    happen(
        &mut log,
        &views,
        [
            shell_jump(ShellJumpId(1), SHARED, |_| {}),
            shell_jump(ShellJumpId(2), SHARED, |shell| {
                shell.jumpoint_id = JumpointId(2);
            }),
        ],
    );
    log.ask(ADMIN, delete::<Jumpoint>(JumpointId(1)));
    fold_batch(&views, &log);
    let row = |id| views.console.row(JumpItemRef::ShellJump(ShellJumpId(id)));
    assert!(row(1).is_none() && row(2).is_some());
    assert_eq!(views.console.counts(SHARED).items, 1);
}

/// CLNT-51
#[test]
fn copies_are_as_online_as_their_endpoint() {
    let (mut log, views) = with(client(PC1, SHARED));
    let body = object(json!({"jump_group_id": 1, "jump_group_type": "shared"}));
    log.ask(API, jump_client::Command::Copy(PC1, body));
    fold_batch(&views, &log);
    let online = |id| {
        let row = views.console.row(JumpItemRef::JumpClient(id));
        row.expect("a row").online
    };
    assert!(online(PC1) && online(PC2));
    assert_eq!(views.console.counts(SHARED).online, 2);
    log.ask(
        PC1,
        jump_client::Command::Disconnect {
            client: PC1,
            link: LinkId {
                node: NODE,
                connection: u64::from(PC1.0),
            },
            reason: String::new(),
        },
    );
    fold_batch(&views, &log);
    assert!(!online(PC1) && !online(PC2));
    assert_eq!(views.console.counts(SHARED).offline, 2);
}
