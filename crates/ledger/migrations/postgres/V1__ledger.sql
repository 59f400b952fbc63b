-- Which events have been applied. The primary key, in the transaction of the effects, is the one authority.
CREATE TABLE processed_webhooks (
    key              bytea       PRIMARY KEY,
    pipeline         text        NOT NULL,
    source           text        NOT NULL,
    event_id         text        NOT NULL,
    signature_digest bytea,
    body_sha256      bytea       NOT NULL,
    -- bytea, not jsonb: jsonb refuses \u0000, deep nesting and 1e400000, and forgets what was signed.
    payload          bytea       NOT NULL,
    received_at      timestamptz NOT NULL,
    processed_at     timestamptz NOT NULL DEFAULT now(),
    attempt          integer     NOT NULL,
    worker           text        NOT NULL
);

-- The replay guard. Partial: most sources sign the event id and have no digest.
CREATE UNIQUE INDEX processed_webhooks_signature ON processed_webhooks (pipeline, source, signature_digest)
    WHERE signature_digest IS NOT NULL;

-- Not unique on the event: an event applied twice has to show.
CREATE TABLE payments (
    event_id    text        NOT NULL,
    source      text        NOT NULL,
    order_id    text        NOT NULL,
    amount      bigint      NOT NULL,
    currency    text,
    status      text        NOT NULL,
    occurred_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX payments_event ON payments (source, event_id);

-- An order is updated once per batch and no indexed column changes: with room left on its page the update
-- stays there and touches no index.
CREATE TABLE orders (
    order_id            text        PRIMARY KEY,
    status              text        NOT NULL,
    amount              bigint      NOT NULL,
    currency            text,
    version             timestamptz NOT NULL,
    version_received_at timestamptz NOT NULL,
    applied_events      bigint      NOT NULL,
    amount_total        bigint      NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE dead_letters (
    pipeline   text        NOT NULL,
    key        bytea       NOT NULL,
    replays    bigint      NOT NULL,
    event_id   text,
    source     text,
    reason     text        NOT NULL,
    class      text        NOT NULL,
    error      text        NOT NULL,
    attempts   integer     NOT NULL,
    payload    bytea       NOT NULL,
    -- json, not jsonb: a foreign header may hold \u0000, and a letter must never be refused.
    headers    json        NOT NULL,
    first_seen timestamptz NOT NULL,
    dead_at    timestamptz NOT NULL,
    state      text        NOT NULL DEFAULT 'dead'
        CONSTRAINT dead_letters_state CHECK (state IN ('dead', 'replayed', 'discarded', 'superseded')),
    PRIMARY KEY (pipeline, key)
);
