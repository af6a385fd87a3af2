"""What runs on a laptop only: memory adapters, local fabric, simulator, pytest plugin. Never shipped to Lambda."""
