//! An event of the log, decoded: what every fold takes.

use domain::{Cause, Event, Meta, Timestamp};
use eventstore::RecordedEvent;
use uuid::Uuid;

/// The only way events are stored so far: data and meta as they were given.
const CODEC_PLAIN: i16 = 0;

/// One event of the log, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Place in the whole log: gapless from 1, in the order of commits.
    pub position: u64,
    /// Unique in the whole log.
    pub id: Uuid,
    /// When it was recorded: never before the event at the position before.
    pub recorded_at: Timestamp,
    /// The wall clock when it was decided, which windows, due dates and reports count from.
    pub decided_at: Timestamp,
    /// Who asked for it by which way.
    pub cause: Cause,
    /// What happened.
    pub event: Event,
}

/// An event of the log can't be read. Whoever folds stops here: nothing is skipped.
#[derive(Debug, thiserror::Error)]
#[error("the event at position {position} can't be read")]
pub struct UnreadableEvent {
    /// Where it stands in the log.
    pub position: u64,
    /// Why.
    #[source]
    pub why: Unreadable,
}

/// Why an event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its stream, its name or its text is none of ours.
    #[error(transparent)]
    Event(#[from] domain::event::UnreadableEvent),
    /// What stands beside it says no cause, or no time that can be read.
    #[error("its meta is not of the known form")]
    Meta(#[source] serde_json::Error),
    /// It is stored in a way that a newer version may know.
    #[error("it is stored with codec {codec}, which this version does not know")]
    Codec {
        /// The codec.
        codec: i16,
    },
}

impl Recorded {
    /// Decodes an event as the log holds it.
    ///
    /// # Errors
    /// When stream, name, text, cause or codec is not known here.
    pub fn from_stored(stored: &RecordedEvent) -> Result<Self, UnreadableEvent> {
        read(stored).map_err(|why| UnreadableEvent {
            position: stored.position,
            why,
        })
    }
}

fn read(stored: &RecordedEvent) -> Result<Recorded, Unreadable> {
    if stored.codec != CODEC_PLAIN {
        return Err(Unreadable::Codec {
            codec: stored.codec,
        });
    }
    let Meta { cause, decided_at } = Meta::from_stored(&stored.meta).map_err(Unreadable::Meta)?;
    let recorded_at = Timestamp(stored.recorded_at);
    Ok(Recorded {
        position: stored.position,
        id: stored.id,
        recorded_at,
        decided_at: decided_at.unwrap_or(recorded_at),
        cause,
        event: Event::from_stored(&stored.stream, &stored.event_type, &stored.data)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> RecordedEvent {
        RecordedEvent {
            position: 7,
            stream: "node-3".to_owned(),
            revision: 0,
            id: Uuid::from_u128(1),
            event_type: "NodeStopped".to_owned(),
            data: br#"{"reason":"asked"}"#.to_vec(),
            meta: br#"{"actor":"system","surface":"timer"}"#.to_vec(),
            codec: 0,
            recorded_at: 5,
            leaf_hash: [0; 32],
        }
    }

    #[test]
    fn an_event_comes_back_with_its_cause() {
        let recorded = Recorded::from_stored(&stored()).expect("readable");
        assert_eq!((recorded.position, recorded.recorded_at), (7, Timestamp(5)));
        assert_eq!(recorded.decided_at, Timestamp(5));
        assert_eq!(recorded.cause, Cause::timer());
        assert_eq!(recorded.event.stored_name(), "NodeStopped");
    }

    #[test]
    fn an_event_that_was_decided_at_another_time_says_so() {
        let mut event = stored();
        let meta = Meta::new(Cause::timer(), Timestamp(2), Timestamp(5));
        event.meta = serde_json::to_vec(&meta).expect("written");
        assert_eq!(
            String::from_utf8_lossy(&event.meta),
            r#"{"actor":"system","surface":"timer","decided_at":2}"#
        );
        let recorded = Recorded::from_stored(&event).expect("readable");
        assert_eq!(recorded.recorded_at, Timestamp(5));
        assert_eq!(recorded.decided_at, Timestamp(2));
        assert_eq!(recorded.cause, Cause::timer());
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_the_position() {
        type Spoil = fn(&mut RecordedEvent);
        let spoils: [(&str, Spoil); 6] = [
            ("stream", |event| event.stream = "castle-3".to_owned()),
            ("name", |event| event.event_type = "NodeDanced".to_owned()),
            ("text", |event| event.data = b"{}".to_vec()),
            ("cause", |event| event.meta = b"{}".to_vec()),
            ("time", |event| {
                event.meta =
                    br#"{"actor":"system","surface":"timer","decided_at":"noon"}"#.to_vec();
            }),
            ("codec", |event| event.codec = 1),
        ];
        for (what, spoil) in spoils {
            let mut event = stored();
            spoil(&mut event);
            let error = Recorded::from_stored(&event).expect_err(what);
            assert_eq!(
                error.to_string(),
                "the event at position 7 can't be read",
                "{what}"
            );
            assert!(std::error::Error::source(&error).is_some(), "{what}");
        }
    }
}
