"""The supersedes links: what sets them, and what sets them back."""
