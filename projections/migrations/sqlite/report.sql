-- The report index: sessions, and how far the log was folded into them. A change of shape is a new file with a new
-- version (projections/src/report), never a change of this one in place.

CREATE TABLE IF NOT EXISTS session (
    lsid       TEXT PRIMARY KEY,
    -- Microseconds UTC. Null while it is still starting.
    started_at INTEGER,
    -- Null while it runs, and where it was closed abnormally.
    ended_at   INTEGER,
    -- Links it to something on another system; empty is none.
    external_key TEXT NOT NULL,
    -- The facts of its events, as JSON.
    facts      TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS session_by_start ON session (started_at, lsid, ended_at);
CREATE INDEX IF NOT EXISTS session_by_end ON session (ended_at, started_at);

-- What happened inside a session, a row for each detail that was recorded.
CREATE TABLE IF NOT EXISTS session_detail (
    lsid        TEXT NOT NULL,
    -- Position of its event in the log.
    position    INTEGER NOT NULL,
    -- Microseconds UTC.
    recorded_at INTEGER NOT NULL,
    -- As it was recorded, as JSON.
    detail      TEXT NOT NULL,
    PRIMARY KEY (lsid, position)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS bookmark (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    position  INTEGER NOT NULL,
    -- Leaf hash of the event at that position: proves that it is this log.
    leaf_hash BLOB NOT NULL,
    -- False while a rebuild has not reached the head for the first time.
    complete  BOOLEAN NOT NULL
);

-- Access requests, for their history.
CREATE TABLE IF NOT EXISTS access_request (
    id           INTEGER PRIMARY KEY,
    requester    INTEGER NOT NULL,
    -- The request whose event has the list of approvers.
    list         INTEGER NOT NULL,
    -- Microseconds UTC.
    submitted_at INTEGER NOT NULL,
    -- What was asked, as JSON, without the approvers.
    submitted    TEXT NOT NULL,
    state        TEXT NOT NULL,
    -- The last answer, as JSON.
    answer       TEXT,
    -- Whether its window is over.
    closed       BOOLEAN NOT NULL
);

CREATE INDEX IF NOT EXISTS access_request_by_requester ON access_request (requester, id);
CREATE INDEX IF NOT EXISTS access_request_by_list ON access_request (list, id);

-- The users that a list of approvers names.
CREATE TABLE IF NOT EXISTS access_request_approver (
    list    INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, list)
) WITHOUT ROWID;
