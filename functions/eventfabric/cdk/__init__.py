"""The deployment as constructs of the CDK. Never shipped to Lambda."""
