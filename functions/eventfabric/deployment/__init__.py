"""Declarations of a deployment, as data: alarms, permissions, cost and the state machine. Not shipped to Lambda."""
