"""What is deployed, as a fact in the log: reading it, declaring it, and refusing what would lose something."""
