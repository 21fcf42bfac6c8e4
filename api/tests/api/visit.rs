//! People who signed in to the console, and a fleet whose agents the test plays.

use api::console::badge::CSRF_HEADER;
use domain::access::jump_group;
use domain::fleet::jump_client::{self, Facts, Overrides, Register};
use domain::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, KeyedHash, LinkId, Lsid, NodeEpoch, UserId,
};
use domain::record::{self, Object};
use domain::session::access_session;
use domain::site::user;
use domain::{Command, Event, node};
use engine::{Done, Engine};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::served::{FIRST_PASSWORD, Served, answer};

/// The node of the played agents.
pub(crate) const NODE: NodeEpoch = NodeEpoch(1);
/// The password of every user that a test makes.
pub(crate) const PASSWORD: &str = "canary-user-password";

/// A user who signed in and carries the badge as a bearer token.
pub(crate) struct Visitor<'s> {
    pub(crate) served: &'s Served,
    pub(crate) id: UserId,
    pub(crate) token: String,
}

impl Visitor<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        console(self.served, method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.send(Method::GET, path, None).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::POST, path, Some(body)).await).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::PUT, path, Some(body)).await).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::PATCH, path, Some(body)).await).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        answer(self.send(Method::DELETE, path, None).await).await
    }

    /// Jumps, and has the session established by the played agent.
    pub(crate) async fn jump(&self, client: JumpClientId) -> Lsid {
        let agent = Agent::of(&self.served.site.engine, Conduct::Establish);
        let item = json!({"item": format!("jump_client-{client}")});
        let (status, body) = self.post("sessions", item).await;
        drop(agent);
        assert_eq!(status, 201, "{body}");
        assert_eq!(body["state"], "active");
        lsid(&body)
    }
}

pub(crate) fn lsid(body: &Value) -> Lsid {
    let text = body["lsid"].as_str().expect("an lsid");
    text.parse().expect("an lsid")
}

/// A request below the console's base.
pub(crate) fn console(served: &Served, method: Method, path: &str) -> RequestBuilder {
    served.request(method, &format!("/api/console/v1/{path}"))
}

/// A sign-in as it is.
pub(crate) async fn sign_in(served: &Served, body: Value) -> Response {
    console(served, Method::POST, "sign-in")
        .body(body.to_string())
        .send()
        .await
        .expect("an answer")
}

/// A sign-in of a browser: the cookie's name and value, and the value for [`CSRF_HEADER`].
pub(crate) async fn sign_in_by_cookie(
    served: &Served,
    username: &str,
    password: &str,
) -> (String, String) {
    let credentials = json!({"username": username, "password": password});
    let response = sign_in(served, credentials).await;
    assert_eq!(response.status(), 200);
    let cookie = crate::served::header(&response, "set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let (_, body) = answer(response).await;
    let csrf = body["csrf"].as_str().expect("a value").to_owned();
    (pair, csrf)
}

/// A request with a cookie and what has to come beside it.
pub(crate) fn with_cookie(
    served: &Served,
    method: Method,
    path: &str,
    (cookie, csrf): &(String, String),
) -> RequestBuilder {
    console(served, method, path)
        .header("cookie", cookie)
        .header(CSRF_HEADER, csrf)
}

impl Served {
    pub(crate) async fn visitor(&self, username: &str, password: &str) -> Visitor<'_> {
        let body = json!({"username": username, "password": password, "bearer": true});
        let (status, body) = answer(sign_in(self, body).await).await;
        assert_eq!(status, 200, "{body}");
        let id = body["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        Visitor {
            served: self,
            id: UserId(id.expect("an id")),
            token: body["token"].as_str().expect("a token").to_owned(),
        }
    }

    pub(crate) async fn administrator(&self) -> Visitor<'_> {
        self.visitor("admin", FIRST_PASSWORD).await
    }

    /// A new user with these permissions, who signs in.
    pub(crate) async fn user(&self, username: &str, permissions: Value) -> Visitor<'_> {
        let body = json!({
            "username": username,
            "public_display_name": format!("{username} in public"),
            "private_display_name": format!("{username} in private"),
            "password": PASSWORD,
        });
        let (status, body) = self.post("user", body).await;
        assert_eq!(status, 201, "{body}");
        let visitor = self.visitor(username, PASSWORD).await;
        self.permit(visitor.id, permissions).await;
        visitor
    }

    /// A user who may jump to what the role 2, "Start Sessions Only", gives everywhere.
    pub(crate) async fn jumper(&self, username: &str) -> Visitor<'_> {
        let permissions = json!({
            "perm_access_allowed": "full_support",
            "perm_jump_client": true,
            "unassigned_jump_item_role_id": 2,
            "private_jump_item_role_id": 3,
        });
        self.user(username, permissions).await
    }

    pub(crate) async fn permit(&self, user: UserId, permissions: Value) {
        self.run(Command::User(user::Command::Record(
            record::Command::ChangePermissions(user, object(permissions)),
        )))
        .await;
    }

    /// Executes what must be accepted, as the operator.
    pub(crate) async fn run(&self, command: Command) -> Done {
        let name = command.name();
        self.submit(command, None)
            .await
            .unwrap_or_else(|error| panic!("{name} is refused: {error}"))
    }

    /// A node, a shared group of this name and an installer for it.
    pub(crate) async fn fleet(&self, group: &str) -> Fleet<'_> {
        self.run(Command::Node(node::Command::Start {
            epoch: NODE,
            name: "a".to_owned(),
            url: None,
        }))
        .await;
        let group = self.group(group).await;
        let installer = self.installer(json!({"jump_group_id": group})).await;
        Fleet {
            served: self,
            installer,
        }
    }

    pub(crate) async fn group(&self, name: &str) -> JumpGroupId {
        let command = record::Command::Create(object(json!({"name": name})));
        let done = self
            .run(Command::JumpGroup(jump_group::Command::Record(command)))
            .await;
        match done.events[..] {
            [Event::JumpGroup(group, _)] => group,
            ref other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn installer(&self, members: Value) -> JumpClientInstallerId {
        let mut body = object(members);
        body.insert("secret_hash".to_owned(), "0".repeat(64).into());
        body.insert("valid_duration".to_owned(), 525_600.into());
        let done = self
            .run(Command::JumpClientInstaller(record::Command::Create(body)))
            .await;
        match done.events[..] {
            [Event::JumpClientInstaller(installer, _)] => installer,
            ref other => panic!("{other:?}"),
        }
    }

    /// A machine that registers by `installer` and is online.
    pub(crate) async fn machine(
        &self,
        installer: JumpClientInstallerId,
        number: u64,
        facts: Facts,
    ) -> JumpClientId {
        let register = Register {
            installer,
            link: link(number),
            public_ip: format!("192.0.2.{}:50000", number % 250),
            boot_id: format!("{number:032x}"),
            facts,
            token: KeyedHash(format!("{number:064x}")),
            attempt: KeyedHash(format!("{:064x}", u128::from(number) + (1 << 64))),
            overrides: Overrides::default(),
        };
        let done = self
            .run(Command::JumpClient(jump_client::Command::Register(
                Box::new(register),
            )))
            .await;
        match done.events[0] {
            Event::JumpClient(client, _) => client,
            ref other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn change_client(&self, client: JumpClientId, members: Value) {
        self.run(Command::JumpClient(jump_client::Command::Change(
            client,
            object(members),
        )))
        .await;
    }

    pub(crate) async fn disconnect(&self, client: JumpClientId, number: u64) {
        self.run(Command::JumpClient(jump_client::Command::Disconnect {
            client,
            link: link(number),
            reason: "gone".to_owned(),
        }))
        .await;
    }
}

/// A group with an installer.
pub(crate) struct Fleet<'s> {
    served: &'s Served,
    pub(crate) installer: JumpClientInstallerId,
}

impl Fleet<'_> {
    /// A machine with plain facts.
    pub(crate) async fn machine(&self, number: u64) -> JumpClientId {
        self.served
            .machine(self.installer, number, facts(number))
            .await
    }
}

fn link(number: u64) -> LinkId {
    LinkId {
        node: NODE,
        connection: number,
    }
}

pub(crate) fn facts(number: u64) -> Facts {
    Facts {
        hostname: format!("host-{number}"),
        fqdn: format!("host-{number}.example.com"),
        operating_system: "Debian GNU/Linux 12".to_owned(),
        private_ip: "10.0.0.7".to_owned(),
        console_user: "root".to_owned(),
        install_mode: "service".to_owned(),
        ..Facts::default()
    }
}

pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// How a played agent answers the start of a session.
#[derive(Clone, Copy)]
pub(crate) enum Conduct {
    Establish,
    Fail,
}

/// An agent for all clients: it answers every session that starts while it is held.
pub(crate) struct Agent(tokio::task::JoinHandle<()>);

impl Agent {
    pub(crate) fn of(engine: &Engine, conduct: Conduct) -> Self {
        let engine = engine.clone();
        let mut committed = engine.committed();
        Self(tokio::spawn(async move {
            while let Ok(batch) = committed.next().await {
                for recorded in batch.iter() {
                    let Event::AccessSession(lsid, access_session::Event::Started(started)) =
                        &recorded.event
                    else {
                        continue;
                    };
                    let published = engine.published();
                    let Some(client) = published.world.endpoint_of(started.item) else {
                        continue;
                    };
                    let answer = match conduct {
                        Conduct::Establish => access_session::Command::Establish {
                            lsid: *lsid,
                            client,
                        },
                        Conduct::Fail => access_session::Command::Fail {
                            lsid: *lsid,
                            client,
                            reason: "no room".to_owned(),
                        },
                    };
                    let submission = engine::Submission::by_timer(Command::AccessSession(answer));
                    engine.execute(submission).await.expect("it is accepted");
                }
            }
        }))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.abort();
    }
}
