"""What works without a connection, or instead of one: plans, psql scripts, evidence and the Offline Kit."""
