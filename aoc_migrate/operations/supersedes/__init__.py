"""The supersedes links: setting them, and setting them back."""
