DROP TABLE known_programs;
