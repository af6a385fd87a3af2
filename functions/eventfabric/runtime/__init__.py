"""Lambda glue: the input of an invocation, the ports that it uses, and the answer that Lambda understands."""
