"""What keeps Regions equal, tells where they are not, moves lanes between them, and proves what was handled."""
