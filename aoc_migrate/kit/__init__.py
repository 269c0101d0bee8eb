"""The Offline Kit."""
