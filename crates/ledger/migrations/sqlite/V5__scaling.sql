-- As in Postgres: how many workers each pipeline was last desired to have.
CREATE TABLE scaling (
    pipeline        TEXT    PRIMARY KEY,
    desired_workers INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL
) STRICT;
