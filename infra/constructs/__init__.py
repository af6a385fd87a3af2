"""Small constructs, one for each thing that stacks are made of."""
