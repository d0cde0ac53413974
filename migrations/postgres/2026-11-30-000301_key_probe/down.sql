DROP TABLE key_probe;
