"""Training with Lightning: the only room that knows it."""

from pipeline.training import lazy_torchmetrics

lazy_torchmetrics.install()  # before the first module of this room imports Lightning
