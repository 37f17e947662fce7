"""Optimizers with their parameter groups, and schedules of the learning rate."""

from pipeline.optim.optimizers import build_optimizer
from pipeline.optim.schedules import Schedule, build_schedule, schedule_factor

__all__ = ["Schedule", "build_optimizer", "build_schedule", "schedule_factor"]
