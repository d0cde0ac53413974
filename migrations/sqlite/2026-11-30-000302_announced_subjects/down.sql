ALTER TABLE announced DROP COLUMN subject;
