"""Scripts for psql, made from the same Steps."""
