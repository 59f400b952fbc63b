-- How often a captured request came again: its copies, whatever id each came under, are one letter. A copy that
-- is archived twice, because an archiver died before its ack, counts twice.
ALTER TABLE dead_letters ADD COLUMN copies bigint NOT NULL DEFAULT 1;
