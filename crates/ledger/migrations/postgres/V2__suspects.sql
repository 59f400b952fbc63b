-- Events that were in hand when workers died, with how often the handler was given each without coming back.
CREATE TABLE suspects (
    key    bytea   PRIMARY KEY,
    starts integer NOT NULL
);
