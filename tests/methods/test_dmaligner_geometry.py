"""What optical flow contributes: the warped source, kept pixels, and confirmation of what was drawn."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from raylign.methods import geometry
from raylign.methods.dmaligner.geometry_condition import (
    confirmed_share,
    flow_matches,
    flow_warped,
    in_source_light,
    kept_pixels,
    motion_off_plane,
    plane_of,
    rightness,
    share_loss,
)
from tests.methods.test_flow_baselines import texture

SIZE = (112, 144)
INSIDE = (slice(None), slice(None), slice(14, -14), slice(14, -14))


def shifted_pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A reference, and a source that shows at (x + 3, y - 2) what the reference shows at (x, y)."""
    height, width = SIZE
    wide = texture(seed, (height + 10, width + 10))
    return wide[..., 5 : 5 + height, 6 : 6 + width], wide[..., 7 : 7 + height, 3 : 3 + width]


def blurred(picture: Tensor) -> Tensor:
    smooth = cv2.GaussianBlur(picture[0].permute(1, 2, 0).numpy(), (0, 0), 1.0)
    return torch.from_numpy(np.ascontiguousarray(smooth.transpose(2, 0, 1)))[None]


def test_the_source_comes_to_the_reference_in_its_own_light() -> None:
    reference, source = shifted_pair()
    warped, agreement = flow_warped(reference, 0.4 * source + 0.1)
    assert warped.shape == reference.shape
    assert agreement.shape == (1, 1, *SIZE)
    assert set(agreement.unique().tolist()) <= {0.0, 1.0}
    assert agreement[INSIDE].mean() > 0.98
    gap = (warped - (0.4 * reference + 0.1)).abs()[INSIDE]
    assert gap.mean() < 0.005
    assert gap.max() < 0.05


def test_what_the_source_does_not_show_does_not_agree() -> None:
    reference, source = shifted_pair()
    hidden = reference.clone()
    hidden[..., 40:80, 50:100] = texture(7, SIZE)[..., 40:80, 50:100]
    _, agreement = flow_warped(hidden, source)
    assert agreement[..., 44:76, 54:96].mean() < 0.5
    assert agreement[..., 14:30, 14:-14].mean() > 0.95


def test_the_plane_leaves_what_moved_where_the_source_has_it() -> None:
    reference, source = shifted_pair()
    thing = texture(7, (24, 24))
    seen = reference.clone()
    seen[..., 30:54, 40:64] = thing
    # In the source's frame the background is moved by (3, -2); the thing has moved by 8 more.
    moved = source.clone()
    moved[..., 28:52, 51:75] = thing
    wanted = reference.clone()
    wanted[..., 30:54, 48:72] = thing
    matches = flow_matches(seen, moved)
    plane = plane_of(matches)
    flown, flat = geometry.sample(moved, matches.positions), geometry.warp_by_homography(moved, plane, SIZE)[0]
    place = (slice(None), slice(None), slice(32, 52), slice(50, 70))
    assert (flat - wanted)[place].abs().mean() < 0.01
    assert (flown - wanted)[place].abs().mean() > 0.05
    assert (flat - wanted)[INSIDE].abs().mean() < 0.01
    # Where it was and where it is: 8 pixels off the plane there, and 8 the other way back.
    motion = motion_off_plane(matches, plane)
    assert motion.shape == (1, 4, *SIZE)
    left, reached = motion[0, :2, 34:50, 42:47].mean((1, 2)), motion[0, 2:, 34:50, 58:68].mean((1, 2))
    torch.testing.assert_close(left, torch.tensor([8 / 12, 0.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(reached, torch.tensor([-8 / 12, 0.0]), atol=0.05, rtol=0)
    assert motion[0, :, 64:-16, 16:-16].abs().mean() < 0.02
    # Nothing agrees: as it lies.
    lost = matches._replace(agrees=torch.zeros_like(matches.agrees))
    assert torch.equal(plane_of(lost), torch.eye(3, dtype=torch.float64)[None])


def test_motion_off_a_plane_that_is_seen_from_its_edge_is_finite() -> None:
    matches = flow_matches(*shifted_pair())
    edge = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1 / 32, 0, 1]]], dtype=torch.float64)
    motion = motion_off_plane(matches, edge)
    assert motion.isfinite().all()
    assert motion.abs().max() <= 1


def test_the_reference_takes_the_light_of_the_source() -> None:
    reference, source = (0.2 + 0.5 * picture for picture in shifted_pair())
    gain = torch.tensor([0.5, 0.9, 1.3])[None, :, None, None]
    hidden = source.clone()
    hidden[..., 40:70, 50:90] = texture(7, SIZE)[..., 40:70, 50:90]
    matches = flow_matches(reference, gain * hidden)
    agrees = matches.agrees
    warped = geometry.sample(gain * hidden, matches.positions)
    lit = in_source_light(reference, warped, agrees)
    # Also where the source shows something else.
    assert (lit - (gain * reference).clamp(0, 1)).abs().max() < 0.05
    assert (lit - (gain * reference).clamp(0, 1)).abs().mean() < 0.01
    assert torch.equal(in_source_light(reference, warped, torch.zeros_like(agrees)), reference)
    black = torch.zeros_like(reference)
    assert torch.equal(in_source_light(black, warped, agrees), black)


def test_the_more_right_picture_has_the_greater_share() -> None:
    truth = texture(3, (24, 32))
    near, far = truth + 0.1, truth.clone()
    # Far off on the left, exact on the right.
    far[..., :16] += 0.2
    right = rightness([near, far], truth, 4)
    assert right.shape == (1, 2, 6, 8)
    torch.testing.assert_close(right.sum(dim=1), torch.ones(1, 6, 8))
    # Squared errors 0.01 and 0.04, and 0.01 and 0, with what does not count; away from the seam.
    for columns, errors in ((slice(0, 3), (0.0101, 0.0401)), (slice(5, 8), (0.0101, 0.0001))):
        first, second = (1 / error**2 for error in errors)
        wanted = torch.full((1, 6, 3), first / (first + second))
        torch.testing.assert_close(right[:, 0, :, columns], wanted, atol=1e-4, rtol=1e-3)


def test_the_loss_of_shares_is_least_where_they_relate_as_what_is_right() -> None:
    right = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    least = -(right * right.log()).sum(dim=1).mean(dim=(1, 2))
    torch.testing.assert_close(share_loss(right, right), least)
    # What is left for none of them is not judged.
    torch.testing.assert_close(share_loss(0.3 * right, right), least)
    assert (share_loss(right.flip(1), right) > least).all()
    assert share_loss(torch.tensor([0.0, 1.0])[None, :, None, None], torch.ones(1, 2, 1, 1) / 2).isfinite().all()


def test_a_batch_is_its_items() -> None:
    first, second = shifted_pair(0), shifted_pair(1)
    reference, source = (torch.cat(pictures) for pictures in zip(first, second, strict=True))
    warped, agreement = flow_warped(reference, source)
    alone = flow_warped(*second)
    torch.testing.assert_close(warped[1:], alone[0])
    assert torch.equal(agreement[1:], alone[1])


def test_pixels_are_kept_where_nothing_moves_and_both_show_the_same() -> None:
    reference, source = shifted_pair()
    drawn = blurred(reference)
    drawn[..., 60:90, 20:50] += 0.3 * (1 - 2 * (drawn[..., 60:90, 20:50].mean() > 0.5).float())
    moving = torch.zeros(1, 1, *SIZE)
    moving[..., 20:50, 80:110] = 0.9
    picture, weight = kept_pixels(drawn, reference, source, moving)
    warped, _ = flow_warped(reference, source)
    assert weight[..., 20:50, 80:110].max() == 0
    assert weight[..., 64:86, 24:46].max() == 0
    assert weight[..., 20:45, 20:65].min() == 1
    assert torch.equal(picture[..., 20:45, 20:65], warped[..., 20:45, 20:65])
    untouched = (weight == 0).expand_as(drawn)
    assert torch.equal(picture[untouched], drawn[untouched])
    inner = (slice(None), slice(None), slice(20, 45), slice(20, 65))
    assert (picture - reference)[inner].abs().mean() < 0.5 * (drawn - reference)[inner].abs().mean()
    # It fades: from one window to the next, one row or column of nine changes.
    assert weight[INSIDE].diff(dim=-1).abs().max() <= 1 / 9 + 1e-6
    assert weight[INSIDE].diff(dim=-2).abs().max() <= 1 / 9 + 1e-6
    _, without = kept_pixels(drawn, reference, source, None)
    assert without[..., 24:46, 84:106].min() == 1


def test_a_faithful_picture_is_confirmed_and_an_invented_one_is_not() -> None:
    reference, source = shifted_pair()
    other = texture(5, SIZE)
    half = reference.clone()
    half[..., :, 72:] = other[..., :, 72:]
    drawn = torch.cat([source, reference, half, other, torch.full_like(source, 0.4)])
    sources = torch.cat([source, 0.4 * source + 0.1, source, source, source])
    same, dark, partly, invented, flat = confirmed_share(drawn, sources).tolist()
    assert same > 0.99
    assert dark > 0.85
    assert 0.35 < partly < 0.65
    assert invented < 0.25
    assert flat == 0


def test_flat_parts_neither_confirm_nor_deny() -> None:
    source = shifted_pair()[1]
    source[..., :, 60:] = 0.5
    assert confirmed_share(source, source).item() > 0.95
    # What is left is too little to tell anything.
    source[..., :, 2:] = 0.5
    assert confirmed_share(source, source).item() == 0
