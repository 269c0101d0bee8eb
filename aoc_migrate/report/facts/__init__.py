"""The facts of reports, by subject: one frozen dataclass for each group of facts."""
