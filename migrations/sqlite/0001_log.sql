-- The log, its head, the side rows that commit with it, and the rows of nodes and consumers.

CREATE TABLE event (
    position    INTEGER PRIMARY KEY,
    stream      TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    id          BLOB    NOT NULL UNIQUE,
    type        TEXT    NOT NULL,
    data        BLOB    NOT NULL,
    meta        BLOB    NOT NULL,
    codec       INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    leaf_hash   BLOB    NOT NULL,
    category    TEXT GENERATED ALWAYS AS (
        CASE instr(stream, '-') WHEN 0 THEN stream ELSE substr(stream, 1, instr(stream, '-') - 1) END
    ) VIRTUAL,
    UNIQUE (stream, revision)
) STRICT;

-- An index entry ends with the row's position by itself, so both give their events in order.
CREATE INDEX event_category ON event (category);
CREATE INDEX event_type ON event (type);

CREATE TABLE stream (
    name     TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_head (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    position   INTEGER NOT NULL,
    tail_hash  BLOB    NOT NULL,
    epoch      INTEGER NOT NULL,
    min_reader INTEGER NOT NULL
) STRICT;

INSERT INTO log_head (one, position, tail_hash, epoch, min_reader) VALUES (1, 0, zeroblob(32), 1, 1);

CREATE TABLE secret (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE api_token (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE console_sign_in (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the epoch of a node is never given twice, not even after its row was removed.
CREATE TABLE node (
    epoch INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT    NOT NULL,
    url   TEXT,
    beat  INTEGER NOT NULL
) STRICT;

CREATE TABLE consumer (
    name     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL,
    holder   INTEGER,
    fence    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rate_window (
    account      TEXT    NOT NULL,
    window_start INTEGER NOT NULL,
    node         TEXT    NOT NULL,
    used         INTEGER NOT NULL,
    PRIMARY KEY (account, window_start, node)
) STRICT, WITHOUT ROWID;
