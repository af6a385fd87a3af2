"""Proof: say what was delivered, and hold it against the log."""
