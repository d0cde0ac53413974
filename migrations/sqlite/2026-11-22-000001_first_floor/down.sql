DROP TABLE outbox;
DROP TABLE limits;
DROP TABLE sessions;
DROP TABLE links;
DROP TABLE invitations;
DROP TABLE users;
