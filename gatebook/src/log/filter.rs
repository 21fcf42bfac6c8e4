//! Which events are asked for.

use std::collections::HashSet;

use anyhow::{Result, anyhow};
use chrono::{DateTime, NaiveDate, NaiveTime};
use domain::ids::{JumpClientId, JumpItemRef};
use domain::node::ClientsCheckedIn;
use domain::session::access_session::Started;
use eventstore::{RecordedEvent, Selection};

use crate::command_line::FilterOptions;

/// Which events are asked for; all that is given must hold.
pub(super) struct Filter {
    /// The first position.
    pub(super) from: u64,
    to: u64,
    stream: Option<String>,
    types: Vec<String>,
    category: Option<String>,
    /// The earliest time. Unit: microseconds UTC.
    pub(super) since: Option<i64>,
    until: Option<i64>,
    client: Option<ClientHistory>,
}

/// What concerns one Jump Client.
struct ClientHistory {
    client: JumpClientId,
    stream: String,
    /// Streams of sessions with it.
    sessions: HashSet<String>,
}

impl Filter {
    /// Reads the flags.
    ///
    /// # Errors
    /// A time can't be read.
    pub(super) fn new(options: &FilterOptions) -> Result<Self> {
        let time = |text: &Option<String>| text.as_deref().map(micros).transpose();
        Ok(Self {
            from: options.from.unwrap_or(1).max(1),
            to: options.to.unwrap_or(u64::MAX),
            stream: options.stream.clone(),
            types: options.event_type.clone(),
            category: options.category.clone(),
            since: time(&options.since)?,
            until: time(&options.until)?,
            client: options.client.map(|client| ClientHistory {
                client,
                stream: format!("jump_client-{client}"),
                sessions: HashSet::new(),
            }),
        })
    }

    /// The narrowest selection of the log that holds all that may pass.
    pub(super) fn selection(&self) -> Selection {
        match (&self.stream, &self.category, self.types.as_slice()) {
            _ if self.client.is_some() => Selection::All,
            (Some(stream), ..) => Selection::Stream(stream.clone()),
            (None, Some(category), _) => Selection::Category(category.clone()),
            (None, None, [only]) => Selection::EventType(only.clone()),
            _ => Selection::All,
        }
    }

    /// Whether earlier events decide if later ones pass, so that every event must be shown to [`Filter::admits`].
    pub(super) fn needs_history(&self) -> bool {
        self.client.is_some()
    }

    /// Whether neither `event` nor any after it can pass.
    pub(super) fn is_past(&self, event: &RecordedEvent) -> bool {
        event.position > self.to || self.until.is_some_and(|until| event.recorded_at >= until)
    }

    /// Whether `event` passes. Events are to be shown in order.
    pub(super) fn admits(&mut self, event: &RecordedEvent) -> bool {
        // Asked first, because it learns from what it sees.
        let concerns = self
            .client
            .as_mut()
            .is_none_or(|client| client.admits(event));
        let category = event.stream.split('-').next().unwrap_or(&event.stream);
        concerns
            && event.position >= self.from
            && !self.is_past(event)
            && self.since.is_none_or(|since| event.recorded_at >= since)
            && self
                .stream
                .as_ref()
                .is_none_or(|stream| event.stream == *stream)
            && self
                .category
                .as_ref()
                .is_none_or(|wanted| category == wanted)
            && (self.types.is_empty() || self.types.contains(&event.event_type))
    }
}

impl ClientHistory {
    fn admits(&mut self, event: &RecordedEvent) -> bool {
        match event.event_type.as_str() {
            _ if event.stream == self.stream => true,
            "JumpClientsCheckedIn" => serde_json::from_slice::<ClientsCheckedIn>(&event.data)
                .is_ok_and(|gathered| {
                    gathered
                        .check_ins
                        .iter()
                        .any(|seen| seen.client == self.client)
                }),
            "AccessSessionStarted" => {
                let with_it = serde_json::from_slice::<Started>(&event.data)
                    .is_ok_and(|started| started.item == JumpItemRef::JumpClient(self.client));
                if with_it {
                    self.sessions.insert(event.stream.clone());
                }
                with_it
            }
            _ => self.sessions.contains(&event.stream),
        }
    }
}

/// Reads RFC 3339 with any offset, or a date, which is its midnight UTC.
fn micros(text: &str) -> Result<i64> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.timestamp_micros())
        .map_err(|_| anyhow!("{text:?} is no time such as 2026-10-01T08:00:00Z or 2026-10-01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: u64, stream: &str, event_type: &str, data: &str) -> RecordedEvent {
        RecordedEvent {
            position,
            stream: stream.to_owned(),
            revision: 0,
            id: uuid::Uuid::nil(),
            event_type: event_type.to_owned(),
            data: data.as_bytes().to_vec(),
            meta: b"{}".to_vec(),
            codec: 0,
            recorded_at: i64::try_from(position).unwrap() * 1_000_000,
            leaf_hash: [0; 32],
        }
    }

    fn log() -> Vec<RecordedEvent> {
        let gathered = r#"{"check_ins":[{"client":3,"at":1},{"client":4,"at":1}]}"#;
        let others = r#"{"check_ins":[{"client":4,"at":1}]}"#;
        let session = |client: u32| {
            serde_json::json!({
                "lseq": 1, "item": {"type": "jump_client", "id": client},
                "group": {"type": "shared", "id": 1}, "group_name": "g", "jump_policy_id": null,
                "grant": serde_json::to_value(domain::access::permission::Grant::System).unwrap(),
                "representative": {}, "customer": {},
            })
            .to_string()
        };
        vec![
            event(1, "site", "SiteCreated", "{}"),
            event(2, "jump_client-3", "JumpClientRegistered", "{}"),
            event(3, "node-1", "JumpClientsCheckedIn", gathered),
            event(4, "node-1", "JumpClientsCheckedIn", others),
            event(5, "access_session-a", "AccessSessionStarted", &session(3)),
            event(6, "access_session-b", "AccessSessionStarted", &session(4)),
            event(7, "access_session-a", "AccessSessionEnded", "{}"),
            event(8, "access_session-b", "AccessSessionEnded", "{}"),
            event(9, "jump_client-33", "JumpClientRegistered", "{}"),
        ]
    }

    fn passing(options: &FilterOptions) -> Vec<u64> {
        let mut filter = Filter::new(options).unwrap();
        log()
            .iter()
            .filter(|event| filter.admits(event))
            .map(|event| event.position)
            .collect()
    }

    #[test]
    fn each_flag_narrows() {
        let flag = |set: fn(&mut FilterOptions)| {
            let mut options = FilterOptions::default();
            set(&mut options);
            passing(&options)
        };
        assert_eq!(flag(|_| {}).len(), 9);
        assert_eq!(flag(|o| (o.from, o.to) = (Some(3), Some(4))), [3, 4]);
        assert_eq!(flag(|o| o.stream = Some("jump_client-3".to_owned())), [2]);
        assert_eq!(
            flag(|o| o.category = Some("jump_client".to_owned())),
            [2, 9]
        );
        assert_eq!(flag(|o| o.category = Some("site".to_owned())), [1]);
        assert_eq!(
            flag(|o| o.event_type = vec!["SiteCreated".to_owned(), "AccessSessionEnded".to_owned()]),
            [1, 7, 8]
        );
        assert_eq!(
            flag(|o| o.since = Some("1970-01-01T00:00:08Z".to_owned())),
            [8, 9]
        );
        assert_eq!(
            flag(|o| o.until = Some("1970-01-01T01:00:03+01:00".to_owned())),
            [1, 2]
        );
        assert_eq!(
            flag(|o| o.since = Some("1970-01-02".to_owned())),
            [0_u64; 0]
        );
    }

    #[test]
    fn a_clients_history_has_both_kinds_of_check_in_and_its_sessions() {
        let mut options = FilterOptions {
            client: Some(JumpClientId(3)),
            ..FilterOptions::default()
        };
        assert_eq!(passing(&options), [2, 3, 5, 7]);
        options.from = Some(7);
        assert_eq!(passing(&options), [7], "its session began before");
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let options = FilterOptions {
            since: Some("yesterday".to_owned()),
            ..FilterOptions::default()
        };
        let error = Filter::new(&options).err().unwrap();
        assert!(error.to_string().contains("yesterday"));
    }
}
