-- Events that were in hand when workers died, with how often the handler was given each without coming back.
CREATE TABLE suspects (
    key    BLOB    NOT NULL PRIMARY KEY,
    starts INTEGER NOT NULL
) STRICT;
