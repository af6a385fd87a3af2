"""Small constructs of which the stacks are made, one for each kind of resource."""
