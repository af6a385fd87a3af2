"""A loyalty programme: guests collect points for their visits."""
