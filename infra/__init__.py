"""The deployment: what a definition becomes in an account, as CDK stacks. It names nothing that topology does not."""
