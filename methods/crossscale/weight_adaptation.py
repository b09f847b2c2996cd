"""Adaptation to the pair at hand as UDIS++ does it (Nie et al. 2023, "iterative optimization"): by the weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import geometry
from . import losses

if TYPE_CHECKING:
    from .network import CrossScale, Prediction

LEARNING_RATE = 1e-4
DECAY = 0.97
"""Of the learning rate, in each step."""
LARGEST_GRADIENT = 3.0
SETTLED = 1e-4
"""A change of the loss no larger than this is none."""
PATIENCE = 3
"""Successive steps without a change after which the loss has settled."""


def adapt_weights(model: CrossScale, reference: Tensor, source: Tensor, steps: int) -> Prediction:
    """The prediction after Adam steps on a copy of the weights, which lower the mesh term of the content loss.

    The prediction with the lowest loss is returned, which may be the first. The model itself stays as it is. UDIS++
    takes up to 50 steps, for one pair at a time; a batch shares its steps.

    Args:
        model: in evaluation mode, so that each step sees the same network.
        reference: `(B, 3, S, S)` in [0, 1] at the working size.
        source: the same.
        steps: at most so many; 0 for the model's own prediction.
    """
    # Tensors made in inference mode, as `align` is, cannot take part in a gradient; copies of them can.
    with torch.inference_mode(False), torch.enable_grad():
        reference, source = reference.clone(), source.clone()
        model = copy.deepcopy(model)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(weights, LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY)
        best = prediction = model.predict(reference, source)
        loss = _mesh_term(prediction, reference, source)
        lowest, settled = loss.item(), 0
        for _ in range(steps):
            before = loss.item()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            prediction = model.predict(reference, source)
            loss = _mesh_term(prediction, reference, source)
            if loss.item() < lowest:
                lowest, best = loss.item(), prediction
            settled = settled + 1 if abs(loss.item() - before) <= SETTLED else 0
            if settled == PATIENCE:
                break
    return _detached(best)


def _mesh_term(prediction: Prediction, reference: Tensor, source: Tensor) -> Tensor:
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    positions = losses.mesh_positions(prediction.mesh, size)
    warped = geometry.sample(source * 2 - 1, positions)
    mask = geometry.coverage(positions, size)[:, None]
    return losses.content_loss(reference * 2 - 1, source * 2 - 1, warped, mask, prediction.homography, 0.0)


def _detached(prediction: Prediction) -> Prediction:
    values = {name: value.detach() if isinstance(value, Tensor) else value for name, value in vars(prediction).items()}
    return type(prediction)(**values)
