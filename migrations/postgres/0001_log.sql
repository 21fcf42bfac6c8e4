-- The log, its head, the side rows that commit with it, and the rows of nodes and consumers.
-- Names are compared byte by byte (COLLATE "C"), as SQLite does.

CREATE TABLE event (
    position    bigint   PRIMARY KEY,
    stream      text     COLLATE "C" NOT NULL,
    revision    bigint   NOT NULL,
    id          uuid     NOT NULL UNIQUE,
    type        text     COLLATE "C" NOT NULL,
    data        bytea    NOT NULL,
    meta        bytea    NOT NULL,
    codec       smallint NOT NULL,
    recorded_at bigint   NOT NULL,
    leaf_hash   bytea    NOT NULL,
    UNIQUE (stream, revision)
);

CREATE INDEX event_category ON event (split_part(stream, '-', 1), position);
CREATE INDEX event_type ON event (type, position);

CREATE TABLE stream (
    name     text   COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE log_head (
    one        integer PRIMARY KEY CHECK (one = 1),
    position   bigint  NOT NULL,
    tail_hash  bytea   NOT NULL,
    epoch      bigint  NOT NULL,
    min_reader integer NOT NULL
) WITH (fillfactor = 10);

INSERT INTO log_head (one, position, tail_hash, epoch, min_reader)
VALUES (1, 0, decode(repeat('00', 32), 'hex'), 1, 1);

CREATE TABLE secret (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE api_token (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE console_sign_in (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE idempotency (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);

-- An identity: the epoch of a node is never given twice, not even after its row was removed.
CREATE TABLE node (
    epoch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text   NOT NULL,
    url   text,
    beat  bigint NOT NULL
);

CREATE TABLE consumer (
    name     text   COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    holder   bigint,
    fence    bigint NOT NULL
);

CREATE TABLE rate_window (
    account      text   COLLATE "C" NOT NULL,
    window_start bigint NOT NULL,
    node         text   COLLATE "C" NOT NULL,
    used         bigint NOT NULL,
    PRIMARY KEY (account, window_start, node)
);

-- Newest figures and thumbnails. Unlogged: nothing is lost when it is emptied by a crash.
CREATE UNLOGGED TABLE latest (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
