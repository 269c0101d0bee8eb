"""A throwaway real PostgreSQL with advisories in it, for a demo and for tests."""
