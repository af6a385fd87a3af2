"""Fixtures for tests against a local fabric, loaded by pytest wherever this package is installed."""
