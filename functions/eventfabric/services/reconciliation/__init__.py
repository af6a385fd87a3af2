"""Reconciliation: find what got stuck, ring for it again, and report what is wrong."""
