//! The contractors' visits: on Tuesdays and Thursdays they ask for access in the morning and come when it was approved. A few
//! of their requests go another way, so that every turn a request can take is in the past.

use chrono::NaiveDate;
use domain::Timestamp;
use domain::time::{MINUTE, SECOND};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{ApproverBy, Step, Telling, at};
use crate::demo::cast::{Group, PEOPLE, Post};

/// Why the contractors come.
const REASONS: [&str; 6] = [
    "Renew the certificate of the booking page",
    "Slow pages since Monday: look at the slow query log",
    "Roll out release 4.2 of the customer portal",
    "Log rotation fills the disk, ticket NW-2217",
    "Update the web server after the security notice",
    "Check why the tracking page shows old positions",
];

/// What the approvers say.
const COMMENTS: [&str; 4] = [
    "Go ahead.",
    "Fine. Tell operations when you are done.",
    "Approved, but please no restarts before noon.",
    "As discussed on the phone.",
];

/// What somebody asks for: from when, and for how long.
#[derive(Clone, Copy)]
struct Window {
    start: Timestamp,
    minutes: u32,
}

impl Window {
    fn end(self) -> Timestamp {
        self.start.plus(i64::from(self.minutes) * MINUTE)
    }
}

impl Telling<'_> {
    /// A day on which the contractors come, the `number`th of the story.
    pub(super) fn visit(&mut self, day: NaiveDate, number: usize) {
        let contractors =
            (0..PEOPLE.len()).filter(|person| PEOPLE[*person].post == Post::Contractor);
        for (place, person) in contractors.enumerate() {
            let come = at(day, 7, 55).plus(self.within(15));
            self.steps.push((come, Step::SignIn(person)));
            match (number, place) {
                (1, 0) => self.denied(person, day),
                (1, 1) => self.too_early(person, day),
                (2, 0) => self.unanswered(person, day),
                (3, 1) => self.given_up(person, day),
                _ => {}
            }
            for _ in 0..self.random.random_range(1..=2) {
                self.appointment(person, day);
            }
        }
    }

    /// Asked, approved, used.
    fn appointment(&mut self, person: usize, day: NaiveDate) {
        for _ in 0..4 {
            let machine = self.pick(&[Group::Web]);
            let window = self.window(day);
            let start = window.start.plus(2 * MINUTE + self.within(20));
            let over = start.plus(3 * MINUTE + self.within(30));
            if window.end().plus(SECOND) >= self.end {
                return;
            }
            if !self.is_free(machine, start, over) {
                continue;
            }
            let asked = at(day, 8, 30).plus(self.within(25));
            let reason = self.reason();
            let request = self.ask(asked, person, machine, window, reason);
            self.approve(asked, request);
            self.session(person, machine, start, over);
            return;
        }
    }

    /// The reason said too little. Nobody comes in by a request that was denied, and there is time to ask again.
    fn denied(&mut self, person: usize, day: NaiveDate) {
        let machine = self.pick(&[Group::Web]);
        let window = self.window(day);
        let asked = at(day, 8, 12).plus(self.within(4));
        let request = self.ask(asked, person, machine, window, "Maintenance");
        let answered = asked.plus(3 * MINUTE);
        self.steps.push((
            answered,
            Step::Deny {
                request,
                by: ApproverBy::Link,
                comment: "What for? Please say what you are going to change.",
            },
        ));
        // Before the first session of the day, so the machine is free.
        let tried = answered.plus(2 * MINUTE);
        self.steps.push((tried, Step::Refused { person, machine }));
    }

    /// Somebody jumps first and asks later.
    fn too_early(&mut self, person: usize, day: NaiveDate) {
        let machine = self.pick(&[Group::Web]);
        let tried = at(day, 8, 20).plus(self.within(5));
        self.steps.push((tried, Step::Refused { person, machine }));
    }

    /// Nobody answers in time.
    fn unanswered(&mut self, person: usize, day: NaiveDate) {
        let machine = self.pick(&[Group::Web]);
        let window = Window {
            start: at(day, 8, 45),
            minutes: 60,
        };
        let asked = at(day, 8, 31).plus(self.within(8));
        let reason = self.reason();
        self.ask(asked, person, machine, window, reason);
    }

    /// Approved, and then not needed.
    fn given_up(&mut self, person: usize, day: NaiveDate) {
        let machine = self.pick(&[Group::Web]);
        let window = self.window(day);
        let asked = at(day, 8, 30).plus(self.within(20));
        let reason = self.reason();
        let request = self.ask(asked, person, machine, window, reason);
        let answered = self.approve(asked, request);
        let cancelled = answered.plus(MINUTE + self.within(5));
        self.steps
            .push((cancelled, Step::Cancel { request, person }));
    }

    /// Some hours of the day, after the morning in which requests are answered.
    fn window(&mut self, day: NaiveDate) -> Window {
        let start = at(day, 9, 45).plus(15 * MINUTE * self.random.random_range(0..20));
        let minutes = 60 * self.random.random_range(1..=3);
        Window { start, minutes }
    }

    fn ask(
        &mut self,
        asked: Timestamp,
        person: usize,
        machine: usize,
        window: Window,
        reason: &'static str,
    ) -> usize {
        let request = self.requests;
        self.requests += 1;
        let Window { start, minutes } = window;
        self.steps.push((
            asked,
            Step::Request {
                request,
                person,
                machine,
                start,
                minutes,
                reason,
            },
        ));
        let over = window.end().plus(SECOND / 10);
        self.steps.push((over, Step::RequestOver { request }));
        request
    }

    fn approve(&mut self, asked: Timestamp, request: usize) -> Timestamp {
        let answered = asked.plus(4 * MINUTE + self.within(30));
        let by = if self.random.random_bool(0.6) {
            ApproverBy::Link
        } else {
            ApproverBy::Console
        };
        let comment = COMMENTS.choose(&mut self.random).copied().unwrap_or("");
        let approve = Step::Approve {
            request,
            by,
            comment,
        };
        self.steps.push((answered, approve));
        answered
    }

    fn reason(&mut self) -> &'static str {
        REASONS.choose(&mut self.random).copied().unwrap_or("")
    }
}
