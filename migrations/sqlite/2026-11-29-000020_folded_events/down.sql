DROP INDEX events_by_name;
ALTER TABLE events DROP COLUMN count;
