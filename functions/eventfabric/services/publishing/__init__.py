"""Publishing: append to a lane, and post through an outbox."""
