"""Builds of what is released: scripts/build."""
