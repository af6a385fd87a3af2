"""The stock of the depot: the handlers of its fabric."""
