"""The parts that users import: publishing on one side, handlers on the other."""
