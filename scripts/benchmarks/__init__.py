"""What `scripts/bench` measures, one subject a file, and the page that it writes."""
