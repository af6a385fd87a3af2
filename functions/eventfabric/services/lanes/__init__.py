"""What several services ask of a lane: where it ends, where a record is, how a subscription stands in it."""
