//! What people do: they sign in, jump, ask for access and answer.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use domain::ids::{AccessRequestId, JumpClientId, JumpItemRef, Lsid};
use domain::policy::access_request::{self, Submit};
use domain::session::access_session;
use domain::site::user;
use domain::site::user::sign_in::{Origin, SignIn};
use domain::{Actor, Cause, Command, Event, Refusal, Surface, Timestamp};
use engine::{ExecuteError, Side};

use super::{OFFICE, Player, address_of, made};
use crate::demo::cast::{DEPUTY, MANAGER, PEOPLE, Rules};
use crate::demo::story::ApproverBy;

impl Player<'_> {
    pub(super) async fn sign_in(&self, person: usize, side: Option<Side>) -> Result<()> {
        let (user, ..) = self.people[person];
        let sign_in = Command::User(user::Command::SignIn(SignIn::new(
            user,
            true,
            Origin::of(IpAddr::V4(address_of(person))),
        )));
        self.execute(sign_in, self.of_person(person), side)
            .await
            .map(drop)
            .map_err(Into::into)
    }

    fn start_command(&self, person: usize, machine: usize) -> Result<Command> {
        let client = self.clients.get(&machine).context("it has registered")?;
        let port = 40_000 + person * 97 + machine;
        let mut start = access_session::Start::new(
            self.people[person].0,
            JumpItemRef::JumpClient(client.id),
            format!("{}:{port}", address_of(person)),
            "Access console on Windows 11".to_owned(),
        );
        let rules = PEOPLE[person].post.rules_on(self.machines[machine].group);
        // Whoever is told that a mail will be sent goes on.
        start.notification_consent = rules == Some(Rules::NotificationSent);
        Ok(Command::AccessSession(access_session::Command::Start(
            start,
        )))
    }

    pub(super) async fn start(
        &mut self,
        session: usize,
        person: usize,
        machine: usize,
    ) -> Result<()> {
        let command = self.start_command(person, machine)?;
        let done = self.ask(command, self.of_person(person)).await?;
        let lsid = made(&done, |event| match event {
            Event::AccessSession(lsid, _) => Some(*lsid),
            _ => None,
        })?;
        self.sessions
            .insert(session, (lsid, self.clients[&machine].id));
        Ok(())
    }

    /// The policy says no: it asks for what a contractor does not have, or keeps others to its days.
    pub(super) async fn refused(&self, person: usize, machine: usize) -> Result<()> {
        let command = self.start_command(person, machine)?;
        match self.execute(command, self.of_person(person), None).await {
            Err(ExecuteError::Refused {
                refusal: Refusal::StartNeeds { .. } | Refusal::OutsideSchedule { .. },
                ..
            }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => bail!("the policy should not have permitted this"),
        }
    }

    pub(super) fn session(&self, session: usize) -> Result<(Lsid, JumpClientId)> {
        self.sessions
            .get(&session)
            .copied()
            .context("it has started")
    }

    pub(super) fn of_person(&self, person: usize) -> Cause {
        Cause {
            actor: Actor::User(self.people[person].0),
            surface: Surface::ConsoleApi,
            address: Some(IpAddr::V4(address_of(person))),
        }
    }

    // --- access requests ---

    pub(super) async fn submit(
        &self,
        person: usize,
        client: JumpClientId,
        start_at: Timestamp,
        minutes: u32,
        reason: &str,
    ) -> Result<AccessRequestId> {
        let submit = access_request::Command::Submit(Submit {
            user: self.people[person].0,
            item: JumpItemRef::JumpClient(client),
            reason: reason.to_owned(),
            start_at,
            duration_seconds: minutes * 60,
        });
        let done = self
            .ask(Command::AccessRequest(submit), self.of_person(person))
            .await?;
        made(&done, |event| match event {
            Event::AccessRequest(id, _) => Some(*id),
            _ => None,
        })
    }

    pub(super) async fn approve(
        &self,
        request: usize,
        by: ApproverBy,
        comment: &str,
    ) -> Result<()> {
        let request = self.request(request)?;
        let approve = access_request::Command::Approve {
            request,
            comment: comment.to_owned(),
            speaking_for: None,
        };
        let cause = self.of_approver(request, by)?;
        self.ask(Command::AccessRequest(approve), cause)
            .await
            .map(drop)
    }

    pub(super) async fn deny(&self, request: usize, by: ApproverBy, comment: &str) -> Result<()> {
        let request = self.request(request)?;
        let deny = access_request::Command::Deny {
            request,
            comment: comment.to_owned(),
            speaking_for: None,
        };
        let cause = self.of_approver(request, by)?;
        self.ask(Command::AccessRequest(deny), cause)
            .await
            .map(drop)
    }

    pub(super) async fn cancel(&self, request: usize, person: usize) -> Result<()> {
        let request = self.request(request)?;
        let cancel = access_request::Command::Cancel { request };
        self.ask(Command::AccessRequest(cancel), self.of_person(person))
            .await
            .map(drop)
    }

    /// What the timers would ask at this time.
    pub(super) async fn request_over(&self, request: usize) -> Result<()> {
        let request = self.request(request)?;
        let expire = access_request::Command::Expire { request };
        self.ask(Command::AccessRequest(expire), Cause::timer())
            .await
            .map(drop)
    }

    fn request(&self, request: usize) -> Result<AccessRequestId> {
        let id = self.requests.get(&request);
        id.copied().context("it was asked for")
    }

    fn of_approver(&self, request: AccessRequestId, by: ApproverBy) -> Result<Cause> {
        match by {
            ApproverBy::Console => Ok(self.of_person(DEPUTY)),
            ApproverBy::Link => Ok(Cause {
                actor: Actor::Approver {
                    request,
                    index: self.place_of_manager(request)?,
                },
                surface: Surface::ApproverPage,
                address: Some(OFFICE),
            }),
        }
    }

    /// The manager's place among the approvers of a request, which the manager's link begins with.
    pub(super) fn place_of_manager(&self, request: AccessRequestId) -> Result<u32> {
        let published = self.site.engine.published();
        let request = published.world.access_requests.get(&request);
        let request = request.context("it is there")?;
        let mut approvers = published.world.approvers_of(request);
        let manager = approvers.find(|approver| approver.address == MANAGER);
        Ok(manager.context("the manager is asked")?.index)
    }
}
