-- How many workers each pipeline was last desired to have: all control servers agree on it, and a restart
-- goes on from it.
CREATE TABLE scaling (
    pipeline        text        PRIMARY KEY,
    desired_workers bigint      NOT NULL,
    -- Goes up with each change, so that of two who change it at once one does.
    revision        bigint      NOT NULL,
    changed_at      timestamptz NOT NULL
);
