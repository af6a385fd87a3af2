"""What operators do: dead letters, parked keys, replays, skips, restores, failovers."""
