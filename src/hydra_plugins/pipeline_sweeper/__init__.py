"""Hydra's sweeper over Optuna 5. Hydra accepts plugins from here only; the logic is in `pipeline.sweep`."""
