"""PostgreSQL: targets and limits, the session and its lock, the throttle and batches, and reads of the catalog."""
