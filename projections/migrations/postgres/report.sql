-- The report index: sessions, and how far the log was folded into them. A change of shape is a new schema with a new
-- version (projections/src/report), never a change of this one in place.

CREATE TABLE IF NOT EXISTS session (
    lsid       text COLLATE "C" PRIMARY KEY,
    -- Microseconds UTC. Null while it is still starting.
    started_at bigint,
    -- Null while it runs, and where it was closed abnormally.
    ended_at   bigint,
    -- Links it to something on another system; empty is none.
    external_key text NOT NULL,
    -- The facts of its events, as JSON.
    facts      text NOT NULL
);

CREATE INDEX IF NOT EXISTS session_by_start ON session (started_at, lsid, ended_at);
CREATE INDEX IF NOT EXISTS session_by_end ON session (ended_at, started_at);

-- What happened inside a session, a row for each detail that was recorded.
CREATE TABLE IF NOT EXISTS session_detail (
    lsid        text COLLATE "C" NOT NULL,
    -- Position of its event in the log.
    position    bigint NOT NULL,
    -- Microseconds UTC.
    recorded_at bigint NOT NULL,
    -- As it was recorded, as JSON.
    detail      text NOT NULL,
    PRIMARY KEY (lsid, position)
);

CREATE TABLE IF NOT EXISTS bookmark (
    one       integer PRIMARY KEY CHECK (one = 1),
    position  bigint  NOT NULL,
    -- Leaf hash of the event at that position: proves that it is this log.
    leaf_hash bytea   NOT NULL,
    -- False while a rebuild has not reached the head for the first time.
    complete  boolean NOT NULL
);

-- Access requests, for their history.
CREATE TABLE IF NOT EXISTS access_request (
    id           bigint PRIMARY KEY,
    requester    bigint NOT NULL,
    -- The request whose event has the list of approvers.
    list         bigint NOT NULL,
    -- Microseconds UTC.
    submitted_at bigint NOT NULL,
    -- What was asked, as JSON, without the approvers.
    submitted    text NOT NULL,
    state        text NOT NULL,
    -- The last answer, as JSON.
    answer       text,
    -- Whether its window is over.
    closed       boolean NOT NULL
);

CREATE INDEX IF NOT EXISTS access_request_by_requester ON access_request (requester, id);
CREATE INDEX IF NOT EXISTS access_request_by_list ON access_request (list, id);

-- The users that a list of approvers names.
CREATE TABLE IF NOT EXISTS access_request_approver (
    list    bigint NOT NULL,
    user_id bigint NOT NULL,
    PRIMARY KEY (user_id, list)
);
