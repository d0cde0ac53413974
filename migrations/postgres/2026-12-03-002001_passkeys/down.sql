DROP TABLE answered_challenges;
DROP TABLE passkeys;
