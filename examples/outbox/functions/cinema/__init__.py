"""A cinema: its box office, which sells seats, and the tickets that follow from a sale."""
