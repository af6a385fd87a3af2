"""The command line. Never shipped to Lambda."""
