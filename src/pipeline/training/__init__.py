"""Training with Lightning: the only room that knows it."""

import os

from pipeline.training import lazy_torchmetrics

# Products of matrices then have the same bits with one thread as with several. MKL reads it when it
# is used for the first time.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

lazy_torchmetrics.install()  # before the first module of this room imports Lightning
