"""Scripts for psql, from the same Steps."""
