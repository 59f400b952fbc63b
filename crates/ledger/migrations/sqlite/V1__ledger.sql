-- The same tables as in Postgres. Times are microseconds since 1970, keys and hashes are blobs.

-- Which events have been applied. The primary key, in the transaction of the effects, is the one authority.
CREATE TABLE processed_webhooks (
    key              BLOB    NOT NULL PRIMARY KEY,
    pipeline         TEXT    NOT NULL,
    source           TEXT    NOT NULL,
    event_id         TEXT    NOT NULL,
    signature_digest BLOB,
    body_sha256      BLOB    NOT NULL,
    payload          BLOB    NOT NULL,
    received_at      INTEGER NOT NULL,
    processed_at     INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    attempt          INTEGER NOT NULL,
    worker           TEXT    NOT NULL
) STRICT;

-- The replay guard. Partial: most sources sign the event id and have no digest.
CREATE UNIQUE INDEX processed_webhooks_signature ON processed_webhooks (pipeline, source, signature_digest)
    WHERE signature_digest IS NOT NULL;

-- Not unique on the event: an event applied twice has to show.
CREATE TABLE payments (
    event_id    TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    order_id    TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    currency    TEXT,
    status      TEXT    NOT NULL,
    occurred_at INTEGER,
    created_at  INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE INDEX payments_event ON payments (source, event_id);

CREATE TABLE orders (
    order_id            TEXT    NOT NULL PRIMARY KEY,
    status              TEXT    NOT NULL,
    amount              INTEGER NOT NULL,
    currency            TEXT,
    version             INTEGER NOT NULL,
    version_received_at INTEGER NOT NULL,
    applied_events      INTEGER NOT NULL,
    amount_total        INTEGER NOT NULL,
    created_at          INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    updated_at          INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE dead_letters (
    pipeline   TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    replays    INTEGER NOT NULL,
    event_id   TEXT,
    source     TEXT,
    reason     TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    payload    BLOB    NOT NULL,
    headers    TEXT    NOT NULL,
    first_seen INTEGER NOT NULL,
    dead_at    INTEGER NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'dead'
        CONSTRAINT dead_letters_state CHECK (state IN ('dead', 'replayed', 'discarded', 'superseded')),
    PRIMARY KEY (pipeline, key)
) STRICT;
