"""One verb a file: takes ports, decides with the model, knows no service of AWS."""
