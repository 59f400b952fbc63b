-- What became of a letter, whoever did it: one letter with a history, however often it dies.
CREATE TABLE letter_history (
    pipeline text        NOT NULL,
    key      bytea       NOT NULL,
    -- What happened in one microsecond is told in the order in which it was written down.
    n        bigint      GENERATED ALWAYS AS IDENTITY,
    replays  bigint      NOT NULL,
    at       timestamptz NOT NULL,
    who      text,
    what     text        NOT NULL
        CONSTRAINT letter_history_what CHECK (what IN ('died', 'replayed', 'discarded', 'superseded')),
    reason   text,
    PRIMARY KEY (pipeline, key, n)
);

INSERT INTO letter_history (pipeline, key, replays, at, what, reason)
    SELECT pipeline, key, replays, dead_at, 'died', reason FROM dead_letters;

-- Lists go from the newest back, retention from the oldest on. The dead ones have an index to themselves:
-- they are what is asked for, and must be found quickly among many that were dealt with. Its last column
-- is for the gauge, which then reads no letter.
CREATE INDEX dead_letters_by_time ON dead_letters (dead_at, pipeline, key);
CREATE INDEX dead_letters_dead ON dead_letters (dead_at, pipeline, key, class) WHERE state = 'dead';
CREATE INDEX dead_letters_event ON dead_letters (event_id);
CREATE INDEX dead_letters_key ON dead_letters (key);

-- For retention, and for the books of a window of time. A B-tree, not a BRIN: both walk in order and stop
-- at a limit, which a BRIN cannot, and once rows are deleted their places are filled with new ones, which
-- makes a BRIN useless. It costs little on the way of an event: its new entries all go to the last page,
-- and a batch, whose rows have one time, is one entry with a list of places.
CREATE INDEX processed_webhooks_by_time ON processed_webhooks (processed_at);

-- A suspect nobody files or clears is forgotten like anything else.
ALTER TABLE suspects ADD COLUMN started_at timestamptz NOT NULL DEFAULT now();
