"""PostgreSQL: where the targets are, a session with its lock, online DDL, and reads of the catalog."""
