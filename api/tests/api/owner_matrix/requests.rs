//! Requests for approval by role and part, and requests to the ticket system.

use domain::ids::{JumpClientId, JumpItemRef, KeyedHash, TicketRequestId};
use domain::policy::jump_policy;
use domain::policy::ticket::{self, TicketId};
use domain::session::access_session::Start;
use domain::{Actor, Cause, Command, Event, Surface, record};
use engine::{Lane, Submission};
use serde_json::{Value, json};

use super::{Ask, Place, ROLES, Role, Stage, line, table};
use crate::visit::object;

pub(super) const APPROVAL_ASKS: &[Ask] = &[
    Ask::new("GET", "access-requests", "mine"),
    Ask::new("GET", "access-requests", "to_answer"),
    Ask::new("GET", "access-requests", "all"),
    Ask::new("GET", "access-requests/{id}", ""),
    Ask::new("POST", "access-requests/{id}/approve", ""),
    Ask::new("POST", "access-requests/{id}/deny", ""),
    Ask::new("POST", "access-requests/{id}/cancel", ""),
];

pub(super) const TICKET_ASKS: &[Ask] = &[
    Ask::new("GET", "ticket-requests/{id}", ""),
    Ask::new("DELETE", "ticket-requests/{id}", ""),
];

const PARTS: [&str; 8] = [
    "mine", "mine+", "asked", "asked+", "asked-", "other's", "other's+", "other's*",
];

pub(super) async fn tell_approvals(stage: &Stage, role: Role) -> String {
    let mut rows = Vec::new();
    for ask in APPROVAL_ASKS {
        let mut cells = Vec::new();
        for part in PARTS {
            cells.push(approval(stage, *ask, part, role).await);
        }
        rows.push((line(*ask), cells));
    }
    table(
        &format!("{}: requests for approval", role.name),
        &PARTS,
        &rows,
    )
}

async fn approval(stage: &Stage, ask: Ask, part: &str, role: Role) -> String {
    stage.stand(Place::NoMember, ROLES[3]).await;
    let machine = stage.machine(Place::NoMember).await;
    let mut approvers = vec![stage.approver.to_string()];
    if part.starts_with("asked") {
        approvers.push(stage.caller.to_string());
    }
    let scope = if part == "other's*" {
        "anyone"
    } else {
        "requestor"
    };
    let more = json!({"approval_user_ids": approvers, "approval_scope": scope});
    let policy = stage.policy("Approved", more).await;
    stage
        .served
        .change_client(machine, json!({"jump_policy_id": policy}))
        .await;
    let requester = if part.starts_with("mine") {
        stage.caller()
    } else {
        stage.stranger()
    };
    let form = json!({"item": format!("jump_client-{machine}"), "reason": "patch"});
    let (status, told) = requester.post("access-requests", form).await;
    assert_eq!(status, 201, "{told}");
    let id = told["id"].to_string();
    let answered = match part.chars().last() {
        Some('+' | '*') => Some("approve"),
        Some('-') => Some("deny"),
        _ => None,
    };
    if let Some(word) = answered {
        let path = format!("access-requests/{id}/{word}");
        let (status, told) = stage.approver().post(&path, json!({})).await;
        assert_eq!(status, 200, "{told}");
    }
    stage.stand(Place::NoMember, role).await;
    let mut path = ask.path.replace("{id}", &id);
    if !ask.note.is_empty() {
        path += &format!("?view={}", ask.note);
    }
    let body = (ask.method != "GET").then(|| json!({}));
    let cell = stage.ask(ask, &path, body, &id).await;
    stage.remove(machine).await;
    cell
}

pub(super) async fn tell_tickets(stage: &Stage, role: Role) -> String {
    stage.ticket_system().await;
    let mut rows = Vec::new();
    for ask in TICKET_ASKS {
        let mut cells = Vec::new();
        for mine in [true, false] {
            cells.push(of_ticket(stage, *ask, mine, role).await);
        }
        rows.push((line(*ask), cells));
    }
    table(
        &format!("{}: requests to the ticket system", role.name),
        &["own", "other's"],
        &rows,
    )
}

async fn of_ticket(stage: &Stage, ask: Ask, mine: bool, role: Role) -> String {
    stage.stand(Place::NoMember, ROLES[3]).await;
    let machine = stage.machine(Place::NoMember).await;
    let more = json!({"approval_required": false, "ticket_id_required": true});
    let policy = stage.policy("Ticket", more).await;
    stage
        .served
        .change_client(machine, json!({"jump_policy_id": policy}))
        .await;
    let request = stage.ask_ticket_system(machine, mine).await;
    stage.stand(Place::NoMember, role).await;
    let path = ask.path.replace("{id}", &request.to_string());
    let cell = stage.ask(ask, &path, None, "").await;
    stage.settle(request).await;
    stage.remove(machine).await;
    cell
}

impl Stage {
    /// A new Jump Policy that the approver answers for.
    pub(super) async fn policy(&self, name: &str, more: Value) -> u32 {
        let number = self.machines.get();
        let mut members = json!({
            "display_name": format!("{name} {number}"),
            "schedule_enabled": false,
            "approval_required": true,
            "approval_display_name": "The approver",
            "approval_user_ids": [self.approver.to_string()],
        });
        for (name, value) in object(more) {
            members[name.as_str()] = value;
        }
        let create = record::Command::Create(object(members));
        let done = self
            .served
            .run(Command::JumpPolicy(jump_policy::Command::Record(create)))
            .await;
        match done.events[..] {
            [Event::JumpPolicy(policy, _)] => policy.0,
            ref other => panic!("{other:?}"),
        }
    }

    async fn ticket_system(&self) {
        let admin = self.admin();
        let body = json!({"url": "https://tickets.example.com/", "user_prompt": "Which?"});
        let (status, told) = admin.patch("ticket-system", body).await;
        assert_eq!(status, 200, "{told}");
    }

    /// A start that waits. It is asked for by itself: nothing is sent to a ticket system.
    async fn ask_ticket_system(&self, machine: JumpClientId, mine: bool) -> TicketRequestId {
        let user = if mine { self.caller } else { self.stranger };
        let start = Start::new(
            user,
            JumpItemRef::JumpClient(machine),
            "Unknown".to_owned(),
            "Unknown".to_owned(),
        );
        let command = Command::TicketRequest(ticket::Command::Ask(Box::new(ticket::Ask {
            start,
            ticket_id: TicketId("T-1".to_owned()),
            answer_key: KeyedHash(format!("{:064x}", self.machines.get())),
            sign_in: None,
        })));
        let cause = Cause {
            actor: Actor::User(user),
            surface: Surface::ConsoleApi,
            address: None,
        };
        let done = self
            .served
            .site
            .engine
            .execute(Submission::new(command, cause, Lane::People))
            .await
            .unwrap();
        match done.events[..] {
            [Event::TicketRequest(request, ticket::Event::Asked(_))] => request,
            ref other => panic!("{other:?}"),
        }
    }

    /// Ends a request to the ticket system that may be over already.
    async fn settle(&self, request: TicketRequestId) {
        let published = self.served.site.engine.published();
        if published.world.ticket_requests.contains(&request) {
            let answer = ticket::Command::TimeOut { request };
            self.served.clock.leap(10 * domain::time::MINUTE);
            self.served.run(Command::TicketRequest(answer)).await;
        }
    }
}
