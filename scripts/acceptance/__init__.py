"""The acceptance test: deploys a fabric with the CDK's command line, publishes, breaks, redeploys and destroys it."""
