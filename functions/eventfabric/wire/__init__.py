"""Codecs from the model to stored items and messages, and back. One file for each kind of item or message."""
