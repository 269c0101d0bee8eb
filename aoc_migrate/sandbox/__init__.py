"""A throwaway PostgreSQL with advisories, for the demo and for tests."""
