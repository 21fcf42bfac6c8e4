//! One event of every stored name, with every member set.

mod items;

use std::collections::BTreeMap;

use crate::access::group_policy::{self, GroupPolicy, Of, Ordered, Row, RowDropped};
use crate::access::jump_group::{self, JumpGroup, Member, MemberRemoved, Membership};
use crate::access::permission::Grant;
use crate::access::review;
use crate::access::role::JumpItemRole;
use crate::audit::{self, ActionRefused, AttemptsRefused};
use crate::ids::{
    AccessRequestId, AgentAnchorId, GroupPolicyMemberId, JumpGroupRef, JumpItemRef, JumpItemRoleId,
    JumpPolicyId, KeyedHash, Lsid, MailDeliveryId, MailSettingsId, MailTemplateId, SecretRef,
    SiteAddressId, SiteSettingsId, TicketRequestId,
};
use crate::node::{self, ClientsCheckedIn, RoutineCheckIn, Started, StopReason, Stopped};
use crate::policy::access_request::{
    self, Answered, Approver, Cancelled, Over, Scope, Submitted, Used,
};
use crate::policy::gates::{SessionNotifications, Supplied};
use crate::policy::inputs::{Inputs, PolicyVersion};
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::schedule::ScheduleEntry;
use crate::policy::ticket;
use crate::record::{self, Change, Deleted};
use crate::session::access_session::Start;
use crate::session::access_session::{
    self, Approved, AttributesChanged, Departed, Departure, EndAnnounced, EndReason, Ended, Failed,
    Failure, InvitationClosed, Invited, Joined, MemberActive, OwnerChanged, Representative,
};
use crate::session::{details, startup_group};
use crate::site::agent_trust::{
    self, AddressAdded, AddressWithdrawn, AnchorAdded, AnchorWithdrawn,
};
use crate::site::api_account::{self, ApiAccount, Authenticated, SecretRegenerated};
use crate::site::first_start::{self, SiteCreated};
use crate::site::mail_delivery::{
    self, ApproverAsked, Delivered, Discarded, Failed as MailFailed, Mail, Message, Parked,
    RequestTold, Requeued,
};
use crate::site::mail_settings::MailSettings;
use crate::site::mail_template::{self, MailKind, MailTemplate};
use crate::site::settings::SiteSettings;
use crate::site::team::{self, Team, TeamRole};
use crate::site::ticket_system::{TICKET_SYSTEM, TicketSystem};
use crate::site::upgrade::Upgraded;
use crate::site::user::sign_in::{Origin, PasswordChanged, SignInFailed, SignedIn};
use crate::site::user::{self, AdministratorReset, SignedOut, User};
use crate::testing::{
    ADMINS, ALWAYS, ANNA, API, BERT, MONDAY, NODE, OPERATIONS, PC1, THURSDAYS, USERS, WEB_SERVERS,
    policy_member, policy_row, schedule, starting,
};
use crate::{Event, time};

/// One event of every stored name, in the order of [`Event::stored_names`].
#[must_use]
pub fn one_of_each() -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(of_the_site());
    events.extend(of_mail());
    events.extend(of_people());
    events.extend(of_teams());
    events.extend(of_api_accounts());
    events.extend(of_access());
    events.extend(of_group_policies());
    events.extend(of_policies());
    events.extend(of_requests());
    events.extend(of_tickets());
    events.extend(items::of_the_fleet());
    events.extend(items::of_items());
    events.extend(of_sessions_and_nodes());
    events
}

fn changed<R>(field: &str, old: serde_json::Value, new: serde_json::Value) -> record::Event<R> {
    record::Event::Changed(BTreeMap::from([(field.to_owned(), Change { old, new })]))
}

fn deleted<R>(name: &str) -> record::Event<R> {
    record::Event::Deleted(Deleted {
        name: name.to_owned(),
    })
}

fn hash(digit: char) -> KeyedHash {
    KeyedHash(digit.to_string().repeat(64))
}

fn secret(digit: char) -> SecretRef {
    SecretRef(digit.to_string().repeat(32))
}

fn of_the_site() -> Vec<Event> {
    let settings = SiteSettings {
        company_name: "Acme".to_owned(),
        ..SiteSettings::default()
    };
    let tickets = TicketSystem {
        url: "https://tickets.example.com/check".to_owned(),
        user_prompt: "Change number?".to_owned(),
        certificate: "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".to_owned(),
        ..TicketSystem::default()
    };
    let id = SiteSettingsId(1);
    vec![
        Event::Site(first_start::Event::Created(SiteCreated {
            site_id: "0123456789abcdef0123456789abcdef".to_owned(),
        })),
        Event::Site(first_start::Event::Upgraded(Upgraded {
            build: "8".repeat(64),
            version: "0.1.0".to_owned(),
        })),
        Event::AgentTrust(agent_trust::Event::AnchorAdded(AnchorAdded {
            id: AgentAnchorId(1),
            anchor: "system".to_owned(),
            version: 3,
        })),
        Event::AgentTrust(agent_trust::Event::AnchorWithdrawn(AnchorWithdrawn {
            id: AgentAnchorId(1),
            anchor: "system".to_owned(),
            version: 4,
            cut_off: 2,
        })),
        Event::AgentTrust(agent_trust::Event::AddressAdded(AddressAdded {
            id: SiteAddressId(1),
            url: "https://access.example.com".to_owned(),
            place: 1,
            version: 1,
        })),
        Event::AgentTrust(agent_trust::Event::AddressWithdrawn(AddressWithdrawn {
            id: SiteAddressId(1),
            url: "https://access.example.com".to_owned(),
            version: 2,
            cut_off: 0,
        })),
        Event::SiteSettings(id, record::Event::Created(settings)),
        Event::SiteSettings(id, changed("lost_days", 15.into(), 30.into())),
        Event::SiteSettings(id, deleted("")),
        Event::TicketSystem(TICKET_SYSTEM, record::Event::Created(tickets)),
        Event::TicketSystem(
            TICKET_SYSTEM,
            changed("timeout_seconds", 60.into(), 30.into()),
        ),
        Event::TicketSystem(TICKET_SYSTEM, deleted("")),
    ]
}

fn of_mail() -> Vec<Event> {
    let settings = MailSettings {
        host: "mail.example.com".to_owned(),
        username: "gatebook".to_owned(),
        password: Some(secret('e')),
        from_address: "gatebook@example.com".to_owned(),
        certificate: "-----BEGIN CERTIFICATE-----".to_owned(),
        ..MailSettings::default()
    };
    let template = MailTemplateId {
        kind: MailKind::Approval,
        language: "de".to_owned(),
    };
    let delivery = MailDeliveryId(0x0011_2233_4455_6677_8899_aabb_ccdd_ee00);
    let mail = Mail {
        recipient: "boss@example.com".to_owned(),
        language: "de".to_owned(),
        message: Message::ApprovalRequested(ApproverAsked {
            approver: 1,
            request: RequestTold {
                id: AccessRequestId(7),
                creator_display_name: "Anna".to_owned(),
                item_name: "web01".to_owned(),
                start_at: MONDAY,
                duration_minutes: 120,
                duration_seconds: Some(7_200),
                reason: "disk is full".to_owned(),
            },
        }),
    };
    let of_settings = |event| Event::MailSettings(MailSettingsId(1), event);
    let of_template = |event| Event::MailTemplate(template.clone(), event);
    let of_delivery = |event| Event::MailDelivery(delivery, event);
    vec![
        of_settings(record::Event::Created(settings)),
        of_settings(changed("port", 587.into(), 25.into())),
        of_settings(deleted("")),
        of_template(mail_template::Event::Set(MailTemplate {
            subject: "Anfrage %AUTHORIZATION_REQUEST.ID%".to_owned(),
            body: "<p>%CONTENT%</p>".to_owned(),
        })),
        of_template(mail_template::Event::Reset(mail_template::Reset {})),
        of_delivery(mail_delivery::Event::Queued(mail)),
        of_delivery(mail_delivery::Event::Delivered(Delivered { attempt: 1 })),
        of_delivery(mail_delivery::Event::Failed(MailFailed {
            attempt: 1,
            reason: "450 come again".to_owned(),
            next_attempt_at: MONDAY.plus(30 * time::SECOND),
        })),
        of_delivery(mail_delivery::Event::Parked(Parked {
            attempt: 14,
            reason: "550 no such user".to_owned(),
        })),
        of_delivery(mail_delivery::Event::Requeued(Requeued {})),
        of_delivery(mail_delivery::Event::Discarded(Discarded {})),
    ]
}

fn of_people() -> Vec<Event> {
    let mut person = User {
        username: "anna".to_owned(),
        password: Some(secret('a')),
        public_display_name: "Anna".to_owned(),
        private_display_name: "Anna A.".to_owned(),
        password_expiration: Some(MONDAY.plus(30 * time::DAY)),
        email_address: "anna@example.com".to_owned(),
        last_authentication: Some(MONDAY),
        created_at: MONDAY,
        ..User::default()
    };
    person.allow_everything();
    vec![
        Event::User(ANNA, user::Event::Record(record::Event::Created(person))),
        Event::User(
            ANNA,
            user::Event::Record(changed("perm_admin", true.into(), false.into())),
        ),
        Event::User(ANNA, user::Event::Record(deleted("anna"))),
        Event::User(
            ANNA,
            user::Event::SignedIn(SignedIn {
                origin: Origin {
                    network: "192.0.2.0/24".to_owned(),
                    device: Some("0123456789abcdef".to_owned()),
                },
            }),
        ),
        Event::User(
            ANNA,
            user::Event::SignInFailed(SignInFailed {
                origin: Origin {
                    network: "192.0.2.0/24".to_owned(),
                    device: None,
                },
                in_a_row: 3,
                at: MONDAY,
            }),
        ),
        Event::User(ANNA, user::Event::SignedOut(SignedOut {})),
        Event::User(
            ANNA,
            user::Event::PasswordChanged(PasswordChanged {
                password: secret('d'),
                reset_next_login: true,
            }),
        ),
        Event::User(
            ANNA,
            user::Event::AdministratorReset(AdministratorReset {
                password: secret('c'),
            }),
        ),
    ]
}

fn of_teams() -> Vec<Event> {
    let made = Team {
        name: "Operations".to_owned(),
        code_name: "operations".to_owned(),
        comments: Some("day and night".to_owned()),
    };
    let member = |role| team::Member {
        user_id: ANNA,
        role,
    };
    let of_team = |event| Event::Team(OPERATIONS, event);
    vec![
        of_team(team::Event::Record(record::Event::Created(made))),
        of_team(team::Event::Record(changed(
            "comments",
            serde_json::Value::Null,
            "new".into(),
        ))),
        of_team(team::Event::Record(deleted("Operations"))),
        of_team(team::Event::MemberAdded(member(TeamRole::Lead))),
        of_team(team::Event::MemberChanged(member(TeamRole::Manager))),
        of_team(team::Event::MemberRemoved(team::MemberRemoved {
            user_id: ANNA,
        })),
    ]
}

fn of_api_accounts() -> Vec<Event> {
    let mut account = ApiAccount {
        name: "Terraform".to_owned(),
        comments: "for the pipeline".to_owned(),
        ip_addresses: "192.0.2.0/24".to_owned(),
        client_id: "0123456789012345678901234567890123456789".to_owned(),
        client_secret: Some(secret('b')),
        failed_login_expiration: Some(String::new()),
        ecm_group_id: Some(1),
        ..ApiAccount::default()
    };
    account.allow_everything();
    let address = "192.0.2.44"
        .parse()
        .unwrap_or(std::net::IpAddr::V4(0.into()));
    vec![
        Event::ApiAccount(
            API,
            api_account::Event::Record(record::Event::Created(account)),
        ),
        Event::ApiAccount(
            API,
            api_account::Event::Record(changed("enabled", true.into(), false.into())),
        ),
        Event::ApiAccount(API, api_account::Event::Record(deleted("Terraform"))),
        Event::ApiAccount(
            API,
            api_account::Event::SecretRegenerated(SecretRegenerated {
                client_secret: secret('d'),
            }),
        ),
        Event::ApiAccount(
            API,
            api_account::Event::Authenticated(Authenticated { address }),
        ),
    ]
}

fn of_access() -> Vec<Event> {
    let role = JumpItemRoleId(4);
    let group = JumpGroup {
        name: "Web Servers".to_owned(),
        code_name: "web_servers".to_owned(),
        comments: Some("behind the balancer".to_owned()),
        ecm_group_id: Some(1),
    };
    let member = |jump_item_role_id, jump_policy_id| Member {
        user_id: ANNA,
        membership: Membership {
            jump_item_role_id,
            jump_policy_id,
        },
    };
    let of_group = |event| Event::JumpGroup(WEB_SERVERS, event);
    vec![
        Event::JumpItemRole(
            role,
            record::Event::Created(JumpItemRole::everything("Auditor", "Reads.")),
        ),
        Event::JumpItemRole(role, changed("perm_start", true.into(), false.into())),
        Event::JumpItemRole(role, deleted("Auditor")),
        of_group(jump_group::Event::Record(record::Event::Created(group))),
        of_group(jump_group::Event::Record(changed(
            "comments",
            serde_json::Value::Null,
            "new".into(),
        ))),
        of_group(jump_group::Event::Record(deleted("Web Servers"))),
        of_group(jump_group::Event::MemberAdded(member(
            Some(role),
            Some(THURSDAYS),
        ))),
        of_group(jump_group::Event::MemberChanged(member(None, None))),
        of_group(jump_group::Event::MemberRemoved(MemberRemoved {
            user_id: ANNA,
        })),
    ]
}

fn of_group_policies() -> Vec<Event> {
    let made = GroupPolicy {
        name: "Admin".to_owned(),
        perm_access_allowed: true,
        access_perm_status: "final".to_owned(),
        perm_session_idle_timeout: 300,
        default_jump_item_role_id: JumpItemRoleId(3),
        ..GroupPolicy::default()
    };
    let membership = Membership {
        jump_item_role_id: Some(JumpItemRoleId(4)),
        jump_policy_id: Some(THURSDAYS),
    };
    let of_policy = |event| Event::GroupPolicy(ADMINS, event);
    let about = Of::JumpGroup(WEB_SERVERS);
    vec![
        of_policy(group_policy::Event::Record(record::Event::Created(made))),
        of_policy(group_policy::Event::Record(changed(
            "perm_web_jump",
            false.into(),
            true.into(),
        ))),
        of_policy(group_policy::Event::Record(deleted("Admin"))),
        policy_member(ADMINS, ANNA),
        of_policy(group_policy::Event::MemberRemoved(group_policy::Member {
            id: GroupPolicyMemberId(1),
            user_id: BERT,
        })),
        policy_row(ADMINS, about, Row::JumpGroup(membership)),
        of_policy(group_policy::Event::RowDropped(RowDropped {
            of: Of::Team(OPERATIONS),
        })),
        Event::GroupPolicyOrder(Ordered {
            order: vec![USERS, ADMINS],
        }),
    ]
}

fn of_policies() -> Vec<Event> {
    let policy = JumpPolicy {
        display_name: "Thursdays".to_owned(),
        code_name: "thursdays".to_owned(),
        description: "only then".to_owned(),
        schedule_strict: true,
        notification_email_addresses: vec!["boss@example.com".to_owned()],
        approval_email_addresses: vec!["boss@example.com".to_owned()],
        approval_user_ids: vec!["2".to_owned()],
        approval_team_ids: vec!["3".to_owned()],
        ..JumpPolicy::default()
    };
    let thursday = ScheduleEntry {
        start_day: 3,
        start_minute: 480,
        end_day: 3,
        end_minute: 1020,
    };
    let of_policy = |event| Event::JumpPolicy(THURSDAYS, jump_policy::Event::Record(event));
    vec![
        of_policy(record::Event::Created(policy)),
        of_policy(changed("approval_max_duration", 480.into(), 60.into())),
        of_policy(deleted("Thursdays")),
        schedule(THURSDAYS, "Europe/Berlin", &[thursday]),
    ]
}

fn of_requests() -> Vec<Event> {
    let approver = Approver {
        index: 1,
        address: "boss@example.com".to_owned(),
        user_id: Some(BERT),
        name: "Bert".to_owned(),
    };
    let submitted = Submitted {
        requester: ANNA,
        requester_name: "Anna".to_owned(),
        item: JumpItemRef::JumpClient(PC1),
        item_name: "web01".to_owned(),
        group: JumpGroupRef::Shared(WEB_SERVERS),
        group_name: "Web Servers".to_owned(),
        jump_policy_id: THURSDAYS,
        jump_policy_name: "Thursdays".to_owned(),
        approvers_name: "Manager".to_owned(),
        language: "de".to_owned(),
        scope: Scope::Anyone,
        reason: "patch".to_owned(),
        start_at: MONDAY,
        ends_at: MONDAY.plus(2 * time::HOUR),
        approvers: vec![
            Approver {
                address: "deputy@example.com".to_owned(),
                ..Approver::default()
            },
            approver.clone(),
        ],
        approvers_of: None,
        except: Vec::new(),
    };
    let answered = |comment: &str| Answered {
        by: approver.clone(),
        comment: comment.to_owned(),
    };
    let used = Used {
        lsid: Lsid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        user: ANNA,
    };
    [
        access_request::Event::Submitted(submitted),
        access_request::Event::Approved(answered("be quick")),
        access_request::Event::Denied(answered("not today")),
        access_request::Event::Cancelled(Cancelled { user: ANNA }),
        access_request::Event::Used(used),
        access_request::Event::Expired(Over {}),
        access_request::Event::Closed(Over {}),
    ]
    .into_iter()
    .map(|event| Event::AccessRequest(AccessRequestId(7), event))
    .collect()
}
fn of_tickets() -> Vec<Event> {
    let start = Start {
        attributes: BTreeMap::from([("reason".to_owned(), "disk".to_owned())]),
        external_key: "C-1".to_owned(),
        ..Start::new(
            ANNA,
            JumpItemRef::JumpClient(PC1),
            "192.0.2.10:50000".to_owned(),
            "Linux".to_owned(),
        )
    };
    let denied = |message: &str| ticket::Denied {
        message: message.to_owned(),
        current: true,
    };
    let of_request = |event| Event::TicketRequest(TicketRequestId(1), event);
    vec![
        of_request(ticket::Event::Asked(ticket::Asked {
            start,
            ticket_id: Some("T1".to_owned()),
            answer_key: hash('5'),
            expires_at: MONDAY.plus(time::MINUTE),
            version: 1,
            sign_in: Some(ticket::SignIn {
                key: hash('6'),
                password: SecretRef("user-2-password".to_owned()),
                ends_at: MONDAY.plus(time::HOUR),
            }),
        })),
        of_request(ticket::Event::Sent(ticket::Sent {
            trouble: Some(ticket::Trouble::Tls("UnknownIssuer".to_owned())),
            current: true,
            ends: false,
        })),
        of_request(ticket::Event::Allowed(ticket::Allowed {
            attributes: BTreeMap::from([("external_key".to_owned(), "T1".to_owned())]),
            lsid: Some(Lsid(1)),
            current: true,
        })),
        of_request(ticket::Event::StartRefused(ticket::StartRefused {
            code: "jump_client_offline".to_owned(),
            message: "The Jump Client is offline.".to_owned(),
        })),
        of_request(ticket::Event::Denied(denied("Invalid ticket ID."))),
        of_request(ticket::Event::AnswerInvalid(denied(
            "The ticket system returned an invalid response.",
        ))),
        of_request(ticket::Event::TimedOut(ticket::TimedOut { current: true })),
        of_request(ticket::Event::Voided(ticket::Voided {})),
    ]
}

fn inputs() -> Inputs {
    Inputs {
        supplied: Supplied {
            ticket: true,
            notification_consent: true,
            credentials: false,
            schedule_override: true,
        },
        ticket_request: Some(TicketRequestId(1)),
        jump_policy: Some(PolicyVersion {
            id: JumpPolicyId(1),
            revision: 3,
            zone_data: Some("2025b".to_owned()),
        }),
    }
}

fn of_sessions_and_nodes() -> Vec<Event> {
    let lsid = Lsid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let Event::AccessSession(_, access_session::Event::Started(mut started)) =
        starting(lsid, ANNA, PC1)
    else {
        return Vec::new();
    };
    started.group = JumpGroupRef::Personal(ANNA);
    started.jump_policy_id = Some(THURSDAYS);
    started.attributes = BTreeMap::from([("change".to_owned(), "C-1".to_owned())]);
    started.external_key = "K-1".to_owned();
    started.session_policy_id = Some(2);
    started.access_request_id = Some(AccessRequestId(1));
    started.approved = Some(Approved {
        start_at: MONDAY,
        ends_at: MONDAY.plus(2 * time::HOUR),
        jump_policy_name: "Authorization Required".to_owned(),
        item_name: "Web server".to_owned(),
    });
    started.approver_comments = Some("go ahead".to_owned());
    started.ticket = Some(TicketRequestId(1));
    started.notifications = Some(SessionNotifications {
        at_start: true,
        at_end: true,
        addresses: vec!["boss@example.com".to_owned()],
        display_name: "The boss".to_owned(),
        language: "en-us".to_owned(),
    });
    started.schedule_overridden = true;
    started.recordings_disabled = true;
    started.closes_at = Some(MONDAY.plus(time::HOUR));
    started.inputs = Some(inputs());
    let of_session = |event| Event::AccessSession(lsid, event);
    let of_node = |event| Event::Node(NODE, event);
    let day = MONDAY.day();
    vec![
        of_session(access_session::Event::Started(started)),
        of_session(access_session::Event::Established(
            access_session::Established {},
        )),
        of_session(access_session::Event::Failed(Failed {
            failure: Failure::TimedOut,
            detail: "no answer".to_owned(),
        })),
        of_session(access_session::Event::Ended(Ended {
            reason: EndReason::AgentLost,
            detail: "gone".to_owned(),
        })),
        of_session(access_session::Event::Joined(Joined {
            representative: Representative {
                user_id: BERT,
                gsnumber: 7,
                username: "bert".to_owned(),
                public_display_name: "Bert".to_owned(),
                private_display_name: "Bert B.".to_owned(),
                public_ip: "192.0.2.11:50000".to_owned(),
                os: "Linux".to_owned(),
            },
            invited: true,
            grant: Some(Grant::Member),
            jump_policy_id: Some(ALWAYS),
            access_request_id: Some(AccessRequestId(1)),
        })),
        of_session(access_session::Event::Departed(Departed {
            user_id: BERT,
            gsnumber: 7,
            reason: Departure::AccessWithdrawn,
            detail: "This account has been disabled.".to_owned(),
        })),
        of_session(access_session::Event::OwnerChanged(OwnerChanged {
            user_id: BERT,
            gsnumber: 7,
            public_display_name: "Bert".to_owned(),
            private_display_name: "Bert B.".to_owned(),
        })),
        of_session(access_session::Event::Invited(Invited {
            user_id: BERT,
            by: ANNA,
        })),
        of_session(access_session::Event::InvitationClosed(InvitationClosed {
            user_id: BERT,
            detail: "The invitation to the access session is not valid any more.".to_owned(),
        })),
        of_session(access_session::Event::AttributesChanged(
            AttributesChanged {
                attributes: BTreeMap::from([
                    ("change".to_owned(), Some("C-1".to_owned())),
                    ("gone".to_owned(), None),
                ]),
                external_key: Some("K-1".to_owned()),
            },
        )),
        of_session(access_session::Event::EndAnnounced(EndAnnounced {
            ends_at: MONDAY.plus(15 * time::MINUTE),
            minutes: 15,
        })),
        of_session(access_session::Event::MemberActive(MemberActive {
            gsnumber: 7,
        })),
        of_session(access_session::Event::DetailRecorded(
            details::DetailRecorded {
                by: details::By::Member { gsnumber: 7 },
                detail: details::Detail {
                    kind: details::Kind::FileUploadFailed,
                    toward: Some(details::Toward::Everyone),
                    body: Some("hello".to_owned()),
                    files: vec![details::File {
                        name: "/tmp/a".to_owned(),
                        size: 1,
                    }],
                    values: vec![("reason".to_owned(), "full".to_owned())],
                    system_information: vec![details::Category {
                        name: "Disks".to_owned(),
                        fields: vec!["Name".to_owned()],
                        rows: vec![vec!["sda".to_owned()]],
                    }],
                },
            },
        )),
        Event::StartupGroup(
            ANNA,
            startup_group::Event::Added(startup_group::Item {
                item: JumpItemRef::JumpClient(PC1),
            }),
        ),
        Event::StartupGroup(
            ANNA,
            startup_group::Event::Removed(startup_group::Item {
                item: JumpItemRef::JumpClient(PC1),
            }),
        ),
        of_node(node::Event::Started(Started {
            name: "node-1".to_owned(),
            url: Some("https://node-1.example.com".to_owned()),
        })),
        of_node(node::Event::Stopped(Stopped {
            reason: StopReason::Silent,
        })),
        of_node(node::Event::ClientsCheckedIn(ClientsCheckedIn {
            check_ins: vec![RoutineCheckIn {
                client: PC1,
                at: MONDAY.unix_seconds(),
            }],
        })),
        of_node(node::Event::ClockFellBehind(node::ClockFellBehind {
            clock: MONDAY,
            newest: MONDAY.plus(time::DAY),
        })),
        of_node(node::Event::ClockCaughtUp(node::ClockCaughtUp {
            clock: MONDAY.plus(time::DAY),
        })),
        Event::AccessReview(review::Event::Due(review::Due {
            from: Lsid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        })),
        Event::AccessReview(review::Event::Finished(review::Finished {})),
        Event::Audit(
            day,
            audit::Event::ActionRefused(ActionRefused {
                code: "join_denied".to_owned(),
                message: "Permission denied joining existing access session.".to_owned(),
                command: "access_session.start".to_owned(),
                subject: Some("jump_client-1".to_owned()),
                inputs: Some(inputs()),
            }),
        ),
        Event::Audit(
            day,
            audit::Event::AttemptsRefused(AttemptsRefused {
                caller: "192.0.2.0/24".to_owned(),
                route: "POST /oauth2/token".to_owned(),
                count: 17,
                first_at: MONDAY,
                last_at: MONDAY.plus(time::SECOND),
                sample: "invalid_client".to_owned(),
                network: Some("192.0.2.0/24".to_owned()),
                subject: Some("jump_client-1".to_owned()),
            }),
        ),
    ]
}
