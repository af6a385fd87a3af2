"""Catalogue: reading what is deployed from the log, and declaring it there."""
