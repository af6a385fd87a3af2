"""The acceptance test: a fabric deployed by the CDK's command line, published to, broken, redeployed and destroyed."""
