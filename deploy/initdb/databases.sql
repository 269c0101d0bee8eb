-- PostgreSQL's image runs this once, in an empty data folder; POSTGRES_DB has already created concelier.
CREATE DATABASE excititor;
