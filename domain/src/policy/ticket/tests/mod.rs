//! Asking the ticket system, and all that it may answer.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    Allowed, Answer, Ask, Asked, Command, Denied, Event, Handed, Outcome, Sent, StartRefused,
    TicketId, TimedOut, Trouble, Voided, WAITING_PER_USER_MAX, parameters, type_word,
};
use crate::access::role::START_SESSIONS_ONLY;
use crate::fleet::jump_client::{self, Properties};
use crate::ids::{
    JumpClientId, JumpItemRef, JumpointId, KeyedHash, LinkId, Lsid, ShellJumpId, TicketRequestId,
    UserId,
};
use crate::items::custom_field::{self, CustomField};
use crate::items::shell::ShellJump;
use crate::policy::jump_policy::JumpPolicy;
use crate::session::access_session::{self, Start};
use crate::site::ticket_system::{Status, TICKET_SYSTEM, TicketSystem};
use crate::site::user::User;
use crate::testing::{
    ADMIN, ANNA, API, BERT, FIRST, Given, MONDAY, NODE, Outcome as Answered, PC1, SHARED,
    THURSDAYS, WEB_SERVERS, change, client, create, given, group, jumpoint, member_under, object,
    person, policy, shell_jump, start,
};
use crate::time::SECOND;
use crate::{Actor, Cause, Event as Happened, Refusal, Surface, record};

mod sign_ins;

const ITEM: JumpItemRef = JumpItemRef::JumpClient(PC1);
const REQUEST: TicketRequestId = TicketRequestId(1);
const URL: &str = "https://tickets.example.com/check";

/// Anna may start sessions on PC1, with a ticket.
fn ready() -> Given {
    ready_with(json!({"url": URL, "user_prompt": "Change number?"}))
}

fn ready_with(system: serde_json::Value) -> Given {
    without_a_system()
        .when(ADMIN, change::<TicketSystem>(TICKET_SYSTEM, system))
        .then_something()
}

fn without_a_system() -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |policy| policy.ticket_id_required = true),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
    ])
    .and(client(PC1, SHARED))
}

fn key(name: &str) -> KeyedHash {
    KeyedHash(format!("key of {name}"))
}

fn wish(user: UserId, client: JumpClientId) -> Start {
    Start::new(
        user,
        JumpItemRef::JumpClient(client),
        "192.0.2.10:50000".to_owned(),
        "Linux".to_owned(),
    )
}

fn ask(ticket: &str) -> Command {
    ask_as("first", ticket)
}

fn ask_as(name: &str, ticket: &str) -> Command {
    Command::Ask(Box::new(Ask {
        start: wish(ANNA, PC1),
        ticket_id: TicketId(ticket.to_owned()),
        answer_key: key(name),
        sign_in: None,
    }))
}

fn ticket_system() -> Cause {
    Cause {
        actor: Actor::Stranger,
        surface: Surface::TicketSystem,
        address: None,
    }
}

fn answer(response: &str) -> Answer {
    Answer {
        answer_key: Some(key("first")),
        response: Some(response.to_owned()),
        ..Answer::default()
    }
}

fn happens(event: Event) -> Happened {
    Happened::TicketRequest(REQUEST, event)
}

fn denied(message: &str) -> Happened {
    happens(Event::Denied(Denied {
        message: message.to_owned(),
        current: true,
    }))
}

/// Anna waits for the answer to T1.
fn waiting() -> Given {
    ready().when(ANNA, ask("T1")).then_something()
}

fn started(outcome: &Answered) -> Option<(Lsid, access_session::Started)> {
    outcome.events().iter().find_map(|event| match event {
        Happened::AccessSession(lsid, access_session::Event::Started(started)) => {
            Some((*lsid, started.clone()))
        }
        _ => None,
    })
}

/// TICK-14 TICK-17 TICK-40
#[test]
fn a_ticket_is_asked_for_before_anything_starts() {
    let asked = Asked {
        start: wish(ANNA, PC1),
        ticket_id: Some("T1".to_owned()),
        answer_key: key("first"),
        expires_at: MONDAY.plus(60 * SECOND),
        version: 1,
        sign_in: None,
    };
    let site = ready()
        .when(ANNA, ask("T1"))
        .then([happens(Event::Asked(asked))]);
    assert!(site.world().sessions.is_empty());
    assert_eq!(site.world().tickets_waiting_of(ANNA), 1);
}

/// TICK-44
#[test]
fn an_empty_ticket_id_is_not_sent() {
    let empty = "The ticket_id field must not be empty.";
    for (ticket, words) in [
        ("", empty),
        ("   ", empty),
        (
            "a\nb",
            "The ticket_id field must not hold control characters.",
        ),
        (
            &"x".repeat(256),
            "The ticket_id field must not be longer than 255 characters.",
        ),
    ] {
        ready()
            .when(ANNA, ask(ticket))
            .then_refused(Refusal::field("ticket_id", words));
    }
    ready()
        .when(ANNA, ask(&"\u{e4}".repeat(255)))
        .then_something();
}

/// TICK-42 ERR-27 ERR-28
#[test]
fn without_a_ticket_system_or_a_prompt_nothing_starts() {
    assert_eq!(
        Refusal::NoTicketSystem.to_string(),
        "No ticket system URL is configured. Please contact your administrator"
    );
    assert_eq!(
        Refusal::NoTicketPrompt.to_string(),
        "User Prompt Not Configured."
    );
    for command in [start(ANNA, PC1), ask("T1").into()] {
        without_a_system()
            .when(ANNA, command.clone())
            .then_refused(Refusal::NoTicketSystem);
        ready_with(json!({ "url": URL }))
            .when(ANNA, command)
            .then_refused(Refusal::NoTicketPrompt);
    }
}

/// TICK-09 TICK-10 TICK-43: whoever starts without a ticket is told what to ask for; approval is off.
#[test]
fn a_start_without_a_ticket_is_told_the_prompt() {
    for sensitive in [false, true] {
        let site =
            ready_with(json!({"url": URL, "user_prompt": "Change?", "sensitive": sensitive}));
        let refused = site.when(ANNA, start(ANNA, PC1));
        let Err(Refusal::StartNeeds { needs }) = refused.decision() else {
            panic!("{:?}", refused.decision());
        };
        assert_eq!(
            serde_json::to_value(needs).expect("json"),
            json!([{"need": "ticket", "prompt": "Change?", "sensitive": sensitive}])
        );
    }
}

/// TICK-42: an item whose policy asks for none starts at once, whatever was typed.
#[test]
fn where_no_ticket_is_needed_the_session_starts_at_once() {
    let site = ready()
        .when(
            ADMIN,
            change::<JumpPolicy>(THURSDAYS, json!({"ticket_id_required": false})),
        )
        .then_something();
    let outcome = site.when(ANNA, ask("T1"));
    assert!(started(&outcome).is_some());
    assert_eq!(outcome.events().len(), 1);
}

/// TICK-11: neither the event nor what is printed of the command holds the ticket.
#[test]
fn a_sensitive_ticket_id_is_in_no_event_and_is_not_printed() {
    let system = json!({"url": URL, "user_prompt": "Change?", "sensitive": true});
    let outcome = ready_with(system).when(ANNA, ask("CANARY"));
    let [Happened::TicketRequest(_, Event::Asked(asked))] = outcome.events() else {
        panic!("{:?}", outcome.events());
    };
    assert_eq!(asked.ticket_id, None);
    for shown in [
        format!("{:?}", ask("CANARY")),
        format!("{:?}", outcome.events()),
    ] {
        assert!(!shown.contains("CANARY"), "{shown}");
    }
}

/// TICK-34 TICK-33: the start goes on, with all gates asked again.
#[test]
fn allow_lets_the_start_proceed() {
    let mut allow = answer("allow");
    allow.attributes = BTreeMap::from([("external_key".to_owned(), "T1".to_owned())]);
    let outcome = waiting().when(ticket_system(), Command::Answer(allow.clone()));
    let (lsid, session) = started(&outcome).expect("a session");
    assert_eq!(session.representative.user_id, ANNA);
    assert_eq!(session.item, ITEM);
    assert_eq!(session.external_key, "T1");
    assert_eq!(
        outcome.events()[0],
        happens(Event::Allowed(Allowed {
            attributes: allow.attributes,
            lsid: Some(lsid),
            current: true,
        }))
    );
    let site = outcome.then_something();
    assert!(site.world().sessions.contains(&lsid));
    assert!(site.world().ticket_requests.is_empty());
}

/// TICK-35 ERR-22 TICK-31
#[test]
fn deny_stops_the_start_with_the_words_of_the_ticket_system_or_ours() {
    for (message, shown) in [
        (None, "Invalid ticket ID."),
        (Some(""), "Invalid ticket ID."),
        (Some("Change not approved"), "Change not approved"),
        (Some(&*"\u{e4}".repeat(255)), &*"\u{e4}".repeat(255)),
    ] {
        let mut deny = answer("deny");
        deny.message = message.map(str::to_owned);
        // Attributes mean nothing in it (TICK-46).
        deny.attributes = BTreeMap::from([("unknown".to_owned(), "x".repeat(2_000))]);
        let site = waiting()
            .when(ticket_system(), Command::Answer(deny))
            .then([denied(shown)]);
        assert!(site.world().sessions.is_empty());
        assert!(site.world().ticket_requests.is_empty());
    }
}

/// TICK-32
#[test]
fn a_message_that_is_too_long_is_refused_and_the_request_stays_open() {
    for response in ["deny", "allow"] {
        let mut long = answer(response);
        long.message = Some("x".repeat(256));
        let site = waiting()
            .when(ticket_system(), Command::Answer(long))
            .then_refused(Refusal::field(
                "message",
                "The message field must not be longer than 255 characters.",
            ));
        site.when(ticket_system(), Command::Answer(answer("deny")))
            .then([denied("Invalid ticket ID.")]);
    }
}

/// TICK-30 TICK-45 ERR-29
#[test]
fn anything_but_allow_and_deny_ends_the_request() {
    for response in [None, Some(""), Some("Allow"), Some("perhaps")] {
        let nonsense = Answer {
            response: response.map(str::to_owned),
            ..answer("allow")
        };
        waiting()
            .when(ticket_system(), Command::Answer(nonsense))
            .then([happens(Event::AnswerInvalid(Denied {
                message: "The ticket system returned an invalid response.".to_owned(),
                current: true,
            }))])
            .when(ticket_system(), Command::Answer(answer("allow")))
            .then_refused(Refusal::TicketRequestNotValid);
    }
}

/// TICK-29 TICK-45: without `response_id` nothing changes.
#[test]
fn an_answer_names_the_request_it_is_for() {
    let nameless = Answer {
        answer_key: None,
        ..answer("allow")
    };
    let site = waiting()
        .when(ticket_system(), Command::Answer(nameless))
        .then_refused(Refusal::field(
            "response_id",
            "The response_id field is required.",
        ));
    assert_eq!(site.world().tickets_waiting_of(ANNA), 1);
}

/// TICK-37 TICK-39 TICK-41, threat V: late, repeated, crossed and guessed answers change nothing.
#[test]
fn threat_v_an_answer_is_for_one_request_and_counts_once() {
    let crossed = Answer {
        answer_key: Some(key("another")),
        ..answer("allow")
    };
    waiting()
        .when(ticket_system(), Command::Answer(crossed))
        .then_refused(Refusal::TicketRequestNotValid)
        .when(ticket_system(), Command::Answer(answer("deny")))
        .then_something()
        .when(ticket_system(), Command::Answer(answer("allow")))
        .then_refused(Refusal::TicketRequestNotValid);
    // Two requests: each answer ends its own.
    let site = waiting()
        .when(ANNA, ask_as("second", "T2"))
        .then_something();
    let second = Answer {
        answer_key: Some(key("second")),
        ..answer("deny")
    };
    let site = site
        .when(ticket_system(), Command::Answer(second))
        .then_something();
    let left: Vec<TicketRequestId> = site
        .world()
        .ticket_requests
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(left, [REQUEST]);
    // Late: the time is up before the timer says so.
    waiting()
        .after(60 * SECOND)
        .when(ticket_system(), Command::Answer(answer("allow")))
        .then_refused(Refusal::TicketRequestNotValid);
    waiting()
        .after(60 * SECOND - 1)
        .when(ticket_system(), Command::Answer(answer("allow")))
        .then_something();
}

/// TICK-36: 404 comes before everything else.
#[test]
fn without_a_url_there_is_nothing_to_answer() {
    for answer in [answer("allow"), Answer::default()] {
        without_a_system()
            .when(ticket_system(), Command::Answer(answer))
            .then_refused(Refusal::TicketSystemNotConfigured);
    }
}

/// TICK-46: what the session can't have is refused, and the request stays open.
#[test]
fn attributes_that_are_not_configured_or_too_long_are_refused() {
    for (name, value) in [
        ("unknown", "x".to_owned()),
        ("external_key", "x".repeat(1_025)),
    ] {
        let allow = Answer {
            attributes: BTreeMap::from([(name.to_owned(), value)]),
            ..answer("allow")
        };
        let refused = waiting().when(ticket_system(), Command::Answer(allow));
        assert!(
            matches!(refused.decision(), Err(Refusal::Invalid(_))),
            "{name}: {:?}",
            refused.decision()
        );
        let allow = Answer {
            attributes: BTreeMap::from([("external_key".to_owned(), "x".repeat(1_024))]),
            ..answer("allow")
        };
        waiting()
            .when(ticket_system(), Command::Answer(allow))
            .then_something();
    }
}

/// TICK-34, SESS-17: what closed meanwhile stays closed, and the user is told what.
#[test]
fn an_allowed_start_passes_all_gates_again() {
    let refused = |refusal: &Refusal| {
        [
            happens(Event::Allowed(Allowed {
                attributes: BTreeMap::new(),
                lsid: None,
                current: true,
            })),
            happens(Event::StartRefused(StartRefused {
                code: refusal.code().to_owned(),
                message: refusal.to_string(),
            })),
        ]
    };
    let link = LinkId {
        node: NODE,
        connection: u64::from(PC1.0),
    };
    let gone = jump_client::Command::Disconnect {
        client: PC1,
        link,
        reason: "closed".to_owned(),
    };
    let copied = jump_client::Command::Quarantine {
        client: PC1,
        evidence: "two machines answered".to_owned(),
    };
    for (command, closed) in [
        (gone, Refusal::JumpClientOffline),
        (copied, Refusal::JumpClientIdentityFailed),
    ] {
        waiting()
            .when(PC1, command)
            .then_something()
            .when(ticket_system(), Command::Answer(answer("allow")))
            .then(refused(&closed));
    }
}

/// TICK-40 ERR-26
#[test]
fn a_request_times_out_when_its_time_is_up() {
    let time_out = || Command::TimeOut { request: REQUEST };
    let site = waiting()
        .after(59 * SECOND)
        .when(Actor::System, time_out())
        .then_nothing()
        .after(SECOND)
        .when(Actor::System, time_out())
        .then([happens(Event::TimedOut(TimedOut { current: true }))]);
    assert_eq!(
        site.world().ticket_connection.status,
        Some(Status {
            success: false,
            message: "The ticket system failed to respond in time.".to_owned(),
            at: MONDAY.plus(60 * SECOND),
        })
    );
    site.when(Actor::System, time_out())
        .then_nothing()
        .when(ticket_system(), Command::Answer(answer("allow")))
        .then_refused(Refusal::TicketRequestNotValid);
    // The time is the setting's when the user asked.
    ready_with(json!({"url": URL, "user_prompt": "?", "timeout_seconds": 5}))
        .when(ANNA, ask("T1"))
        .then_something()
        .after(5 * SECOND)
        .when(Actor::System, time_out())
        .then_something();
}

/// TICK-48
#[test]
fn who_no_longer_waits_gets_no_session() {
    let void = || Command::Void { request: REQUEST };
    waiting()
        .when(BERT, void())
        .then_refused(Refusal::not_found("Ticket request"))
        .when(ANNA, void())
        .then([happens(Event::Voided(Voided {}))])
        .when(ANNA, void())
        .then_nothing()
        .when(ticket_system(), Command::Answer(answer("allow")))
        .then_refused(Refusal::TicketRequestNotValid);
}

/// TICK-47 TICK-05 TICK-06 ERR-25 ERR-26
#[test]
fn current_status_is_what_came_of_the_last_request() {
    let sent = |trouble: Option<Trouble>| Command::NoteSent {
        request: REQUEST,
        trouble,
    };
    assert_eq!(waiting().world().ticket_connection.status, None);
    for (trouble, words) in [
        (None, "Success"),
        (
            Some(Trouble::NotResolved),
            "The given host was not resolved.",
        ),
        (
            Some(Trouble::TimedOut),
            "The ticket system failed to respond in time.",
        ),
        (
            Some(Trouble::Tls("invalid peer certificate: Expired".to_owned())),
            "The ticket system's certificate could not be verified: invalid peer certificate: Expired.",
        ),
        (
            Some(Trouble::NotAllowed("127.0.0.1".to_owned())),
            "The ticket system's address 127.0.0.1 is not in a network that this site may send requests to.",
        ),
        (
            Some(Trouble::Unreachable("connection refused".to_owned())),
            "The ticket system could not be reached: connection refused.",
        ),
        (
            Some(Trouble::Status(302)),
            "The ticket system answered the request with HTTP status 302.",
        ),
    ] {
        let ends = trouble.is_some();
        let site = waiting()
            .when(Actor::System, sent(trouble.clone()))
            .then([happens(Event::Sent(Sent {
                trouble: trouble.clone(),
                current: true,
                ends,
            }))]);
        let status = site.world().ticket_connection.status.clone();
        let expected = Status {
            success: !ends,
            message: words.to_owned(),
            at: MONDAY,
        };
        assert_eq!(status, Some(expected));
        assert_eq!(site.world().ticket_requests.is_empty(), ends);
        // A change takes it away; what comes of the request later does not bring it back.
        let site = site
            .when(
                ADMIN,
                change::<TicketSystem>(TICKET_SYSTEM, json!({"user_prompt": "Other?"})),
            )
            .then_something();
        assert_eq!(site.world().ticket_connection.status, None);
        if !ends {
            let site = site
                .when(ticket_system(), Command::Answer(answer("deny")))
                .then_something();
            assert_eq!(site.world().ticket_connection.status, None);
        }
    }
    // An answer that was faster than the reply to the POST says as much.
    let site = waiting()
        .when(ticket_system(), Command::Answer(answer("deny")))
        .then_something()
        .when(Actor::System, sent(None))
        .then_nothing();
    let status = site.world().ticket_connection.status.clone();
    assert!(status.is_some_and(|status| status.success));
}

/// TICK-34, LIM-12: as many as items may be started at once.
#[test]
fn a_user_waits_for_ten_tickets_at_most() {
    let mut site = ready();
    for number in 0..WAITING_PER_USER_MAX {
        site = site
            .when(ANNA, ask_as(&number.to_string(), "T1"))
            .then_something();
    }
    site.when(ANNA, ask("T1"))
        .then_refused(Refusal::TooManyStarting);
}

/// ERR-22 ERR-25 ERR-26 ERR-29, TICK-35
#[test]
fn the_user_is_told_what_has_become_of_the_request() {
    let outcome = |events: &[Event]| events.iter().fold(Outcome::Waiting, Outcome::after);
    let sent = |trouble: Option<Trouble>| {
        Event::Sent(Sent {
            ends: trouble.is_some(),
            trouble,
            current: true,
        })
    };
    let allowed = |lsid| {
        Event::Allowed(Allowed {
            lsid,
            ..Allowed::default()
        })
    };
    let words = |text: &str| Outcome::Refused(text.to_owned());
    assert_eq!(outcome(&[sent(None)]), Outcome::Waiting);
    assert_eq!(
        outcome(&[sent(Some(Trouble::NotResolved))]),
        words("The given host was not resolved.")
    );
    assert_eq!(
        outcome(&[sent(None), allowed(Some(FIRST))]),
        Outcome::Allowed(Some(FIRST))
    );
    let refused = Event::StartRefused(StartRefused {
        code: "jump_client_offline".to_owned(),
        message: "The Jump Client is offline.".to_owned(),
    });
    assert_eq!(
        outcome(&[allowed(None), refused]),
        words("The Jump Client is offline.")
    );
    assert_eq!(
        outcome(&[Event::TimedOut(TimedOut { current: false })]),
        words("The ticket system failed to respond in time.")
    );
    assert_eq!(outcome(&[Event::Voided(Voided {})]), Outcome::Void);
}

/// TICK-16 TICK-17 TICK-18 TICK-19 TICK-20 TICK-22 TICK-24 TICK-26
#[test]
fn the_ticket_system_is_told_of_item_and_user() {
    let site = ready()
        .when(
            ADMIN,
            change::<Properties>(PC1, json!({"comments": "rack 4 & 5", "tag": "linux"})),
        )
        .then_something()
        .when(
            ADMIN,
            change::<User>(ANNA, json!({"email_address": "anna@example.com"})),
        )
        .then_something();
    let handed = Handed {
        request_id: "r-1",
        ticket_id: " T1 ",
        response_url: "https://access.example.com/api/endpoint_approval",
    };
    let told = parameters(site.world(), &wish(ANNA, PC1), handed);
    let names: std::collections::BTreeSet<&str> =
        told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), told.len(), "a name stands twice");
    let client = site.world().jump_clients.get(&PC1).expect("the client");
    let expected = [
        ("request_id", "r-1"),
        ("ticket_id", " T1 "),
        (
            "response_url",
            "https://access.example.com/api/endpoint_approval",
        ),
        ("jump_item.computer_name", client.facts.hostname.as_str()),
        ("jump_item.type", "client"),
        ("jump_item.comments", "rack 4 & 5"),
        ("jump_item.group", "Web Servers"),
        ("jump_item.tag", "linux"),
        ("jump_item.public_ip", "198.51.100.7"),
        ("jump_item.private_ip", client.facts.private_ip.as_str()),
        ("user.id", "2"),
        ("user.username", "user-2"),
        ("user.public_display_name", "User 2"),
        ("user.private_display_name", "Private 2"),
        ("user.email_address", "anna@example.com"),
    ];
    for (name, value) in expected {
        let pair = (name.to_owned(), value.to_owned());
        assert!(told.contains(&pair), "{name}={value} in {told:?}");
    }
    assert_eq!(told.len(), expected.len());
}

/// TICK-04: a policy that asks for tickets is saved although there is no URL.
#[test]
fn a_policy_that_asks_for_tickets_is_saved_without_a_url() {
    let body =
        json!({"display_name": "Tickets", "schedule_enabled": false, "ticket_id_required": true});
    let site = given([])
        .when(ADMIN, crate::testing::create::<JumpPolicy>(body))
        .then_something();
    assert!(site.world().ticket_is_required_by_a_policy());
}

/// TICK-20 TICK-21
#[test]
fn the_ticket_system_has_its_own_words_for_types() {
    for (item, word) in [
        ("jump_client", "client"),
        ("shell_jump", "shell"),
        ("remote_rdp", "rdp"),
        ("remote_vnc", "vnc"),
        ("remote_jump", "push_and_start"),
        ("local_jump", "push_and_start"),
        ("vpro", "vpro"),
        ("web_jump", "web"),
        ("protocol_tunnel_jump", "protocol_tunnel"),
    ] {
        assert_eq!(type_word(item), word, "{item}");
    }
}

/// TICK-19 TICK-20 TICK-24: an item behind a Jumpoint has no addresses of its own.
#[test]
fn a_shell_jump_is_told_without_addresses() {
    let shell = ShellJump {
        name: "core switch".to_owned(),
        jumpoint_id: JumpointId(1),
        hostname: "switch.example.com".to_owned(),
        jump_group_id: WEB_SERVERS.0,
        tag: "network".to_owned(),
        comments: "rack 9".to_owned(),
        ..ShellJump::default()
    };
    let id = ShellJumpId(1);
    let site = ready().and([Happened::ShellJump(id, record::Event::Created(shell))]);
    let wish = Start::new(
        ANNA,
        JumpItemRef::ShellJump(id),
        String::new(),
        String::new(),
    );
    let handed = Handed {
        request_id: "r",
        ticket_id: "t",
        response_url: "u",
    };
    let told: BTreeMap<String, String> = parameters(site.world(), &wish, handed)
        .into_iter()
        .collect();
    for (name, value) in [
        ("jump_item.computer_name", "switch.example.com"),
        ("jump_item.type", "shell"),
        ("jump_item.group", "Web Servers"),
        ("jump_item.tag", "network"),
        ("jump_item.comments", "rack 9"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!told.contains_key("jump_item.public_ip"));
    assert!(!told.contains_key("jump_item.private_ip"));
}

/// TICK-23 TICK-25 TICK-49: the Jumpoint that an item goes through, and a pair for each custom field that has a value.
#[test]
fn the_ticket_system_is_told_of_jumpoint_and_custom_fields() {
    let id = ShellJumpId(1);
    let item = JumpItemRef::ShellJump(id);
    let values = json!({"rack": "4", "cost_center": "47 & 11", "owner": ""});
    let mut site = ready().and([
        jumpoint(JumpointId(1), |jumpoint| {
            "East".clone_into(&mut jumpoint.name)
        }),
        shell_jump(id, SHARED, |_| {}),
    ]);
    for name in ["Rack", "Cost Center", "Owner"] {
        let field = create::<CustomField>(json!({ "display_name": name }));
        site = site.when(ADMIN, field).then_something();
    }
    let set = custom_field::Command::SetValues(item, object(values));
    let site = site.when(API, set).then_something();
    let handed = Handed {
        request_id: "r",
        ticket_id: "t",
        response_url: "u",
    };
    let told = |item| {
        let wish = Start::new(ANNA, item, String::new(), String::new());
        let pairs = parameters(site.world(), &wish, handed).into_iter();
        pairs
            .filter(|(name, _)| {
                name.starts_with("jump_item.custom.") || name == "jump_item.jumpoint_name"
            })
            .collect::<Vec<_>>()
    };
    let expected = [
        ("jump_item.jumpoint_name", "East"),
        ("jump_item.custom.rack", "4"),
        ("jump_item.custom.cost_center", "47 & 11"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told(item), expected);
    assert_eq!(told(ITEM), []);
}
