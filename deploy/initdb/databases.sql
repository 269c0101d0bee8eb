-- PostgreSQL's image runs this once, in an empty data folder; POSTGRES_DB has made concelier already.
CREATE DATABASE excititor;
