"""Services: the verbs of the fabric, one a file. They take ports, decide with the model, and know no service of AWS."""
