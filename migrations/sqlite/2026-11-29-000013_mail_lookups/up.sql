-- What an owner exports, and what is taken back with an account: by the address, and by the links that lead to it.
CREATE INDEX outbox_by_email ON outbox (email);
CREATE INDEX outbox_by_link ON outbox (link_hash) WHERE link_hash IS NOT NULL;
