"""What `scripts/bench` measures, one file for each subject, and the page that it writes."""
