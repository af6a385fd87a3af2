"""The simulator: a whole fabric on the memory adapters, in which one seed decides everything. Never in Lambda."""
