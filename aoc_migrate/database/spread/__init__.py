"""Spread tables: a raw table that is partitioned, or belongs to a Citus cluster, or both."""
