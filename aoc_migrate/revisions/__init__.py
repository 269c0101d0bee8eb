"""The revisions of each target: their order, and the Steps of each."""
