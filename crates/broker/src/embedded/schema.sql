-- The embedded broker's file, schema 1.

-- Every queue the topology ever named, and how much lies in it. The counts are kept by triggers, so they
-- hold for rows of other processes too, and nobody has to count a million rows once a second.
CREATE TABLE queue (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    queued  INTEGER NOT NULL DEFAULT 0, -- ready and handed out
    delayed INTEGER NOT NULL DEFAULT 0, -- will join this queue when they are due
    unacked INTEGER NOT NULL DEFAULT 0  -- of the queued: handed out, noted by whoever hands out
) STRICT;

-- An event, once. What lies in queues refers to it, and so does the journal: a body is written once.
CREATE TABLE event (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    wire TEXT NOT NULL, -- its properties and headers, JSON
    body BLOB NOT NULL
) STRICT;

-- Everything the door accepted, in order. `stored_at` in microseconds since 1970.
CREATE TABLE journal (
    event     INTEGER PRIMARY KEY REFERENCES event,
    stored_at INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) STRICT;
CREATE TABLE journal_size (bytes INTEGER NOT NULL) STRICT;
INSERT INTO journal_size VALUES (0);

-- What waits in a queue or is in somebody's hands. AUTOINCREMENT, because a queue is read by a cursor that
-- only goes up: an id used again below it would never be seen.
CREATE TABLE queued (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      INTEGER NOT NULL,
    event      INTEGER NOT NULL REFERENCES event,
    wire       TEXT,                      -- a copy's own headers; else the event's
    deliveries INTEGER NOT NULL DEFAULT 0 -- how often it was handed out
) STRICT;
CREATE INDEX queued_by_queue ON queued (queue);
CREATE INDEX queued_by_event ON queued (event);

-- What joins a queue later, at its end. `due_at` in microseconds since 1970.
CREATE TABLE delayed (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    queue  INTEGER NOT NULL,
    event  INTEGER NOT NULL REFERENCES event,
    wire   TEXT,
    due_at INTEGER NOT NULL
) STRICT;
CREATE INDEX delayed_by_due_at ON delayed (due_at);
CREATE INDEX delayed_by_event ON delayed (event);

CREATE TRIGGER queued_in AFTER INSERT ON queued
    BEGIN UPDATE queue SET queued = queued + 1 WHERE id = NEW.queue; END;
CREATE TRIGGER queued_out AFTER DELETE ON queued
    BEGIN UPDATE queue SET queued = queued - 1 WHERE id = OLD.queue; END;
CREATE TRIGGER delayed_in AFTER INSERT ON delayed
    BEGIN UPDATE queue SET delayed = delayed + 1 WHERE id = NEW.queue; END;
CREATE TRIGGER delayed_out AFTER DELETE ON delayed
    BEGIN UPDATE queue SET delayed = delayed - 1 WHERE id = OLD.queue; END;
CREATE TRIGGER journal_in AFTER INSERT ON journal
    BEGIN UPDATE journal_size SET bytes = bytes + NEW.bytes; END;
CREATE TRIGGER journal_out AFTER DELETE ON journal
    BEGIN UPDATE journal_size SET bytes = bytes - OLD.bytes; END;
