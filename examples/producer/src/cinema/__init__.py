"""The box office of a cinema, which publishes what it does to the cinema's fabric."""
