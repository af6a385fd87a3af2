"""Test support: memory adapters, local fabric, simulator, pytest plugin. Laptop only; never shipped to Lambda."""
