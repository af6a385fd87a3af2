"""Three kinds of stack: keys and a cell in each Region, the log in the home Region."""
