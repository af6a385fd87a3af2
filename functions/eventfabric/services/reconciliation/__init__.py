"""Reconciliation: find what got stuck, ring for it again, and tell what is wrong."""
