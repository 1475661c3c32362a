"""Colours stay apart for people who see fewer of them."""

import cv2
import numpy as np
import pytest

from b2scvr.write.inspection.palette import CONCEALED, FUTURE, MODES, NOTICED, PAST, STATUSES, TYPES, heat

# Linear RGB -> linear RGB as seen without one kind of cones: G. Machado et al., "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15(6), 2009, severity 1.
SEEN_BY = {
    "everyone": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
APART = 15  # CIE 1976 colour difference; about 2 can just be told apart side by side
SETS = {
    "modes": [colour for _, colour in MODES.values()],
    "statuses": list(STATUSES.values()),
    "types": list(TYPES.values()),
    "vectors": [PAST, FUTURE],
    "noticed": [NOTICED, CONCEALED],
}


def lab(colours, seen):
    shares = np.array(colours, float) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(seen).T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(shown.astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("who", SEEN_BY)
@pytest.mark.parametrize("name", SETS)
def test_kinds_are_told_apart(name, who):
    seen = lab(SETS[name], SEEN_BY[who])
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert distance[~np.eye(len(seen), dtype=bool)].min() > APART


@pytest.mark.parametrize("who", SEEN_BY)
def test_heat_grows_lighter_for_everyone(who):
    lightness = lab(heat(np.linspace(0, 1, 9)), SEEN_BY[who])[:, 0]
    assert (np.diff(lightness) > 2).all()
