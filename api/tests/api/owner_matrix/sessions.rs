//! Sessions by role and part.

use domain::ids::Lsid;
use serde_json::{Value, json};

use super::{Ask, Place, ROLES, Role, Stage, line, table};

pub(super) const ASKS: &[Ask] = &[
    Ask::new("GET", "sessions", ""),
    Ask::new("GET", "sessions/{lsid}", ""),
    Ask::new("GET", "sessions/{lsid}/invitable-users", ""),
    Ask::new("GET", "sessions/{lsid}/report-events", ""),
    Ask::new("POST", "sessions/{lsid}/join", ""),
    Ask::new("POST", "sessions/{lsid}/accept", ""),
    Ask::new("POST", "sessions/{lsid}/invitations", ""),
    Ask::new("DELETE", "sessions/{lsid}/invitations/{user}", "a guest's"),
    Ask::new(
        "DELETE",
        "sessions/{lsid}/invitations/{user}",
        "the caller's",
    ),
    Ask::new("POST", "sessions/{lsid}/owner", "to another member"),
    Ask::new("POST", "sessions/{lsid}/owner", "to the caller"),
    Ask::new("PATCH", "sessions/{lsid}/attributes", "attributes"),
    Ask::new("PATCH", "sessions/{lsid}/attributes", "external key"),
    Ask::new("POST", "sessions/{lsid}/details", ""),
    Ask::new("POST", "sessions/{lsid}/activity", ""),
    Ask::new("POST", "sessions/{lsid}/leave", ""),
    Ask::new("POST", "sessions/{lsid}/end", ""),
];

const PARTS: [&str; 4] = ["owner", "member", "invited", "other's"];

pub(super) async fn tell(stage: &Stage, role: Role) -> String {
    let mut rows = Vec::new();
    for ask in ASKS {
        let mut cells = Vec::new();
        for part in PARTS {
            cells.push(one(stage, *ask, part, role).await);
        }
        rows.push((line(*ask), cells));
    }
    table(&format!("{}: sessions", role.name), &PARTS, &rows)
}

async fn one(stage: &Stage, ask: Ask, part: &str, role: Role) -> String {
    // Everything is begun with every right.
    let administrator = ROLES[3];
    stage.stand(Place::NoMember, administrator).await;
    let machine = stage.machine(Place::NoMember).await;
    let (caller, stranger) = (stage.caller(), stage.stranger());
    let (owner, second) = if part == "owner" {
        (&caller, &stranger)
    } else {
        (&stranger, &caller)
    };
    let lsid: Lsid = owner.jump(machine).await;
    if matches!(part, "owner" | "member") {
        let (status, told) = second
            .post(&format!("sessions/{lsid}/join"), json!({}))
            .await;
        assert_eq!(status, 200, "{told}");
    }
    let mut invite = vec![stage.approver];
    if part == "invited" {
        invite.push(stage.caller);
    }
    for user in invite {
        let path = format!("sessions/{lsid}/invitations");
        let (status, told) = owner.post(&path, json!({"user_id": user})).await;
        assert_eq!(status, 200, "{told}");
    }
    stage.stand(Place::NoMember, role).await;
    let user = if ask.note == "the caller's" {
        stage.caller
    } else {
        stage.approver
    };
    let path = ask
        .path
        .replace("{lsid}", &lsid.to_string())
        .replace("{user}", &user.to_string());
    let body = body(stage, ask);
    let cell = stage.ask(ask, &path, body, &lsid.to_string()).await;
    stage.remove(machine).await;
    stage.end(lsid).await;
    cell
}

fn body(stage: &Stage, ask: Ask) -> Option<Value> {
    Some(match (ask.path, ask.note) {
        _ if ask.method == "GET" => return None,
        ("sessions/{lsid}/invitations", _) => json!({"user_id": stage.below}),
        ("sessions/{lsid}/owner", "to the caller") => json!({"user_id": stage.caller}),
        ("sessions/{lsid}/owner", _) => json!({"user_id": stage.stranger}),
        (_, "attributes") => json!({"attributes": {"change": "C-1"}}),
        (_, "external key") => json!({"external_key": "K-1"}),
        ("sessions/{lsid}/details", _) => json!({"kind": "chat_message", "body": "hello"}),
        _ => json!({}),
    })
}

impl Stage {
    /// Ends a session that may be over already.
    async fn end(&self, lsid: Lsid) {
        let published = self.served.site.engine.published();
        if published.world.sessions.contains(&lsid) {
            let path = format!("sessions/{lsid}/end");
            let (status, told) = self.admin().post(&path, json!({})).await;
            assert_eq!(status, 200, "{told}");
        }
    }
}
