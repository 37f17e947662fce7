"""One fault a file. `RULES` holds them in the order in which causes come before consequences."""

from pipeline.diagnosis.rules import (
    dead_units,
    exploding_gradients,
    label_noise,
    learning_rate_too_high,
    learning_rate_too_low,
    not_learning,
    over_regularized,
    overfitting,
    underfitting,
    undertrained,
    vanishing_gradients,
)
from pipeline.diagnosis.rules.card import Rule

RULES: tuple[Rule, ...] = (
    exploding_gradients.RULE,
    vanishing_gradients.RULE,
    over_regularized.RULE,
    learning_rate_too_high.RULE,
    dead_units.RULE,
    learning_rate_too_low.RULE,
    not_learning.RULE,
    label_noise.RULE,
    overfitting.RULE,
    undertrained.RULE,
    underfitting.RULE,
)
