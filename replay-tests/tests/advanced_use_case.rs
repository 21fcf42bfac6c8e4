//! The advanced use case of the Jump Client Guide, scenario S2, step by step over HTTP: a schedule, notifications and approvals for
//! local users and for third parties, with real agents and a real mail server.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use connector::mail::testing::MailServer;
use replay_tests::caller::Caller;
use replay_tests::stage::{OpenPage, Stage, end, item_named, jump, no_jump};
use reqwest::Method;
use serde_json::{Value, json};

/// The roles that come with the site.
const NO_ACCESS: u64 = 1;
const START_ONLY: u64 = 2;
const ADMINISTRATOR: u64 = 3;

/// Who is told when a session starts.
const MANAGER: &str = "manager@example.com";
/// Who may approve.
const BOSS: &str = "boss@example.com";
const DEPUTY: &str = "deputy@example.com";
/// The requester's own.
const VERA: &str = "vera@vendor.example";

const SESSIONS: &str = "/api/console/v1/sessions";
const REQUESTS: &str = "/api/console/v1/access-requests";
/// What a start says that needs an approval.
const NEEDS_APPROVAL: &str = "Before the session can start, it needs: approval.";

/// The three Jump Policies of step 1.
struct Policies {
    thursdays: u64,
    notification: u64,
    authorization: u64,
}

/// The three Jump Groups of step 1.
struct Groups {
    web: u64,
    directory: u64,
    user_systems: u64,
}

/// An item of each group.
struct Items {
    web: String,
    directory: String,
    user_system: String,
}

/// A third-party user, and everything that the server ever told them.
struct Vendor {
    caller: Caller,
    heard: Mutex<Vec<String>>,
    /// Their console, which is open all the time.
    page: OpenPage,
}

impl Vendor {
    async fn of(caller: Caller) -> Result<Self> {
        Ok(Self {
            page: OpenPage::of(&caller).await?,
            caller,
            heard: Mutex::default(),
        })
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = self.caller.ask(method, path, body).await?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(format!("{path}: {}", answer.1));
        Ok(answer)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.ask(Method::GET, path, &json!({})).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }

    /// Asks for access for two hours from now.
    async fn requests(&self, item: &str) -> Result<u64> {
        let form = json!({"item": item, "reason": "patch day", "duration": 2 * 3_600});
        let (status, body) = self.ask(Method::POST, REQUESTS, &form).await?;
        ensure!(status == 201 && body["state"] == "pending", "{body}");
        body["id"].as_u64().context("the id of a request")
    }

    /// The state of a request of theirs.
    async fn state(&self, request: u64) -> Result<Value> {
        Ok(self.get(&format!("{REQUESTS}/{request}")).await?["state"].take())
    }

    /// What the details pane says of an approval.
    async fn standing(&self, item: &str) -> Result<Value> {
        let mut shown = self.get(&one(item)).await?;
        Ok(shown["approval"]["status_text"].take())
    }

    /// A Jump that is answered with the form of a request.
    async fn is_sent_to_the_form(&self, item: &str) -> Result<()> {
        let (status, said) = self.ask(Method::POST, SESSIONS, &wish(item)).await?;
        ensure!(status == 409 && said["message"] == NEEDS_APPROVAL, "{said}");
        let form = &said["needs"][0];
        for (member, value) in [
            ("need", json!("approval")),
            ("policy", json!("Authorization Required")),
            ("policy_description", json!("For third parties")),
            ("approvers", json!("Manager")),
            ("applies_to", json!("Yourself Only")),
            ("duration_max_minutes", json!(180)),
        ] {
            ensure!(form[member] == value, "{member}: {form}");
        }
        Ok(())
    }

    async fn starts(&self, item: &str) -> Result<Value> {
        let (status, session) = self.ask(Method::POST, SESSIONS, &wish(item)).await?;
        ensure!(status == 201 && session["state"] == "active", "{session}");
        Ok(session)
    }
}

fn one(item: &str) -> String {
    format!("/api/console/v1/items/{item}")
}

fn wish(item: &str) -> Value {
    json!({ "item": item })
}

/// Step 1: the policies.
async fn create_policies(stage: &Stage) -> Result<Policies> {
    // Whoever has access may join: what refuses that outside the schedule is the schedule (POL-13).
    let thursdays = json!({
        "display_name": "Thursdays", "schedule_enabled": false, "simultaneous_jumps": "join",
    });
    let thursdays = stage.id_of_new("jump-policy", thursdays).await?;
    let schedule = json!({
        "timezone": "UTC",
        "entries": [{"start_day": 3, "start_time": "08:00", "end_day": 3, "end_time": "17:00"}],
    });
    let path = format!("/api/console/v1/jump-policies/{thursdays}/schedule");
    stage
        .administrator
        .send(Method::PUT, &path, &schedule)
        .await?;
    let path = format!("/api/config/v1/jump-policy/{thursdays}");
    let enabled = json!({"schedule_enabled": true});
    stage.api.send(Method::PATCH, &path, &enabled).await?;
    let notification = json!({
        "display_name": "Notification Sent", "schedule_enabled": false,
        "session_start_notification": true,
        "notification_display_name": "Manager", "notification_email_addresses": [MANAGER],
    });
    let authorization = json!({
        "display_name": "Authorization Required", "description": "For third parties",
        "schedule_enabled": false,
        "approval_required": true, "approval_max_duration": 180, "approval_scope": "requestor",
        "approval_display_name": "Manager", "approval_email_addresses": [BOSS, DEPUTY],
    });
    Ok(Policies {
        thursdays,
        notification: stage.id_of_new("jump-policy", notification).await?,
        authorization: stage.id_of_new("jump-policy", authorization).await?,
    })
}

/// Step 1: the groups.
async fn create_groups(stage: &Stage) -> Result<Groups> {
    let create = async |name| stage.id_of_new("jump-group", json!({ "name": name })).await;
    Ok(Groups {
        web: create("Web Servers").await?,
        directory: create("Directory Servers").await?,
        user_systems: create("User Systems").await?,
    })
}

/// Step 2: a group policy with its slots in the order Default, Personal, Team, System, its rows of group, role and Jump Policy (0 is
/// "Set on Jump Items"), and its members.
async fn create_group_policy(
    stage: &Stage,
    name: &str,
    slots: [u64; 4],
    rows: &[(u64, u64, u64)],
    members: &[u64],
) -> Result<u64> {
    let body = json!({
        "name": name, "perm_access_allowed": true,
        "perm_jump_client": true, "perm_shell_jump": true,
        "default_jump_item_role_id": slots[0], "private_jump_item_role_id": slots[1],
        "inferior_jump_item_role_id": slots[2], "unassigned_jump_item_role_id": slots[3],
    });
    let policy = stage.id_of_new("group-policy", body).await?;
    for (group, role, jump_policy) in rows {
        let row = json!({"jump_group_id": group, "jump_item_role_id": role, "jump_policy_id": jump_policy});
        stage
            .make(&format!("group-policy/{policy}/jump-group"), row)
            .await?;
    }
    for member in members {
        let member = json!({ "user_id": member });
        stage
            .make(&format!("group-policy/{policy}/member"), member)
            .await?;
    }
    Ok(policy)
}

/// Step 3: inside and outside the schedule.
async fn the_schedule_is_kept(stage: &mut Stage, items: &Items) -> Result<()> {
    // Thursday 10:00: it opens.
    let lena = stage.sign_in("lena").await?;
    let needs = lena
        .get(&format!("{}/start", one(&items.user_system)))
        .await?;
    ensure!(needs["needs"] == json!([]), "{needs}");
    ensure!(needs["ends_when_closed"] == false, "{needs}");
    ensure!(
        needs["closes_at"]
            .as_str()
            .is_some_and(|at| at.starts_with("2026-03-05T17:00:00")),
        "{needs}"
    );
    let session = jump(&lena, &wish(&items.user_system)).await?;

    // Thursday 17:01: refused, to the one who is in as well, and told when it opens again.
    stage.move_to("2026-03-05T17:01:00Z").await?;
    let lena = stage.sign_in("lena").await?;
    let closed = "The Jump Policy \"Thursdays\" does not permit a session at this time. Next available: Thursday, 2026-03-12 08:00 (UTC).";
    no_jump(&lena, &wish(&items.user_system), (403, closed)).await?;
    let explained = lena
        .get(&format!("{}/access", one(&items.user_system)))
        .await?;
    ensure!(explained.to_string().contains("2026-03-12"), "{explained}");
    // The session that runs goes on, with its endpoint.
    let path = format!(
        "{SESSIONS}/{}",
        session["lsid"].as_str().context("an lsid")?
    );
    let running = lena.get(&path).await?;
    ensure!(
        running["state"] == "active" && running["ends_at"].is_null(),
        "{running}"
    );
    end(&lena, &session).await?;
    no_jump(&lena, &wish(&items.user_system), (403, closed)).await?;
    // Whom no schedule binds is let in.
    let ada = stage.sign_in("ada").await?;
    let session = jump(&ada, &wish(&items.user_system)).await?;
    end(&ada, &session).await?;

    // What was told comes true.
    stage.move_to("2026-03-12T07:59:59Z").await?;
    let lena = stage.sign_in("lena").await?;
    no_jump(&lena, &wish(&items.user_system), (403, closed)).await?;
    stage.move_to("2026-03-12T08:00:00Z").await?;
    let session = jump(&lena, &wish(&items.user_system)).await?;
    end(&lena, &session).await
}

/// Step 4: who starts is asked first, and one mail leaves, or none.
async fn the_manager_is_told(stage: &Stage, mails: &mut MailServer, items: &Items) -> Result<()> {
    let lena = stage.sign_in("lena").await?;
    for (name, item) in [("web-1", &items.web), ("directory-1", &items.directory)] {
        // The prompt; to cancel is not to ask again.
        let prompt = "Before the session can start, it needs: consent to notification.";
        let said = no_jump(&lena, &wish(item), (409, prompt)).await?;
        let consent = json!([{
            "need": "notification_consent", "display_name": "Manager",
            "at_start": true, "at_end": false,
        }]);
        ensure!(said["needs"] == consent, "{said}");
        // A mail of what was cancelled would come before the one of what starts.
        let session = jump(&lena, &json!({"item": item, "notification_consent": true})).await?;
        let mail = mails.mail().await;
        ensure!(mail["to"] == json!([MANAGER]), "{mail}");
        ensure!(
            mail["subject"] == format!("Session Start Notification - {name}"),
            "{mail}"
        );
        let body = mail["body"].as_str().context("a body")?;
        ensure!(body.contains("Name: lena"), "{body}");
        end(&lena, &session).await?;
    }
    let log = stage.site.log().await?;
    let started = log
        .iter()
        .filter(|event| event.name == "AccessSessionStarted");
    ensure!(started.count() == 5, "{log:#?}");
    // What each was asked with is kept beside it, and of a refusal as well.
    let kept = |name: &str, parts: &[&str]| {
        log.iter()
            .any(|event| event.name == name && parts.iter().all(|part| event.text.contains(part)))
    };
    let policy = "\"jump_policy\":{\"id\":";
    ensure!(
        kept(
            "AccessSessionStarted",
            &["\"notification_consent\":true", policy, "\"revision\":0"]
        ),
        "{log:#?}"
    );
    // A policy that was made, given a schedule and enabled is at its third revision; its hours mean what this data says.
    ensure!(
        kept(
            "ActionRefused",
            &[
                "outside_schedule",
                policy,
                "\"revision\":2,\"zone_data\":\"20"
            ]
        ),
        "{log:#?}"
    );
    Ok(())
}

/// The links of the approvers, boss and deputy, from the two mails of a request.
async fn links(mails: &mut MailServer, request: u64) -> Result<(String, String)> {
    let mut found = [None, None];
    for _ in 0..2 {
        let mail = mails.mail().await;
        let subject = format!("Session Authorization Request {request} - web-1 - Pending");
        ensure!(mail["subject"] == subject, "{mail}");
        let body = mail["body"].as_str().context("a body")?;
        for part in ["patch day", "2 Hour(s)", "web-1"] {
            ensure!(body.contains(part), "no {part} in {body}");
        }
        let start = body.find("https://").context("a URL")?;
        let url = body[start..].split(['"', '<', ' ', '\n']).next();
        let url = url
            .filter(|url| url.contains("/approve/"))
            .context("an approver's URL")?;
        let place = match mail["to"][0].as_str() {
            Some(BOSS) => 0,
            Some(DEPUTY) => 1,
            _ => anyhow::bail!("a mail to somebody else: {mail}"),
        };
        ensure!(
            found[place].replace(url.to_owned()).is_none(),
            "two mails to one: {mail}"
        );
    }
    let [Some(boss), Some(deputy)] = found else {
        anyhow::bail!("an approver got no mail");
    };
    ensure!(boss != deputy, "each has a link of their own");
    Ok((boss, deputy))
}

/// Opens a link, as a browser without script does; answers status and page.
async fn open(browser: &reqwest::Client, link: &str) -> Result<(u16, String)> {
    let answer = browser.get(link).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Sends the form of the page, and follows where it leads.
async fn say(
    browser: &reqwest::Client,
    link: &str,
    answer: &str,
    comments: &str,
) -> Result<(u16, String)> {
    let form = [("answer", answer), ("comments", comments)];
    let answer = browser.post(link).form(&form).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The mail that tells the requester of a decision (APPR-18), without who took it.
async fn told(mails: &mut MailServer, request: u64, state: &str) -> Result<()> {
    let mail = mails.mail().await;
    ensure!(mail["to"] == json!([VERA]), "{mail}");
    let subject = format!("Session Authorization Request {request} - web-1 - {state}");
    ensure!(mail["subject"] == subject, "{mail}");
    names_no_approver(&mail.to_string())
}

fn names_no_approver(text: &str) -> Result<()> {
    for address in [BOSS, DEPUTY] {
        ensure!(!text.contains(address), "{address} in {text}");
    }
    Ok(())
}

/// Step 5, first request: longer than allowed, then pending, approved by one and denied by another.
async fn one_approves_and_another_denies(
    vera: &Vendor,
    browser: &reqwest::Client,
    mails: &mut MailServer,
    items: &Items,
) -> Result<()> {
    vera.is_sent_to_the_form(&items.web).await?;
    let form = json!({"item": items.web, "reason": "patch day", "duration": 4 * 3_600});
    let (status, said) = vera.ask(Method::POST, REQUESTS, &form).await?;
    ensure!(
        status == 422 && said["errors"]["duration"].is_array(),
        "{said}"
    );
    let request = vera.requests(&items.web).await?;
    ensure!(vera.standing(&items.web).await? == "Pending");
    let (boss, deputy) = links(mails, request).await?;
    // Opening shows, as often as one likes, and needs no script.
    for link in [&boss, &deputy, &boss] {
        let (status, page) = open(browser, link).await?;
        ensure!(status == 200, "{page}");
        for part in [
            "Pending",
            "vera",
            "web-1",
            "patch day",
            "2 Hour(s)",
            "<form method=\"post\"",
        ] {
            ensure!(page.contains(part), "no {part} in {page}");
        }
        ensure!(!page.contains("<script"), "{page}");
    }
    ensure!(vera.state(request).await? == "pending");
    vera.is_sent_to_the_form(&items.web).await?;
    // One approves; another sees who did, and overrides it.
    let (status, page) = say(browser, &boss, "approve", "").await?;
    ensure!(status == 200 && page.contains("Approved"), "{page}");
    told(mails, request, "Approved").await?;
    let (_, page) = open(browser, &deputy).await?;
    ensure!(
        page.contains(BOSS) && !page.contains("value=\"approve\""),
        "{page}"
    );
    let (status, page) = say(browser, &deputy, "deny", "not this week").await?;
    ensure!(status == 200 && page.contains("Denied"), "{page}");
    told(mails, request, "Denied").await?;
    ensure!(vera.state(request).await? == "denied");
    // The console says so by itself (APPR-17).
    vera.page.says("AccessRequestApproved", 1).await?;
    vera.page.says("AccessRequestDenied", 1).await?;
    ensure!(vera.standing(&items.web).await? == "Denied");
    vera.is_sent_to_the_form(&items.web).await?;
    // A denial is not overridden.
    let (status, page) = say(browser, &boss, "approve", "").await?;
    ensure!(
        status == 409 && page.contains("This request has been denied."),
        "{page}"
    );
    Ok(())
}

/// Step 5, second request, for the same time: approved with a comment, used, and no longer to be denied.
async fn approved_access_is_used(
    (vera, viktor): (&Vendor, &Vendor),
    browser: &reqwest::Client,
    mails: &mut MailServer,
    items: &Items,
) -> Result<()> {
    let comment = "Mind the load balancer";
    let request = vera.requests(&items.web).await?;
    let (boss, deputy) = links(mails, request).await?;
    let (status, page) = say(browser, &boss, "approve", comment).await?;
    ensure!(status == 200 && page.contains(comment), "{page}");
    told(mails, request, "Approved").await?;
    ensure!(vera.standing(&items.web).await? == "Approved");
    // It is hers alone.
    let words = "Approved only for a different user";
    ensure!(viktor.standing(&items.web).await? == words);
    viktor.is_sent_to_the_form(&items.web).await?;
    // The start shows what the approver said.
    let needs = vera.get(&format!("{}/start", one(&items.web))).await?;
    ensure!(needs["needs"] == json!([]), "{needs}");
    ensure!(needs["approver_comments"] == comment, "{needs}");
    let session = vera.starts(&items.web).await?;
    ensure!(vera.state(request).await? == "in_use");
    let (status, page) = say(browser, &deputy, "deny", "too late").await?;
    let words = "The approved access is in use and can no longer be denied.";
    ensure!(status == 409 && page.contains(words), "{page}");
    let path = format!(
        "{SESSIONS}/{}",
        session["lsid"].as_str().context("an lsid")?
    );
    ensure!(vera.get(&path).await?["state"] == "active");
    end(&vera.caller, &session).await?;
    // Inside the window it may be started again (APPR-36).
    let session = vera.starts(&items.web).await?;
    end(&vera.caller, &session).await
}

/// Step 5: another third-party user asks for himself, for the same time.
async fn another_vendor_asks_himself(
    viktor: &Vendor,
    browser: &reqwest::Client,
    mails: &mut MailServer,
    items: &Items,
) -> Result<()> {
    viktor.is_sent_to_the_form(&items.web).await?;
    let request = viktor.requests(&items.web).await?;
    let (_, deputy) = links(mails, request).await?;
    let (status, page) = say(browser, &deputy, "approve", "").await?;
    ensure!(status == 200, "{page}");
    // He has no address: no mail, and the console tells him.
    ensure!(viktor.state(request).await? == "approved");
    viktor.page.says("AccessRequestApproved", 1).await?;
    let session = viktor.starts(&items.web).await?;
    end(&viktor.caller, &session).await
}

/// Step 5: what a requester can ask for never names an approver.
async fn no_answer_names_an_approver(vendor: &Vendor, items: &Items) -> Result<()> {
    for path in [
        "/api/console/v1/me".to_owned(),
        "/api/console/v1/items".to_owned(),
        one(&items.web),
        format!("{}/start", one(&items.web)),
        format!("{}/access", one(&items.web)),
        REQUESTS.to_owned(),
        format!("{REQUESTS}?view=to_answer"),
        SESSIONS.to_owned(),
    ] {
        vendor.get(&path).await?;
    }
    let (status, _) = vendor
        .ask(Method::GET, &format!("{REQUESTS}?view=all"), &json!({}))
        .await?;
    ensure!(status == 403, "view=all: {status}");
    names_no_approver(&vendor.page.said())?;
    let heard = vendor.heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard
        .iter()
        .try_for_each(|answer| names_no_approver(answer))
}

/// GPOL-08, GPOL-15, GPOL-16, POL-06, POL-11, POL-12, POL-13, POL-14, POL-23, POL-25, POL-28, POL-34, POL-35, POL-40, APPR-01,
/// APPR-05, APPR-06, APPR-07, APPR-08, APPR-10, APPR-12, APPR-13, APPR-14, APPR-15, APPR-16, APPR-17, APPR-18, APPR-19, APPR-20, APPR-25,
/// APPR-27, APPR-36, APPR-37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedule_notification_and_approval_by_membership() -> Result<()> {
    let mut mails = MailServer::plain().await;
    let mut stage = Stage::open("2026-03-05T10:00:00Z").await?;
    let settings = json!({
        "host": "localhost", "port": mails.port, "encryption": "none",
        "from_address": "gatebook@example.com",
    });
    stage.set("mail-settings", settings).await?;

    // 1. Policies and groups.
    let policies = create_policies(&stage).await?;
    let groups = create_groups(&stage).await?;

    // 2. Who gets which, and what is there.
    let ada = stage.user("ada", "").await?;
    let lena = stage.user("lena", "").await?;
    let vera = stage.user("vera", VERA).await?;
    let viktor = stage.user("viktor", "").await?;
    let all = [groups.web, groups.directory, groups.user_systems];
    create_group_policy(
        &stage,
        "Admin",
        [ADMINISTRATOR, ADMINISTRATOR, START_ONLY, START_ONLY],
        &all.map(|group| (group, ADMINISTRATOR, 0)),
        &[ada],
    )
    .await?;
    let local = create_group_policy(
        &stage,
        "Local Users",
        [START_ONLY, ADMINISTRATOR, NO_ACCESS, NO_ACCESS],
        &[
            (groups.web, START_ONLY, policies.notification),
            (groups.directory, START_ONLY, policies.notification),
            (groups.user_systems, START_ONLY, policies.thursdays),
        ],
        &[lena],
    )
    .await?;
    let third_party = create_group_policy(
        &stage,
        "Third-Party",
        [NO_ACCESS; 4],
        &[(groups.web, START_ONLY, policies.authorization)],
        &[vera, viktor],
    )
    .await?;
    let by_ada = stage.sign_in("ada").await?;
    let items = Items {
        web: stage
            .machine("web-1", ("shared", groups.web), &by_ada)
            .await?,
        directory: stage
            .machine("directory-1", ("shared", groups.directory), &by_ada)
            .await?,
        user_system: stage
            .machine("desk-1", ("shared", groups.user_systems), &by_ada)
            .await?,
    };
    let by_lena = stage.sign_in("lena").await?;
    for name in ["web-1", "directory-1", "desk-1"] {
        ensure!(item_named(&by_lena, name).await?.is_some(), "{name}");
    }

    // 3. Thursday, and after it.
    the_schedule_is_kept(&mut stage, &items).await?;

    // 4. A mail at the start, and none without one.
    the_manager_is_told(&stage, &mut mails, &items).await?;

    // 5. Third parties ask first.
    let by_vera = Vendor::of(stage.sign_in("vera").await?).await?;
    let by_viktor = Vendor::of(stage.sign_in("viktor").await?).await?;
    let browser = stage.site.stranger()?;
    let seen = by_vera.get("/api/console/v1/items").await?;
    ensure!(
        seen["total"] == 1 && seen["items"][0]["name"] == "web-1",
        "{seen}"
    );
    one_approves_and_another_denies(&by_vera, &browser, &mut mails, &items).await?;
    approved_access_is_used((&by_vera, &by_viktor), &browser, &mut mails, &items).await?;
    another_vendor_asks_himself(&by_viktor, &browser, &mut mails, &items).await?;

    // A vendor has no personal list to make an item in, though the Jumpoint is theirs to use; a local user has.
    let jumpoint = json!({"name": "East", "platform": "linux-x86", "shell_jump_enabled": true});
    let jumpoint = stage.id_of_new("jumpoint", jumpoint).await?;
    for policy in [local, third_party] {
        let path = format!("group-policy/{policy}/jumpoint");
        stage
            .make(&path, json!({ "jumpoint_id": jumpoint }))
            .await?;
    }
    let deploy = "/api/console/v1/items/shell-jumps";
    let personal = |user: u64| {
        json!({
            "name": "own", "jumpoint_id": jumpoint, "hostname": "core.example.com",
            "protocol": "ssh", "jump_group_type": "personal", "jump_group_id": user,
        })
    };
    let (status, said) = by_vera.ask(Method::POST, deploy, &personal(vera)).await?;
    ensure!(
        status == 422 && said["errors"]["jump_group_id"].is_array(),
        "{said}"
    );
    let by_lena = stage.sign_in("lena").await?;
    by_lena.send(Method::POST, deploy, &personal(lena)).await?;

    for vendor in [&by_vera, &by_viktor] {
        no_answer_names_an_approver(vendor, &items).await?;
    }
    // Nobody got a mail that is not told of above.
    ensure!(
        mails.is_silent_for(Duration::from_millis(500)).await,
        "one mail too many"
    );
    // The pages that are still open are not waited for.
    stage.close().await
}
