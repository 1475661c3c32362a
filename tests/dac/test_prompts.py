"""Each prompt can be had or not: what is absent has no parameters, and the network does not see it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

import b2scvr
from b2scvr.backbones.dinov2 import FieldEmbedder
from b2scvr.config import load_config
from b2scvr.dac.detector import Detector
from b2scvr.dac.prompts import PROMPTS, PromptTokens, parse_prompts, picture_letter
from b2scvr.ops.evidence import CHANNELS, GROUPS
from b2scvr.ops.positions import sine_positions
from b2scvr.registry import MODELS
from b2scvr.types import PredictionMode

CONFIG = Path(b2scvr.__file__).parents[1] / "configs" / "b2scvr_tiny.py"
SETTINGS = ["none", "mv", "pm", "mv+pm", "mode", "qp", "concealed", "trace", "all"]


@cache
def build(prompts: str) -> Detector:
    torch.manual_seed(0)
    return MODELS.build({**load_config(CONFIG).dac.to_dict(), "use_fill": False, "prompts": prompts}).eval()


def inputs(seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    concealed, start = torch.zeros(1, 4, 6, dtype=torch.bool), torch.zeros(1, 4, 6, dtype=torch.bool)
    concealed[:, -1], start[:, 0, 0] = True, True
    return {
        "window": torch.rand(1, 4, 3, 64, 96, generator=generator),
        "current": 2,
        "fill": torch.rand(1, 3, 64, 96, generator=generator),
        "evidence": torch.rand(1, len(CHANNELS), 4, 6, generator=generator),
        "concealed": concealed,
        "slice_start": start,
        "broken": torch.tensor([True]),
    }


def with_changed(given: dict, group: str) -> dict:
    """`given` with other values of the evidence `group`, in the tensor and in the flags that repeat it."""
    changed = {**given, "evidence": given["evidence"].clone()}
    for name in GROUPS[group]:
        changed["evidence"][:, CHANNELS.index(name)] = 0.5 - 0.5 * given["evidence"][:, CHANNELS.index(name)]
    if group == "concealed":
        changed |= {name: ~given[name] for name in ("concealed", "slice_start", "broken")}
    return changed


def evidence_of(*modes: PredictionMode, concealed: int = 0) -> torch.Tensor:
    evidence = torch.zeros(1, len(CHANNELS), 1, len(modes))
    for column, mode in enumerate(modes):
        evidence[0, mode, 0, column] = 1
    evidence[0, CHANNELS.index("concealed"), 0, len(modes) - concealed :] = 1
    return evidence


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("none", ()),
        ((), ()),
        ("mv", ("mv",)),
        ("mv+pm", ("mv", "pm")),
        (["pm", "mv"], ("mv", "pm")),
        ("all", ("mode", "qp", "concealed", "trace", "mv")),
        (("mv", "mode", "qp", "concealed", "trace"), ("mode", "qp", "concealed", "trace", "mv")),
    ],
)
def test_names(given, names):
    assert parse_prompts(given) == names


@pytest.mark.parametrize("given", ["vectors", "mv,pm", "", ("mv", "flow")])
def test_unknown_names_are_refused(given):
    with pytest.raises(ValueError, match="unknown prompt"):
        parse_prompts(given)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_network_sees_its_prompts_and_no_others(setting):
    given, detector = inputs(), build(setting)
    with torch.no_grad():
        before = detector(**given)
        for group in GROUPS:
            changed, seen = with_changed(given, group), group in detector.prompts
            if group == "mode" and "pm" in detector.prompts:
                changed["evidence"][:, PredictionMode.DIRECT : PredictionMode.BOTH + 1] = 0  # another letter
                seen = True
            after = detector(**changed)
            for name in ("mask_logits", "macroblock_logits", "macroblock_probability"):
                assert torch.equal(getattr(before, name), getattr(after, name)) is not seen, (group, name)


def test_an_absent_prompt_has_no_parameters():
    names = {setting: {name for name, _ in build(setting).named_parameters()} for setting in SETTINGS}
    assert not [n for n in names["none"] if n.startswith(("dense.", "tokens.")) and n != "tokens.degradation"]
    for word, setting in {"tokens.vector": "mv", "tokens.mode": "mode", "tokens.letter": "pm"}.items():
        having = {s for s in SETTINGS if any(n.startswith(word) for n in names[s])}
        assert having == {s for s in SETTINGS if setting in parse_prompts(s)}
    sizes = {setting: sum(p.numel() for p in build(setting).parameters()) for setting in SETTINGS}
    assert all(sizes["none"] < sizes[setting] for setting in SETTINGS if setting != "none"), sizes


def test_without_concealment_there_is_no_raster_prior():
    given = inputs()
    with torch.no_grad():
        output = build("mv+pm")(**given)
        told = build("all")(**given)
    assert torch.allclose(output.macroblock_probability, output.macroblock_logits.sigmoid(), atol=1e-6)
    assert bool((told.macroblock_probability[given["concealed"]] == 1).all())


@pytest.mark.parametrize(
    ("modes", "concealed", "letter"),
    [
        ((PredictionMode.INTRA_NXN, PredictionMode.INTRA_16X16, PredictionMode.PCM), 0, "I"),
        ((PredictionMode.INTRA_NXN, PredictionMode.SKIP), 0, "P"),
        ((PredictionMode.INTRA_NXN, PredictionMode.SKIP), 1, "I"),
        ((PredictionMode.PAST, PredictionMode.DIRECT), 0, "B"),
        ((PredictionMode.PAST, PredictionMode.UNKNOWN), 0, "P"),
        ((PredictionMode.FUTURE,), 0, "B"),
        ((PredictionMode.UNKNOWN,), 0, "I"),
    ],
)
def test_the_letter_of_a_picture(modes, concealed, letter):
    one_hot = picture_letter(evidence_of(*modes, concealed=concealed))
    assert "IPB"[int(one_hot.argmax())] == letter and one_hot.sum() == 1


def tokens_with(**options) -> PromptTokens:
    torch.manual_seed(0)
    return PromptTokens(16, ("mode", "mv"), num_degradation=2, mode_grid=(1, 2), **options)


def test_tokens_with_places_tell_left_from_right():
    """Evidence that is the same everywhere gives tokens that differ by their place alone, and by nothing without places."""
    evidence = torch.full((1, len(CHANNELS), 4, 8), 0.5)
    grid = {"embedder": {"widths": (), "grid": (2, 2)}}
    with torch.no_grad():
        plain, placed = tokens_with(**grid)(evidence)[0], tokens_with(positions=True, **grid)(evidence)[0]
    assert torch.allclose(plain[0], plain[3], atol=1e-5) and torch.allclose(plain[4], plain[5], atol=1e-5)
    assert torch.allclose(placed[:4] - plain[:4], sine_positions(16, 2, 2), atol=1e-5)
    assert torch.allclose(placed[4:6] - plain[4:6], sine_positions(16, 1, 2), atol=1e-5)
    assert torch.equal(placed[6:], plain[6:]), "learned tokens belong to no place"


def test_vectors_may_be_seen_by_dinov2():
    tokens = tokens_with(embedder={"type": "dinov2", "grid": (2, 3)})
    assert isinstance(tokens.embedder, FieldEmbedder) and tokens.num_tokens == 6 + 2 + 2
    with torch.no_grad():
        assert tokens(torch.rand(1, len(CHANNELS), 3, 5)).shape == (1, 10, 16)
    with pytest.raises(ValueError, match="'conv' or 'dinov2'"):
        tokens_with(embedder={"type": "clip"})


@pytest.mark.parametrize(
    ("option", "names"), [("none", ()), ("mv", ("mv",)), ("mv+pm", ("mv", "pm")), ("pm,mv", ("mv", "pm"))]
)
def test_the_command_line_switches_prompts(option, names):
    config = load_config(CONFIG, [f"dac.prompts={option}"])
    assert MODELS.build(config.dac).prompts == names


def test_the_shipped_detector_has_all_but_the_letter():
    assert set(MODELS.build(load_config(CONFIG).dac).prompts) == set(PROMPTS) - {"pm"}
