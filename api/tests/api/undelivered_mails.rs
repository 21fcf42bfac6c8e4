//! What a console shows of mails that could not be delivered, beside what they are about (POL-31).

use domain::Command;
use domain::ids::{AccessRequestId, MailDeliveryId, UserId};
use domain::site::mail_delivery::{
    self, ApproverAsked, Mail, Message, Outcome, RequestTold, SessionTold,
};
use serde_json::{Value, json};

use crate::served::Served;
use crate::visit::{Agent, Conduct};

const ADDRESS: &str = "boss@example.com";

/// Queues a mail and has an attempt end in `outcome`.
async fn fail(served: &Served, id: u128, message: Message, outcome: Outcome) {
    let id = MailDeliveryId(id);
    let mail = Mail {
        recipient: ADDRESS.to_owned(),
        language: "en-us".to_owned(),
        message,
    };
    let settle = mail_delivery::Command::Settle {
        delivery: id,
        attempt: 1,
        outcome,
    };
    for command in [mail_delivery::Command::Queue(id, mail), settle] {
        let done = served.submit(Command::MailDelivery(command), None).await;
        done.expect("it is done");
    }
}

fn refused() -> Outcome {
    Outcome::Refused {
        reason: format!("550 {ADDRESS} is unknown"),
    }
}

fn deferred() -> Outcome {
    Outcome::Deferred {
        reason: "450 come again".to_owned(),
    }
}

fn asked(id: AccessRequestId) -> Message {
    Message::ApprovalRequested(ApproverAsked {
        approver: 1,
        request: RequestTold {
            id,
            ..RequestTold::default()
        },
    })
}

/// POL-31, APPR-16: on the request, for its requester and its approvers without an address, for administrators with all of it.
#[tokio::test]
async fn a_request_shows_the_mails_that_were_not_delivered() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let boss = served.user("boss", json!({})).await;
    let vera = served.user("vera", json!({})).await;
    let anna = served.jumper("anna").await;
    let admin = served.administrator().await;
    let body = json!({
        "display_name": "Asks", "schedule_enabled": false, "approval_required": true,
        "approval_display_name": "Manager", "approval_user_ids": [boss.id.to_string()],
        "approval_email_addresses": [ADDRESS],
    });
    let (status, policy) = served.post("jump-policy", body).await;
    assert_eq!(status, 201, "{policy}");
    let members = json!({"jump_policy_id": policy["id"]});
    served.change_client(machine, members).await;
    let form = json!({"item": format!("jump_client-{machine}"), "reason": "disk"});
    let (status, request) = anna.post("access-requests", form).await;
    assert_eq!(status, 201, "{request}");
    let id = AccessRequestId(u32::try_from(request["id"].as_u64().unwrap()).unwrap());
    let path = format!("access-requests/{id}");
    let (_, shown) = anna.get(&path).await;
    assert_eq!(
        shown["undelivered_mails"],
        json!({"total": 0, "mails": []}),
        "none has failed"
    );

    fail(&served, 1, asked(id), refused()).await;
    fail(&served, 2, asked(id), deferred()).await;
    for party in [&anna, &boss] {
        let (status, shown) = party.get(&path).await;
        assert_eq!(status, 200, "{shown}");
        let mails = &shown["undelivered_mails"];
        assert_eq!(mails["total"], 2);
        assert_eq!(
            mails["mails"][0],
            json!({
                "type": "approval_requested", "state": "parked", "attempts": 1,
                "next_attempt_at": null,
            })
        );
        assert_eq!(mails["mails"][1]["state"], "waiting");
        assert!(mails["mails"][1]["next_attempt_at"].is_string());
        assert!(!shown.to_string().contains(ADDRESS), "{shown}");
    }
    let (_, shown) = admin.get(&path).await;
    let mail = &shown["undelivered_mails"]["mails"][0];
    assert_eq!(mail["recipient"], ADDRESS);
    assert_eq!(mail["reason"], format!("550 {ADDRESS} is unknown"));
    assert_eq!(vera.get(&path).await.0, 404);
    // Delivered ones are no trouble any more.
    let retry = mail_delivery::Command::Settle {
        delivery: MailDeliveryId(2),
        attempt: 2,
        outcome: Outcome::Delivered,
    };
    let done = served.submit(Command::MailDelivery(retry), None).await;
    done.expect("it is done");
    assert_eq!(anna.get(&path).await.1["undelivered_mails"]["total"], 1);
}

/// POL-31: on the session as long as it runs, and by its address when it is over: the mail about its end comes after it.
#[tokio::test]
async fn a_session_shows_the_mails_that_were_not_delivered() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let vera = served.user("vera", json!({})).await;
    let anna = served.jumper("anna").await;
    let admin = served.administrator().await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let lsid = anna.jump(machine).await;
    let told = |user: UserId| SessionTold {
        lsid,
        item_name: "web01".to_owned(),
        item_fqdn: String::new(),
        group_name: String::new(),
        user_display_name: String::new(),
        user: Some(user),
        at: domain::Timestamp(0),
    };
    let path = format!("sessions/{lsid}");
    let total = |shown: &Value| shown["undelivered_mails"]["total"].clone();
    fail(
        &served,
        1,
        Message::SessionStarted(told(anna.id)),
        refused(),
    )
    .await;
    let (_, shown) = anna.get(&path).await;
    assert_eq!(
        (&shown["state"], total(&shown)),
        (&json!("active"), json!(1))
    );
    assert_eq!(vera.get(&path).await.0, 404);

    assert_eq!(anna.post(&format!("{path}/end"), json!({})).await.0, 200);
    fail(&served, 2, Message::SessionEnded(told(anna.id)), refused()).await;
    let (status, shown) = anna.get(&path).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(
        (&shown["state"], total(&shown)),
        (&json!("ended"), json!(2))
    );
    assert!(!shown.to_string().contains(ADDRESS), "{shown}");
    let (_, shown) = admin.get(&path).await;
    assert_eq!(shown["undelivered_mails"]["mails"][1]["recipient"], ADDRESS);
    assert_eq!(vera.get(&path).await.0, 404);
}
