"""Code of custom resources, deployed inline."""
