"""Training with Lightning: the only room that knows it."""

import os

from pipeline.training import lazy_dynamo, lazy_packages, lazy_torchmetrics

# Products of matrices then have the same bits with one thread as with several. MKL reads it when it
# is used for the first time.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# Before the first module of this room imports Lightning.
lazy_packages.install(lazy_torchmetrics.RECIPE)
lazy_packages.install(lazy_dynamo.RECIPE)
