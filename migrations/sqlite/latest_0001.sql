-- Newest figures and thumbnails, in a file of their own: nothing is lost when it is deleted.
CREATE TABLE IF NOT EXISTS latest (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
