"""Four kinds of stacks: keys, a cell and a watch in each Region, and the log in the home Region."""
