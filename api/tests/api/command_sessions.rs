//! The commands about one session: attributes, joining, the end.

use domain::Command;
use domain::ids::Lsid;
use domain::record;
use domain::site::settings::SETTINGS;
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::Served;
use crate::visit::{Visitor, object};

/// A site with a session of Anna's, two configured attributes, and an API account that may run every command.
struct Running {
    served: Served,
    token: String,
    lsid: Lsid,
}

impl Running {
    async fn begin() -> Self {
        let served = Served::start().await;
        let client = served.fleet("Fleet").await.machine(1).await;
        let admin = served.administrator().await;
        for name in ["Change", "Site"] {
            let body = json!({"display_name": name});
            let (status, told) = admin.post("custom-session-attributes", body).await;
            assert_eq!(status, 201, "{told}");
        }
        let lsid = served.jumper("anna").await.jump(client).await;
        let account = json!({"name": "all", "perm_command": "full_access"});
        let token = served.token_of(&served.account(account).await).await;
        Self {
            served,
            token,
            lsid,
        }
    }

    /// Runs a command; a form as its body, as scripts send it.
    async fn run(&self, action: &str, more: &[(&str, &str)]) -> (u16, String) {
        let lsid = self.lsid.to_string();
        let mut form = vec![("action", action), ("lsid", lsid.as_str())];
        form.extend(more);
        self.send(&self.token, &form).await
    }

    async fn join(&self, user: &str) -> (u16, String) {
        self.run("join_session", &[("user_id", user)]).await
    }

    async fn send(&self, token: &str, form: &[(&str, &str)]) -> (u16, String) {
        let request = self.served.request(Method::POST, "/api/command");
        let response = request.bearer_auth(token).form(form).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        // Without the declaration and the namespace, which have a test of their own.
        let root = text
            .split_once("?>")
            .map_or(text.as_str(), |(_, root)| root);
        (
            status,
            root.replace(
                " xmlns=\"https://www.beyondtrust.com/namespaces/API/command\"",
                "",
            ),
        )
    }

    async fn session(&self, visitor: &Visitor<'_>) -> Value {
        let (status, session) = visitor.get(&format!("sessions/{}", self.lsid)).await;
        assert_eq!(status, 200, "{session}");
        session
    }
}

fn error(message: &str) -> (u16, String) {
    (200, format!("<error>{message}</error>"))
}

/// SESS-36, CMD-20, CMD-21, CMD-22, CMD-23, CMD-24, CMD-25, CMD-26, CMD-27, CMD-29
#[tokio::test]
async fn attributes_are_set_and_read_while_the_session_runs() {
    let running = Running::begin().await;
    let nothing = running.run("get_session_attributes", &[]).await;
    assert_eq!(
        nothing,
        (200, "<custom_attributes></custom_attributes>".to_owned())
    );
    let set =
        |more: &'static [(&'static str, &'static str)]| running.run("set_session_attributes", more);
    let success = (
        200,
        "<success>Session attributes were set</success>".to_owned(),
    );
    assert_eq!(
        set(&[
            ("session.custom.change", "<C> & 1"),
            ("session.custom.site", "B"),
            ("session.custom.external_key", "K-1"),
        ])
        .await,
        success
    );
    assert_eq!(set(&[("session.custom.site", "")]).await, success);
    let (_, read) = running.run("get_session_attributes", &[]).await;
    assert_eq!(
        read,
        "<custom_attributes>\
         <custom_attribute display_name=\"Change\" code_name=\"change\">&lt;C&gt; &amp; 1</custom_attribute>\
         <custom_attribute display_name=\"External Key\" code_name=\"external_key\">K-1</custom_attribute>\
         </custom_attributes>"
    );
    // What is refused changes nothing.
    let long = "x".repeat(1_025);
    for (more, expected) in [
        (
            vec![
                ("session.custom.unknown", "x"),
                ("session.custom.site", "C"),
            ],
            "No session attribute with this code name is configured.",
        ),
        (
            vec![("session.custom.site", long.as_str())],
            "The value must not be longer than 1024 characters.",
        ),
        (
            vec![("session.custom.external_key", long.as_str())],
            "The external_key field may not be greater than 1024 characters.",
        ),
        (
            vec![("colour", "red")],
            "The parameter colour is not known.",
        ),
        (vec![], "No session attribute is given."),
    ] {
        let told = running.run("set_session_attributes", &more).await;
        assert_eq!(told, error(expected));
    }
    assert_eq!(running.run("get_session_attributes", &[]).await.1, read);
}

/// SESS-35, SESS-22: a user is brought in under the rules of a Jump to the item.
#[tokio::test]
async fn a_user_is_brought_into_a_running_session() {
    let running = Running::begin().await;
    let berta = running.served.jumper("berta").await;
    let nobody = running.served.user("nobody", json!({})).await;
    assert_eq!(
        running.join(&berta.id.to_string()).await,
        (
            403,
            "<error>Permission denied joining existing access session.</error>".to_owned()
        )
    );
    let settings = record::Command::Change(SETTINGS, object(json!({"simultaneous_jumps": "join"})));
    running.served.run(Command::SiteSettings(settings)).await;
    assert_eq!(
        running.join(&berta.id.to_string()).await,
        (200, "<success>Successfully joined</success>".to_owned())
    );
    let session = running.session(&berta).await;
    assert_eq!(session["members"].as_array().map(Vec::len), Some(2));
    assert_eq!(session["members"][1]["id"], json!(berta.id));
    assert_eq!(running.join(&nobody.id.to_string()).await.0, 403);
    for user in ["4000", "x", ""] {
        assert_eq!(running.join(user).await, error("User not found."));
    }
    assert_eq!(
        running.run("join_session", &[]).await,
        error("The parameter user_id is required.")
    );
}

/// CMD-30, CMD-31, SESS-20
#[tokio::test]
async fn a_session_is_terminated_for_everybody() {
    let running = Running::begin().await;
    let admin = running.served.administrator().await;
    assert_eq!(
        running.run("terminate_session", &[]).await,
        (200, "<success>Successfully terminated</success>".to_owned())
    );
    let (status, _) = admin.get(&format!("sessions/{}", running.lsid)).await;
    assert_eq!(status, 404);
    for action in [
        "terminate_session",
        "get_session_attributes",
        "join_session",
        "set_session_attributes",
    ] {
        let more = [("user_id", "1")];
        let attribute = [("session.custom.change", "x")];
        let more: &[(&str, &str)] = match action {
            "join_session" => &more,
            "set_session_attributes" => &attribute,
            _ => &[],
        };
        let (status, told) = running.run(action, more).await;
        assert_eq!(status, 200);
        assert!(told.starts_with("<error>"), "{action}: {told}");
        for lsid in ["x", "0123456789abcdef0123456789abcde"] {
            let mut form = vec![("action", action), ("lsid", lsid)];
            form.extend(more);
            let unknown = running.send(&running.token, &form).await;
            assert_eq!(unknown, (200, told.clone()), "{action}");
        }
        let missing = running.send(&running.token, &[("action", action)]).await;
        assert_eq!(missing, error("The parameter lsid is required."));
    }
}
