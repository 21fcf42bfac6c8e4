//! Why the report index can't go on or can't answer.

use domain::ids::{AccessRequestId, Lsid};
use eventstore::StoreError;

use crate::recorded::UnreadableEvent;

/// What went wrong with the report index.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// An event can't be read: the index stops before it and skips nothing.
    #[error("the report index stops")]
    Unreadable(#[from] UnreadableEvent),
    /// The log or the index' own database failed.
    #[error("the report index can't reach its database")]
    Store(#[from] StoreError),
    /// A row of the index is not of the form this version writes. A rebuild mends it.
    #[error("the report index holds a row it can't read: {row}. Rebuild the index")]
    Damaged {
        /// Which row.
        row: String,
        /// What the parser says.
        #[source]
        source: Option<serde_json::Error>,
    },
}

impl From<sqlx::Error> for ReportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ReportError {
    /// Whether trying again later may do.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(
                error,
                StoreError::Closed
                    | StoreError::Rewound { .. }
                    | StoreError::Newer { .. }
                    | StoreError::Damaged(_)
                    | StoreError::Invalid(_)
            ),
            Self::Unreadable(_) | Self::Damaged { .. } => false,
        }
    }

    /// The log was closed under the index, on purpose.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self, Self::Store(StoreError::Closed))
    }

    pub(crate) fn damaged(lsid: Lsid, source: serde_json::Error) -> Self {
        Self::Damaged {
            row: format!("session {lsid}"),
            source: Some(source),
        }
    }

    pub(crate) fn damaged_request(id: AccessRequestId, source: serde_json::Error) -> Self {
        Self::Damaged {
            row: format!("access request {id}"),
            source: Some(source),
        }
    }

    pub(crate) fn not_an_lsid(text: &str) -> Self {
        Self::Damaged {
            row: format!("session {text:?}"),
            source: None,
        }
    }
}

/// The report index has not reached a position in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", words(.reached, .wanted, .stopped))]
pub struct Behind {
    /// How far it is.
    pub reached: u64,
    /// How far it was to be.
    pub wanted: u64,
    /// Why it will not get there by itself, if it won't.
    pub stopped: Option<String>,
}

fn words(reached: &u64, wanted: &u64, stopped: &Option<String>) -> String {
    match stopped {
        Some(why) => format!("the report index stopped at position {reached}: {why}"),
        None => format!("the report index is at position {reached} and not yet at {wanted}"),
    }
}
