"""The definition: what a fabric is declared to be, how that is read from a file, checked and explained."""
