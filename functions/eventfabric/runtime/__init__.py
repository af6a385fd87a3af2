"""Lambda glue: what an invocation is told, the ports it uses, and the answer that Lambda understands."""
