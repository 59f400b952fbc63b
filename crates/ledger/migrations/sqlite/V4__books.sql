-- What became of a letter, whoever did it: one letter with a history, however often it dies.
CREATE TABLE letter_history (
    -- What happened in one microsecond is told in the order in which it was written down.
    n        INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline TEXT    NOT NULL,
    key      BLOB    NOT NULL,
    replays  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    who      TEXT,
    what     TEXT    NOT NULL
        CONSTRAINT letter_history_what CHECK (what IN ('died', 'replayed', 'discarded', 'superseded')),
    reason   TEXT
) STRICT;

CREATE INDEX letter_history_letter ON letter_history (pipeline, key);

INSERT INTO letter_history (pipeline, key, replays, at, what, reason)
    SELECT pipeline, key, replays, dead_at, 'died', reason FROM dead_letters;

-- As in Postgres: lists, retention, and the dead ones by themselves.
CREATE INDEX dead_letters_by_time ON dead_letters (dead_at, pipeline, key);
CREATE INDEX dead_letters_dead ON dead_letters (dead_at, pipeline, key, class) WHERE state = 'dead';
CREATE INDEX dead_letters_event ON dead_letters (event_id);
CREATE INDEX dead_letters_key ON dead_letters (key);

-- For retention, and for the books of a window of time. New entries all go to its last page.
CREATE INDEX processed_webhooks_by_time ON processed_webhooks (processed_at);

-- A suspect nobody files or clears is forgotten like anything else.
ALTER TABLE suspects ADD COLUMN started_at INTEGER NOT NULL DEFAULT 0;
UPDATE suspects SET started_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER);
