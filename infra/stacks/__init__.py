"""Four kinds of stack: keys, a cell and a watch in each Region, the log in the home Region."""
