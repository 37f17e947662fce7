"""Hydra's sweeper over Optuna 5. Hydra takes plugins from here; `pipeline.sweep` is the logic."""
