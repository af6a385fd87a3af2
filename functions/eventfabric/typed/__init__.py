"""Typed code: a payload class to its JSON Schema, and schemas to the source of classes. It stays on your machine."""
