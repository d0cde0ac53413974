DROP TABLE announced;
ALTER TABLE users DROP COLUMN announcements;
ALTER TABLE users DROP COLUMN usual_networks_only;
ALTER TABLE users DROP COLUMN notification_links;
ALTER TABLE users DROP COLUMN signed_links_epoch;
