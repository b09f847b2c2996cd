"""Lays the pieces of a collage into one of its pictures, and tells which plane is seen at any place of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .materials import material_pictures
from .pieces import Coat, Piece, Pixels, coat_of, cut_piece, look_up, onto
from .sampling import Matrix, move_points
from .scenes import CollageSpec

FINER = 2
"""Samples per pixel along each axis."""

Levels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom; the last two are beyond it."""

TO_SAMPLES: Matrix = np.array([[FINER, 0, 0.5 * (FINER - 1)], [0, FINER, 0.5 * (FINER - 1)], [0, 0, 1]], np.float64)
"""Pixels to samples."""


@dataclass(frozen=True)
class Stack:
    """A collage, ready to be laid: the first piece lies on the background, the last one is on top."""

    levels: list[Matrix]
    """Reference to source."""
    background: Coat
    pieces: list[Piece]

    @classmethod
    def of(cls, spec: CollageSpec, folder: str | None) -> Stack:
        """The collage of a specification; `folder` holds the user's pictures, None stands for scikit-image's."""
        pictures = [material_pictures(each, folder) for each in spec.materials]
        middle = (0.5 * (spec.width - 1), 0.5 * (spec.height - 1))
        background = coat_of(spec.background, pictures[spec.background.material], middle, FINER)
        pieces = [cut_piece(each, pictures[each.coat.material], FINER) for each in spec.pieces]
        return cls([np.array(each) for each in spec.levels], background, pieces)


class View:
    """One picture of a collage: its light, and what lies where."""

    def __init__(self, stack: Stack, to_view: list[Matrix], width: int, height: int) -> None:
        """Lay the pieces.

        Args:
            stack: the collage.
            to_view: for each level, the homography from the reference to this picture.
            width: of the picture.
            height: of the picture.
        """
        self._stack, self._to_view = stack, to_view
        size = (FINER * width, FINER * height)
        self.light: Pixels = onto(stack.background, TO_SAMPLES @ to_view[0], size)
        """(FINER H, FINER W, 3), sRGB."""
        self._levels: Levels = np.zeros(size[::-1], np.uint8)
        for piece in stack.pieces:
            matrix = TO_SAMPLES @ to_view[piece.level] @ piece.to_reference
            box = _bounds(matrix, piece.picture.shape[0], *size)
            if box is not None:
                self._add(piece, matrix, box)

    def _add(self, piece: Piece, matrix: Matrix, box: Box) -> None:
        left, top, right, bottom = box
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
        laid = cv2.warpPerspective(piece.picture, shift @ matrix, (right - left, bottom - top))
        picture, mask = laid[..., :3], np.ascontiguousarray(laid[..., 3])
        under, levels = self.light[top:bottom, left:right], self._levels[top:bottom, left:right]
        # Most samples are covered wholly or not at all; the others are few, but for soft edges.
        edge = (mask > 0) & (mask < 255)
        cover = mask[edge][:, None].astype(np.float32) * np.float32(1 / 255)
        mixed = under[edge] + cover * (picture[edge].astype(np.float32) - under[edge])
        cv2.copyTo(picture, mask, under)
        under[edge] = (mixed + np.float32(0.5)).astype(np.uint8)
        levels[mask >= 128] = piece.level

    def levels_at(self, places: Matrix) -> Levels:
        """The level that is seen at places (N, 2) of the picture, in pixels.

        A piece is where its mask is at least a half. Places whose neighbouring samples agree are looked up; at the
        others the masks are asked.
        """
        height, width = self._levels.shape
        square = np.ones((3, 3), np.uint8)
        sure = cv2.dilate(self._levels, square) == cv2.erode(self._levels, square)
        columns, rows = np.round(places * FINER + 0.5 * (FINER - 1)).astype(np.int64).T
        columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
        found = self._levels[rows, columns]
        left_open = np.nonzero(~sure[rows, columns])[0]
        # By rows, so that those beside a piece are a slice.
        left_open = left_open[np.argsort(places[left_open, 1], kind="stable")]
        found[left_open] = self._ask(places[left_open])
        return found

    def _ask(self, places: Matrix) -> Levels:
        found = np.zeros(len(places), np.uint8)
        for piece in self._stack.pieces:
            if piece.level == 0:
                continue
            matrix = self._to_view[piece.level] @ piece.to_reference
            (left, top), (right, bottom) = _extent(matrix, piece.picture.shape[0])
            first, end = np.searchsorted(places[:, 1], [top, bottom])
            near = first + np.nonzero((places[first:end, 0] > left) & (places[first:end, 0] < right))[0]
            texels = move_points(np.linalg.inv(matrix), places[near])
            found[near[look_up(piece.picture[..., 3], texels) >= 127.5]] = piece.level
        return found


def _extent(matrix: Matrix, side: int) -> tuple[Matrix, Matrix]:
    """Least and largest coordinates of a square of texels under a homography."""
    corners = np.array([[-1, -1], [side, -1], [-1, side], [side, side]], np.float64)
    places = move_points(matrix, corners)
    return places.min(axis=0), places.max(axis=0)


def _bounds(matrix: Matrix, side: int, width: int, height: int) -> Box | None:
    """The part of the samples that a square of texels covers; None if there is none."""
    low, high = _extent(matrix, side)
    left, top = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
    right, bottom = min(width, math.ceil(high[0]) + 1), min(height, math.ceil(high[1]) + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None
