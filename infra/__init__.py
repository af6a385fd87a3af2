"""The deployment of a definition, as CDK stacks. All names of resources come from the topology."""
