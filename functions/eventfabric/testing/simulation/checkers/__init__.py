"""The checkers: one file each, named for the anomaly that it looks for; pure functions of a history."""
