"""Numbers that the network's signals show: updates, gradients, weights and silent units."""

from __future__ import annotations

import numpy as np

from pipeline.diagnosis.measured import Measured, measurement
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import SHARE

# A gradient this much smaller than the largest one may have faded to exactly zero in 32 bits.
FADED = 1e-20

# --- size of the steps ----------------------------------------------------------------------------


@measurement("largest step, relative to the weights", unit="×", log=True)
def largest_update_ratio(run: MeasuredRun) -> Measured:
    """Size of an epoch's last step over that of the weights: median layer, largest epoch."""
    ratios = _update_ratios(run)
    layers = np.nanmedian(ratios[~np.all(np.isnan(ratios), axis=1)], axis=1)
    return Measured(float(np.nanmax(layers)), epochs=run.span(0, run.last))


@measurement("typical step, relative to the weights", unit="×", log=True)
def typical_update_ratio(run: MeasuredRun) -> Measured:
    """Size of an epoch's last step over that of the weights: median of layers and epochs."""
    return Measured(float(np.nanmedian(_update_ratios(run))), epochs=run.span(0, run.last))


def _update_ratios(run: MeasuredRun) -> np.ndarray:
    """Size of each epoch's last step over that of its weights ``[E, L]``."""
    rows = [run.row(index) for index in range(run.num_epochs)]
    ratios = run.signal("layers/last_update_ratio")[rows].astype(np.float64)
    if np.all(np.isnan(ratios)):
        raise Missing("updates of the weights")
    return ratios


# --- weights and penalties ------------------------------------------------------------------------


@measurement("largest growth of a layer's weights in the first epoch", unit="×", log=True)
def weight_growth(run: MeasuredRun) -> Measured:
    """Norm of a layer's weights after the first epoch over that before it; the largest ratio."""
    before = run.before_training("layers/weight_norm")
    after = run.signal("layers/weight_norm")[run.row(0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(before > 0, after / before, np.nan)
    if np.all(np.isnan(ratios)):
        raise Missing("weights that are not zero")
    return Measured(float(np.nanmax(ratios)), epochs=run.span(0, 0))


@measurement("share of layers whose weights are all zero before training", unit=SHARE)
def zero_layer_share(run: MeasuredRun) -> Measured:
    """Share of the layers whose weights are all zero before the first step."""
    return Measured(float((run.before_training("layers/weight_norm") == 0).mean()))


@measurement("share of the gradient that comes from penalties", unit=SHARE, log=True)
def penalty_gradient_share(run: MeasuredRun) -> Measured:
    """Share of the penalties in the gradient; the median of the epochs, because it fluctuates."""
    shares = run.signal("penalty_gradient_share")[run.moments >= 0].astype(np.float64)
    if np.all(np.isnan(shares)):
        raise Missing("the penalties' share in the gradient")
    return Measured(float(np.nanmedian(shares)), epochs=run.span(0, run.last))


# --- silent units ---------------------------------------------------------------------------------


@measurement("share of silent units", unit=SHARE)
def silent_unit_share(run: MeasuredRun) -> Measured:
    """Largest share of a layer's units that are zero on every image at both last moments."""
    layer, share = _worst_layer(run)
    span = run.span(run.last - 1, run.last)
    return Measured(share, epochs=span, words=f"share of silent units in {run.activations[layer]}")


@measurement("number of silent units in that layer")
def num_silent_units(run: MeasuredRun) -> Measured:
    """As `silent_unit_share`, as a number of units."""
    layer, share = _worst_layer(run)
    number = share * int(run.signal("units/num_units")[layer])
    return Measured(number, epochs=run.span(run.last - 1, run.last))


@measurement("largest share of a layer's units that are silent before training", unit=SHARE)
def initial_silent_share(run: MeasuredRun) -> Measured:
    """Share of units that are silent before the first step, in the worst layer."""
    return Measured(_initial_silent_share(run))


@measurement("share of units that fell silent during training", unit=SHARE)
def fallen_silent_share(run: MeasuredRun) -> Measured:
    """`silent_unit_share` minus the share that was silent before the first step."""
    layer, share = _worst_layer(run)
    return Measured(
        share - _initial_silent_share(run),
        epochs=run.span(run.last - 1, run.last),
        words=f"share of units in {run.activations[layer]} that fell silent during training",
    )


def _worst_layer(run: MeasuredRun) -> tuple[int, float]:
    """Index and share of the layer with the most units that are silent at both last moments."""
    shares = run.signal("units/dead").astype(np.float64)
    if shares.shape[1] == 0 or len(shares) < 2:
        raise Missing("units that can be silent")
    twice = np.minimum(shares[-2], shares[-1])
    worst = int(np.nanargmax(np.where(np.isnan(twice), -1, twice)))
    return worst, float(twice[worst])


def _initial_silent_share(run: MeasuredRun) -> float:
    shares = run.before_training("units/dead")
    return float(np.nanmax(shares)) if shares.size else 0.0


# --- gradients before training --------------------------------------------------------------------


@measurement("gradient of the first layer, relative to the last hidden layer", unit="×", log=True)
def gradient_depth_ratio(run: MeasuredRun) -> Measured:
    """Gradient norm, per root of a layer's weights, of the first layer over the last but one.

    1 means that depth changes nothing.
    """
    norms = run.signal("layers/gradient_norm")[0].astype(np.float64)
    scaled = norms / np.sqrt(run.signal("layers/num_weights"))
    scaled = scaled[~np.isnan(scaled)]
    if len(scaled) < 3:
        raise Missing("three layers")
    return Measured(float(scaled[0] / scaled[-2]) if scaled[-2] > 0 else 0.0)


@measurement("gradient at the first time step, relative to the last", unit="×", log=True)
def gradient_time_ratio(run: MeasuredRun) -> Measured:
    """Gradient norm at the first time step over that at the last."""
    norms = run.signal("time_step/gradient_norm")[0].astype(np.float64)
    return Measured(float(norms[0] / norms[-1]) if norms[-1] > 0 else 0.0)


@measurement("share of time steps that no gradient reaches before training", unit=SHARE)
def cut_time_step_share(run: MeasuredRun) -> Measured:
    """Share of the time steps whose gradient is exactly zero before the first step.

    A product of small factors is zero only below the smallest float. So a zero beside a sizeable
    gradient shows silent units. Where the gradient faded out step by step, the share is 0.
    """
    norms = run.before_training("time_step/gradient_norm")
    reached = norms[norms > 0]
    if len(reached) == 0 or reached.min() < FADED * reached.max():
        return Measured(0.0)
    return Measured(float(np.mean(norms == 0)))
