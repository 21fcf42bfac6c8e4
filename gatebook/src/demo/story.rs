//! What happens in the demonstration's three weeks, as a list of steps by the clock. Pure: the same seed and the same day
//! tell the same story.

use chrono::{Datelike, Days, NaiveDate, NaiveTime, TimeZone, Weekday};
use domain::Timestamp;
use domain::time::{HOUR, MINUTE, SECOND};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::cast::{Group, Machine, PEOPLE, Post, ZONE};

mod requests;

/// How long the story is. Unit: days.
const DAYS: u64 = 21;

/// Something that happens. Machines, people and sessions are named by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The site is made and set up.
    SetUp,
    /// A machine registers.
    Register(usize),
    /// A machine connects; `restarted` after it booted.
    Connect { machine: usize, restarted: bool },
    /// Somebody signs in at the machine, or out of it.
    Desk { machine: usize, taken: bool },
    /// A machine goes away.
    Disconnect(usize),
    /// A machine's system was updated.
    Update(usize),
    /// The hour's check-ins of all that are connected.
    CheckIns,
    /// Somebody signs in to the console.
    SignIn(usize),
    /// A session begins to start.
    Start {
        session: usize,
        person: usize,
        machine: usize,
    },
    /// It comes up.
    Establish { session: usize },
    /// The agent can't bring it up.
    Fail { session: usize },
    /// Its owner ends it.
    End { session: usize, person: usize },
    /// The endpoint ends it.
    EndByEndpoint { session: usize },
    /// Somebody tries to jump when their policy does not permit it.
    Refused { person: usize, machine: usize },
    /// Somebody asks for access.
    Request {
        request: usize,
        person: usize,
        machine: usize,
        start: Timestamp,
        minutes: u32,
        reason: &'static str,
    },
    /// An approver says yes.
    Approve {
        request: usize,
        by: ApproverBy,
        comment: &'static str,
    },
    /// An approver says no.
    Deny {
        request: usize,
        by: ApproverBy,
        comment: &'static str,
    },
    /// Whoever asked does not need it any more.
    Cancel { request: usize, person: usize },
    /// The time that was asked for is over.
    RequestOver { request: usize },
}

/// How an approver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApproverBy {
    /// By the link in the mail: the manager.
    Link,
    /// On the console: the manager's deputy.
    Console,
}

/// A step and when.
pub(super) type Timed = (Timestamp, Step);

struct Telling<'a> {
    random: StdRng,
    machines: &'a [Machine],
    steps: Vec<Timed>,
    /// Taken by a session, by machine: from, until.
    taken: Vec<Vec<(Timestamp, Timestamp)>>,
    /// Connected, by machine.
    there: Vec<Vec<(Timestamp, Timestamp)>>,
    sessions: usize,
    requests: usize,
    end: Timestamp,
}

/// The story that ends at `end`.
pub(super) fn tell(machines: &[Machine], end: Timestamp, seed: u64) -> Vec<Timed> {
    let last = end.to_utc().with_timezone(&ZONE).date_naive();
    let first = last.checked_sub_days(Days::new(DAYS)).unwrap_or(last);
    let mut telling = Telling {
        random: StdRng::seed_from_u64(seed),
        machines,
        steps: vec![(at(first, 6, 0), Step::SetUp)],
        taken: vec![Vec::new(); machines.len()],
        there: vec![Vec::new(); machines.len()],
        sessions: 0,
        requests: 0,
        end,
    };
    for (index, machine) in machines.iter().enumerate() {
        if machine.is_server() {
            telling.server(index, first);
        } else {
            telling.desk(index, first);
        }
    }
    let days = || {
        first
            .iter_days()
            .take(usize::try_from(DAYS).unwrap_or(0) + 1)
    };
    for (number, day) in days().enumerate() {
        telling.work(day, number);
    }
    let visits = days().filter(|day| matches!(day.weekday(), Weekday::Tue | Weekday::Thu));
    for (number, day) in visits.enumerate() {
        telling.visit(day, number);
    }
    let begun = at(first, 8, 0);
    let hours = (0..)
        .map(|hour| begun.plus(hour * HOUR))
        .take_while(|at| *at < end);
    telling.steps.extend(hours.map(|at| (at, Step::CheckIns)));

    let Telling { mut steps, .. } = telling;
    steps.retain(|(at, _)| *at < end);
    // Stable: what happens at the same instant stays in the order it was told in.
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// The instant at which clocks in the company's zone show this.
fn at(day: NaiveDate, hour: u32, minute: u32) -> Timestamp {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    let instant = ZONE.from_local_datetime(&day.and_time(time)).earliest();
    // No clock of that zone changes in the hours the story uses.
    Timestamp::from_utc(
        instant.map_or_else(|| day.and_time(time).and_utc(), |instant| instant.to_utc()),
    )
}

fn is_working_day(day: NaiveDate) -> bool {
    !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

impl Telling<'_> {
    /// Microseconds, anywhere in this many minutes.
    fn within(&mut self, minutes: i64) -> i64 {
        self.random.random_range(0..minutes * MINUTE)
    }

    fn server(&mut self, index: usize, first: NaiveDate) {
        let number = i64::try_from(index).unwrap_or(0);
        let registered = at(first, 6, 40).plus(number * 4 * MINUTE + self.within(2));
        self.steps.push((registered, Step::Register(index)));
        // Patched in the second week, one after the other, at night.
        let night = first.checked_add_days(Days::new(8)).unwrap_or(first);
        let down = at(night, 4, 0).plus(number * 6 * MINUTE);
        let up = down.plus(2 * MINUTE + self.within(2));
        self.steps.push((down, Step::Disconnect(index)));
        self.steps.push((
            up,
            Step::Connect {
                machine: index,
                restarted: true,
            },
        ));
        self.steps.push((up.plus(3 * SECOND), Step::Update(index)));
        self.there[index] = vec![(registered, down), (up, self.end)];
    }

    fn desk(&mut self, index: usize, first: NaiveDate) {
        // The agent is rolled out over the first working days, a few desks a day.
        let mut rolled_out = false;
        let days = first
            .iter_days()
            .take(usize::try_from(DAYS).unwrap_or(0) + 1);
        for (number, day) in days.filter(|day| is_working_day(*day)).enumerate() {
            if !rolled_out && number % 3 != index % 3 {
                continue;
            }
            // Somebody is away now and then.
            if rolled_out && self.random.random_bool(0.06) {
                continue;
            }
            let come = at(day, 7, 10).plus(self.within(90));
            let go = at(day, 16, 20).plus(self.within(110));
            let step = if rolled_out {
                Step::Connect {
                    machine: index,
                    restarted: true,
                }
            } else {
                Step::Register(index)
            };
            rolled_out = true;
            self.steps.push((come, step));
            self.steps.push((
                come.plus(40 * SECOND),
                Step::Desk {
                    machine: index,
                    taken: true,
                },
            ));
            self.steps.push((
                go.plus(-20 * SECOND),
                Step::Desk {
                    machine: index,
                    taken: false,
                },
            ));
            self.steps.push((go, Step::Disconnect(index)));
            self.there[index].push((come.plus(MINUTE), go.plus(-MINUTE)));
        }
    }

    fn work(&mut self, day: NaiveDate, number: usize) {
        for (index, person) in PEOPLE.iter().enumerate() {
            let jumps = match person.post {
                // Contractors come by appointment.
                Post::Contractor => continue,
                Post::Auditor => 0,
                // Somebody is on call at weekends.
                Post::Operations if !is_working_day(day) => {
                    u32::from(self.random.random_bool(0.15))
                }
                _ if !is_working_day(day) => 0,
                Post::Helpdesk => self.random.random_range(1..=5),
                Post::Operations | Post::Directory => self.random.random_range(0..=3),
            };
            let comes =
                jumps > 0 || (person.post == Post::Auditor && day.weekday() == Weekday::Mon);
            if comes {
                let come = at(day, 7, 50).plus(self.within(40));
                self.steps.push((come, Step::SignIn(index)));
            }
            for _ in 0..jumps {
                self.jump(index, person.post, day);
            }
            // Somebody forgets what day it is; once for certain.
            if person.post == Post::Directory
                && day.weekday() == Weekday::Tue
                && ((7..14).contains(&number) || self.random.random_bool(0.5))
            {
                self.wrong_day(index, day);
            }
        }
    }

    /// Somebody tries a machine at a desk on a day that is none of theirs.
    fn wrong_day(&mut self, person: usize, day: NaiveDate) {
        let tried = at(day, 9, 0).plus(self.within(120));
        let over = tried.plus(MINUTE);
        let free: Vec<usize> = (0..self.machines.len())
            .filter(|machine| self.machines[*machine].group == Group::Users)
            .filter(|machine| self.is_free(*machine, tried, over))
            .collect();
        if let Some(machine) = free.choose(&mut self.random).copied() {
            // Nobody else is there, so it is the policy that says no.
            self.taken[machine].push((tried, over));
            self.steps.push((tried, Step::Refused { person, machine }));
        }
    }

    fn jump(&mut self, person: usize, post: Post, day: NaiveDate) {
        let groups = post.groups(day.weekday() == Weekday::Thu);
        // Busy at the wrong moment: somebody who finds no free machine a few times has another coffee.
        for _ in 0..4 {
            let machine = self.pick(groups);
            let start = at(day, 8, 35).plus(self.within(450));
            let length = 3 * MINUTE + self.within(if post == Post::Helpdesk { 25 } else { 70 });
            let over = start.plus(length);
            if over >= self.end || !self.is_free(machine, start, over) {
                continue;
            }
            self.session(person, machine, start, over);
            return;
        }
    }

    /// A session on a machine that is free, from its start to its end.
    fn session(&mut self, person: usize, machine: usize, start: Timestamp, over: Timestamp) {
        self.taken[machine].push((start, over));
        let session = self.sessions;
        self.sessions += 1;
        self.steps.push((
            start,
            Step::Start {
                session,
                person,
                machine,
            },
        ));
        let up = start.plus(400_000 + self.random.random_range(0..2 * SECOND));
        let ending = self.random.random_range(0..100);
        if ending < 3 {
            self.steps.push((up, Step::Fail { session }));
            return;
        }
        self.steps.push((up, Step::Establish { session }));
        let step = if ending < 8 {
            Step::EndByEndpoint { session }
        } else {
            Step::End { session, person }
        };
        self.steps.push((over, step));
    }

    fn pick(&mut self, groups: &[Group]) -> usize {
        let of_groups: Vec<usize> = (0..self.machines.len())
            .filter(|index| groups.contains(&self.machines[*index].group))
            .collect();
        of_groups.choose(&mut self.random).copied().unwrap_or(0)
    }

    fn is_free(&self, machine: usize, from: Timestamp, until: Timestamp) -> bool {
        let there = self.there[machine]
            .iter()
            .any(|(came, gone)| *came < from && until < *gone);
        // Some room between two sessions.
        let (from, until) = (from.plus(-MINUTE), until.plus(MINUTE));
        there
            && self.taken[machine]
                .iter()
                .all(|(start, over)| until < *start || *over < from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::cast::machines;

    const END: Timestamp = Timestamp(1_790_000_000_000_000);

    #[test]
    fn the_same_seed_tells_the_same_story_and_another_seed_another() {
        let machines = machines();
        assert_eq!(tell(&machines, END, 7), tell(&machines, END, 7));
        assert_ne!(tell(&machines, END, 7), tell(&machines, END, 8));
    }

    #[test]
    fn the_story_is_three_weeks_of_ordinary_work_and_ends_in_time() {
        for end in [
            END,
            END.plus(3 * 24 * HOUR),
            END.plus(200 * 24 * HOUR + 5 * HOUR),
        ] {
            let machines = machines();
            let steps = tell(&machines, end, 7);
            assert!(steps.is_sorted_by_key(|(at, _)| *at));
            assert!(steps.last().unwrap().0 < end);
            assert_eq!(steps[0].1, Step::SetUp);
            let count =
                |wanted: fn(&Step) -> bool| steps.iter().filter(|(_, step)| wanted(step)).count();
            assert_eq!(
                count(|step| matches!(step, Step::Register(_))),
                machines.len()
            );
            let starts = count(|step| matches!(step, Step::Start { .. }));
            assert!((150..700).contains(&starts), "{starts}");
            let over = count(|step| {
                matches!(
                    step,
                    Step::End { .. } | Step::EndByEndpoint { .. } | Step::Fail { .. }
                )
            });
            assert_eq!(over, starts, "no session is left open");
            assert!(count(|step| matches!(step, Step::Fail { .. })) > 0);
            // Every turn that a request can take is there, and none is left open.
            let asked = count(|step| matches!(step, Step::Request { .. }));
            assert!((10..60).contains(&asked), "{asked}");
            assert_eq!(
                count(|step| matches!(step, Step::RequestOver { .. })),
                asked
            );
            assert!(count(|step| matches!(step, Step::Approve { .. })) > asked / 2);
            assert_eq!(count(|step| matches!(step, Step::Deny { .. })), 1);
            assert_eq!(count(|step| matches!(step, Step::Cancel { .. })), 1);
            let answers = count(|step| matches!(step, Step::Approve { .. } | Step::Deny { .. }));
            assert_eq!(answers + 1, asked, "one request is never answered");
            let refused = |post: Post| {
                let of = |step: &Step| matches!(step, Step::Refused { person, .. } if PEOPLE[*person].post == post);
                steps.iter().filter(|(_, step)| of(step)).count()
            };
            assert_eq!(refused(Post::Contractor), 2, "without an approval");
            assert!(refused(Post::Directory) > 0, "on the wrong day");
        }
    }
}
