"""Lanes: questions that several services ask of a lane: where it ends, where a record stands, who delivers it."""
