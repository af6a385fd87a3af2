"""What is declared of a deployment: alarms, permissions, cost and the state machine; never in Lambda."""
