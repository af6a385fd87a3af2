"""Stacks: in each Region keys, a cell, one for each subscription, and watches; in the home Region the log."""
