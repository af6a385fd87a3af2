"""Proof: compare what was delivered with the log."""
