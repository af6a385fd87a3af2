"""The handlers of the acceptance test."""
