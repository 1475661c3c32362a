"""Stage 2 of the full generator by train.py's own way: both kinds of samples, the adversary, resume, frozen backbones."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from b2scvr.checkpoints.known import VARIABLE, MissingWeightsError
from b2scvr.checkpoints.load import read_weights
from b2scvr.config import load_config
from b2scvr.data.cache import SampleEntry, write_json
from b2scvr.data.clip_sample import ClipSample, save_clip
from b2scvr.data.sample import SAMPLE_VERSION, open_record, read_sample, save_sample
from b2scvr.engine.adversary import Adversary
from b2scvr.engine.runtime import Runtime
from b2scvr.engine.training import train
from b2scvr.engine.window_stage import WindowStage, as_window
from b2scvr.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "cfc" / "corrected_small.py"
BACKBONES = ("cfc.trunk.", "cfc.embedder.")


@pytest.fixture(scope="module")
def both_kinds(cache, tmp_path_factory):
    """A cache of two pictures and one clip."""
    folder = tmp_path_factory.mktemp("both_kinds")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, 64, 80, 3), dtype=np.uint8)
    visible = np.zeros((6, 64, 80), np.uint8)
    visible[2:4, 20:50, 16:60] = 1
    vectors = np.ones((2, 5, 3, 8, 10), np.float16)
    save_clip(folder / "clip.npy", ClipSample(pictures, pictures[..., ::-1].copy(), visible, vectors))
    entries = [SampleEntry("clip.npy", "clip", 0, 0, True, 80, 64, 6)]
    for number in range(2):
        save_sample(folder / f"{number}.npy", read_sample(open_record(cache / f"{number}.npy")))
        entries.append(SampleEntry(f"{number}.npy", "clip", 0, number, True, 96, 96))
    write_json(folder / "index.json", {"version": SAMPLE_VERSION, "samples": [asdict(entry) for entry in entries]})
    return folder


@pytest.fixture
def make_config(tmp_path, both_kinds):
    def make(name, *options):
        chosen = [
            f"train.work_dir={tmp_path / name}", f"train.data={both_kinds}", "train.tensorboard=False",
            "stages.recover.steps=2", "stages.recover.milestones=(1,)", *options,
        ]  # fmt: skip
        return load_config(CONFIG, chosen)

    return make


def weights_of(folder):
    return read_weights(folder / "weights.safetensors")


def last_state(folder):
    return torch.load(sorted((folder / "recover").glob("step_*.pt"))[-1], weights_only=True)


def assert_same(first, second):
    """Nested states are equal, bit for bit."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, list):
        for a, b in zip(first, second, strict=True):
            assert_same(a, b)
    elif not isinstance(first, float):
        assert first == second


def test_stopped_and_resumed_is_bit_exact_adversary_and_optimisers_too(make_config, tmp_path):
    assert train(make_config("straight"), device="cpu")
    stopping, calls = make_config("stopped", "train.max_minutes=0"), 0
    while not train(stopping, resume="auto", device="cpu"):
        calls += 1
    assert calls == 1
    straight, stopped = (last_state(tmp_path / name) for name in ("straight", "stopped"))
    for name in ("network", "average", "optimizer", "adversary"):
        assert_same(straight[name], stopped[name])
    assert {"conv.0.weight_orig", "conv.0.weight_u", "conv.0.weight_v"} < set(straight["adversary"]["network"])
    assert all(moment["step"] == 2 for moment in straight["adversary"]["optimizer"]["state"].values())
    header = (tmp_path / "straight" / "recover" / "log.csv").read_text().splitlines()[0].split(",")
    assert set(header) >= {"hole", "valid", "adversarial", "flow", "discriminator_real", "discriminator_fake"}


def test_backbones_stay_and_the_rest_learns(make_config, tmp_path):
    config = make_config("run", "stages.recover.ema=0.0", "stages.recover.discriminator=None")
    torch.manual_seed(config.train.seed)
    before = {f"cfc.{name}": value for name, value in MODELS.build(config["cfc"]).state_dict().items()}
    assert train(config, device="cpu")
    after = weights_of(tmp_path / "run")
    frozen = [name for name in before if name.startswith(BACKBONES)]
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {
        "encoder",
        "augmentation",
        "completion",
        "experts",
        "flow",
        "propagation",
        "transformer",
        "decoder",
    }
    assert "adversary" not in last_state(tmp_path / "run")


@pytest.fixture
def windows():
    rng = torch.Generator().manual_seed(3)
    mask = torch.zeros(2, 4, 1, 40, 64)
    mask[:, :3, :, 8:30, 10:40] = 1
    return {
        "pictures": torch.rand(2, 4, 3, 40, 64, generator=rng),
        "target": torch.rand(2, 4, 3, 40, 64, generator=rng),
        "mask": mask,
        "vectors": torch.ones(2, 2, 2, 3, 5, 8),
    }


def build(**changes):
    torch.manual_seed(0)
    config = load_config(CONFIG)
    return MODELS.build({**config["cfc"], **changes})


def test_recomputed_activations_give_the_same_gradients(windows):
    """Drop path is on: random numbers are drawn again as they were."""
    gradients = []
    for recompute in (False, True):
        network = build(recompute=recompute).train()
        torch.manual_seed(1)
        terms = WindowStage(network, Runtime(device="cpu"), {"flow_weight": 1.0}).losses(network, windows)
        sum(terms.values()).backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.requires_grad})
    assert gradients[0].keys() == gradients[1].keys() and all(g is not None for g in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-7, rtol=1e-4)


def test_the_adversary_learns_to_tell_videos_apart_and_the_generator_loses_by_it():
    torch.manual_seed(0)
    adversary = Adversary(Runtime(device="cpu"), lr=1e-2, widths=(4, 4))
    real, fake = torch.full((1, 3, 3, 16, 16), 0.9), torch.full((1, 3, 3, 16, 16), 0.1, requires_grad=True)
    losses = []
    for _ in range(12):
        adversary.generator_loss(fake, real).backward()
        assert all(p.grad is None or not p.requires_grad for p in adversary.network.parameters())
        losses.append(sum(adversary.update(1.0).values()).item())
    assert losses[-1] < 0.5 * losses[0] and fake.grad.abs().max() > 0
    assert adversary.videos == []
    before = [p.clone() for p in adversary.network.parameters()]
    adversary.generator_loss(fake * float("nan"), real)
    adversary.update(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.network.parameters(), strict=True))


def test_a_picture_among_its_surroundings_is_a_window_with_one_mask():
    batch = {
        "window": torch.rand(2, 4, 3, 32, 48), "target": torch.rand(2, 3, 32, 48), "mask": torch.ones(2, 1, 32, 48),
        "motion": torch.zeros(2, 4, 2, 32, 48),
    }  # fmt: skip
    window = as_window(batch)
    assert window.local == 4 and window.vectors.shape == (2, 2, 3, 3, 4, 6)
    assert window.mask.flatten(2).amax(2).tolist() == [[0, 0, 1, 0]] * 2
    assert torch.equal(window.target[:, 2], batch["target"]) and torch.equal(window.target[:, 0], batch["window"][:, 0])


def test_an_empty_mask_trains_without_harm(windows):
    network = build()
    stage = WindowStage(network, Runtime(device="cpu"))
    terms = stage.losses(network, {**windows, "mask": windows["mask"] * 0})
    assert terms["hole"] == 0 and all(torch.isfinite(term) for term in terms.values())
    judged = stage.judge(network.eval(), {**windows, "mask": windows["mask"] * 0})
    assert judged["psnr_decoded"] == judged["psnr_restored"]
    assert [picture.shape for picture in stage.show(network, windows)] == [(2, 3, 40, 64)] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["cfc.frozen=(trunk,embedder,flow)"], "take 'flow' out of cfc.frozen"),
        (["stages.recover.loss.style_weight=1.0"], "unknown key 'style_weight'"),
        (["stages.recover.samples=(videos,)"], "samples must be some of pictures, windows"),
        (["cfc.type=RecoveryNetwork"], "RecoveryNetwork|unknown key"),
        (["stages.recover.stacked=True"], r"recover\.stacked: this RecoveryGenerator does not start at a stack"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_training(make_config, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(make_config("run", *options), device="cpu")
    assert not (tmp_path / "run").exists()


def test_weights_of_vgg_that_are_wanted_and_missing_are_named(make_config, tmp_path, monkeypatch):
    for name in ("TORCH_HOME", "HF_HOME", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="leave perceptual_weight out"):
        train(make_config("run", "stages.recover.loss.perceptual_weight=0.1"), device="cpu")
