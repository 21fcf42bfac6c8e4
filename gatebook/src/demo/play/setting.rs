//! The site as its administrators set it up: people, Jump Policies, Jump Groups, group policies, installers.

use anyhow::{Result, bail};
use api::configuration::installer::keep_secret;
use api::credential::unguessable;
use connector::INSTALLER_SECRET;
use domain::access::group_policy;
use domain::access::jump_group::{self, Membership};
use domain::access::role;
use domain::ids::{GroupPolicyId, JumpClientInstallerId, JumpItemRoleId, JumpPolicyId};
use domain::policy::jump_policy;
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::record;
use domain::site::user;
use domain::{Actor, Cause, Command, Event, node};
use secrets::SecretText;
use serde_json::{Value, json};

use super::{Player, made, object, of_api};
use crate::demo::cast::{
    APPROVED_MINUTES_MAX, COMPANY, DEPUTY, Group, MANAGER, MANAGER_NAME, PEOPLE, Post, Role, Rules,
    TEAMS, Team, ZONE,
};
use crate::first_start::{self, FirstStart, Keep};
use crate::opening::OpenSite;

/// Validity of the installers that brought the fleet. Unit: minutes.
const ROLL_OUT_MINUTES: i64 = 7 * 1_440;

impl Player<'_> {
    pub(super) async fn set_up(&mut self) -> Result<()> {
        let OpenSite {
            engine,
            fresh,
            sealer,
            ..
        } = self.site;
        let first =
            first_start::make_site(engine, fresh, sealer, COMPANY, Keep::In(self.first_run))
                .await?;
        if matches!(first, FirstStart::ThereAlready) {
            bail!("another program made a site here at the same moment");
        }
        let start = node::Command::Start {
            epoch: self.node,
            name: "demo".to_owned(),
            url: None,
        };
        self.ask(Command::Node(start), Cause::program(Actor::System))
            .await?;

        for index in 0..PEOPLE.len() {
            self.person(index).await?;
        }
        for rules in Rules::ALL {
            let id = self.policy(rules).await?;
            self.policies.insert(rules, id);
        }
        for group in Group::ALL {
            self.pause();
            let create = record::Command::Create(object(json!({"name": group.name()})));
            let create = Command::JumpGroup(jump_group::Command::Record(create));
            let done = self.configure(create).await?;
            let id = made(&done, |event| match event {
                Event::JumpGroup(id, _) => Some(*id),
                _ => None,
            })?;
            self.groups.insert(group, id);
        }
        let roles = self.roles().await?;
        for team in TEAMS {
            self.team(team, &roles).await?;
        }
        for group in Group::ALL {
            self.pause();
            let body = json!({
                "jump_group_id": self.groups[&group], "tag": "fleet", "valid_duration": ROLL_OUT_MINUTES,
                "comments": "Roll-out of the agent",
            });
            let (installer, ..) = self.installer(body).await?;
            self.installers.insert(group, installer);
        }
        Ok(())
    }

    /// The company's own role beside those that every site has.
    async fn roles(&self) -> Result<Roles> {
        self.pause();
        let deploy = json!({
            "name": "Deploy and Start", "description": "May bring machines in, take them out and start sessions.",
            "perm_add": true, "perm_remove": true, "perm_start": true, "perm_edit_tag": true, "perm_edit_comments": true,
        });
        let create = Command::JumpItemRole(record::Command::Create(object(deploy)));
        let done = self.configure(create).await?;
        let deploy_and_start = made(&done, |event| match event {
            Event::JumpItemRole(id, _) => Some(*id),
            _ => None,
        })?;
        Ok(Roles { deploy_and_start })
    }

    async fn policy(&self, rules: Rules) -> Result<JumpPolicyId> {
        self.pause();
        let mut body = json!({
            "display_name": rules.name(), "description": rules.about(), "schedule_enabled": false,
        });
        match rules {
            Rules::Thursdays | Rules::OfficeHours => {}
            Rules::NotificationSent => {
                body["session_start_notification"] = json!(true);
                body["notification_email_addresses"] = json!([MANAGER]);
                body["notification_display_name"] = json!(MANAGER_NAME);
            }
            Rules::AuthorizationRequired => {
                body["approval_required"] = json!(true);
                body["approval_max_duration"] = json!(APPROVED_MINUTES_MAX);
                body["approval_scope"] = json!("requestor");
                body["approval_email_addresses"] = json!([MANAGER]);
                body["approval_user_ids"] = json!([self.people[DEPUTY].0.to_string()]);
                body["approval_display_name"] = json!(MANAGER_NAME);
            }
        }
        let create = jump_policy::Command::Record(record::Command::Create(object(body)));
        let done = self.configure(Command::JumpPolicy(create)).await?;
        let id = made(&done, |event| match event {
            Event::JumpPolicy(id, _) => Some(*id),
            _ => None,
        })?;
        match rules {
            Rules::Thursdays => self.enable_schedule(id, thursdays()).await?,
            Rules::OfficeHours => self.enable_schedule(id, office_hours()).await?,
            Rules::NotificationSent | Rules::AuthorizationRequired => {}
        }
        Ok(id)
    }

    /// A policy is made without its schedule, given it, and then enabled: an enabled schedule without entries is refused.
    async fn enable_schedule(&self, id: JumpPolicyId, schedule: Schedule) -> Result<()> {
        let set = jump_policy::Command::SetSchedule(id, schedule);
        self.by_administrator(Command::JumpPolicy(set)).await?;
        let enable = record::Command::Change(id, object(json!({"schedule_enabled": true})));
        let enable = Command::JumpPolicy(jump_policy::Command::Record(enable));
        self.configure(enable).await.map(drop)
    }

    async fn team(&self, team: &Team, roles: &Roles) -> Result<()> {
        self.pause();
        let mut body = json!({"name": team.name});
        if let Some(slots) = team.slots {
            body["access_perm_status"] = json!("defined");
            body["perm_access_allowed"] = json!(true);
            body["perm_jump_client"] = json!(true);
            for (name, role) in SLOTS.iter().zip(slots) {
                body[*name] = json!(roles.id(role));
            }
        }
        let create = record::Command::Create(object(body));
        let create = Command::GroupPolicy(group_policy::Command::Record(create));
        let done = self.configure(create).await?;
        let id: GroupPolicyId = made(&done, |event| match event {
            Event::GroupPolicy(id, _) => Some(*id),
            _ => None,
        })?;
        for (group, role, rules) in team.groups {
            self.pause();
            let membership = Membership {
                jump_item_role_id: Some(roles.id(*role)),
                jump_policy_id: rules.map(|rules| self.policies[&rules]),
            };
            let row = group_policy::Command::AddJumpGroup(id, self.groups[group], membership);
            self.configure(Command::GroupPolicy(row)).await?;
        }
        for (person, (user, ..)) in PEOPLE.iter().zip(&self.people) {
            if team.members.contains(&person.post) {
                let add = group_policy::Command::AddMember(id, *user);
                self.configure(Command::GroupPolicy(add)).await?;
            }
        }
        Ok(())
    }

    async fn person(&mut self, index: usize) -> Result<()> {
        self.pause();
        let person = &PEOPLE[index];
        let password = first_start::new_password(&self.site.sealer, &self.site.fresh).await?;
        let body = json!({
            "username": person.username, "public_display_name": person.name,
            "email_address": format!("{}@brightwater.example", person.username), "password": password.reference,
        });
        let create = Command::User(user::Command::Record(record::Command::Create(object(body))));
        let side = first_start::put_away(vec![(password.reference, password.sealed)]);
        let done = self.execute(create, of_api(), Some(side)).await?;
        let id = made(&done, |event| match event {
            Event::User(id, _) => Some(*id),
            _ => None,
        })?;
        self.people
            .push((id, person.username.to_owned(), password.text));
        let permissions = match person.post {
            Post::Auditor => json!({"perm_view_support_reports": "all_sessions"}),
            Post::Operations => json!({
                "perm_edit_jump_groups": true, "perm_view_support_reports": "jump_group_sessions",
            }),
            _ => json!({"perm_view_support_reports": "user_sessions"}),
        };
        let permit =
            user::Command::Record(record::Command::ChangePermissions(id, object(permissions)));
        self.by_administrator(Command::User(permit)).await
    }
    /// An installer, its 32-digit id and its secret.
    pub(super) async fn installer(
        &self,
        mut body: Value,
    ) -> Result<(JumpClientInstallerId, String, SecretText)> {
        let secret = unguessable(&self.site.fresh.draw(), 32);
        let hash = self
            .site
            .sealer
            .keyed_hash(INSTALLER_SECRET, secret.expose().as_bytes());
        body["secret_hash"] = hex::encode(hash).into();
        let create = Command::JumpClientInstaller(record::Command::Create(object(body)));
        // So that its package can be downloaded as well.
        let side = keep_secret(&self.site.sealer, &secret);
        let done = self.execute(create, of_api(), Some(side)).await?;
        let (id, uid) = made(&done, |event| match event {
            Event::JumpClientInstaller(id, record::Event::Created(installer)) => {
                Some((*id, installer.installer_id.clone()))
            }
            _ => None,
        })?;
        Ok((id, uid, secret))
    }
}

/// The members of a group policy that name role slots: Default, Personal, Team, System.
const SLOTS: [&str; 4] = [
    "default_jump_item_role_id",
    "private_jump_item_role_id",
    "inferior_jump_item_role_id",
    "unassigned_jump_item_role_id",
];

struct Roles {
    deploy_and_start: JumpItemRoleId,
}

impl Roles {
    const fn id(&self, role: Role) -> JumpItemRoleId {
        match role {
            Role::Administrator => role::ADMINISTRATOR,
            Role::DeployAndStart => self.deploy_and_start,
            Role::StartSessionsOnly => role::START_SESSIONS_ONLY,
            Role::NoAccess => role::NO_ACCESS,
        }
    }
}

fn thursdays() -> Schedule {
    Schedule {
        timezone: ZONE.name().to_owned(),
        entries: vec![entry(3, 8 * 60, 17 * 60)],
        override_allowed: false,
    }
}

fn office_hours() -> Schedule {
    let entries = (0..5).map(|day| entry(day, 6 * 60 + 30, 19 * 60)).collect();
    Schedule {
        timezone: ZONE.name().to_owned(),
        entries,
        override_allowed: false,
    }
}

/// A stretch of one day, 0 = Monday, in minutes after midnight.
const fn entry(day: u8, start_minute: u16, end_minute: u16) -> ScheduleEntry {
    ScheduleEntry {
        start_day: day,
        start_minute,
        end_day: day,
        end_minute,
    }
}
