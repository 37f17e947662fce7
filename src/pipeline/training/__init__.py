"""Training with Lightning: the only room that knows it."""
