"""What differs between two runs is told by name; settings that an older checkpoint does not know have their defaults."""

from b2scvr.engine.identity import differences


def test_the_same_run_differs_in_nothing():
    run = {"seed": 0, "stage": {"lr": 1e-3, "milestones": [1, 2], "lr_scale": {}}, "dac": {"dims": [8, 16]}}
    again = {"seed": 0, "stage": {"lr": 1e-3, "milestones": (1, 2)}, "dac": {"dims": [8, 16]}}
    assert differences(run, again, {}) == []


def test_differences_are_named_with_both_values():
    old, new = {"stage": {"lr": 1e-3, "crop": None}, "seed": 0}, {"stage": {"lr": 1e-4, "crop": [64, 64]}, "seed": 0}
    assert differences(old, new, {}) == [
        "stage.crop was None and is now [64, 64]", "stage.lr was 0.001 and is now 0.0001",
    ]  # fmt: skip


def test_a_setting_that_the_checkpoint_does_not_know():
    new = {"stage": {"lr": 1e-3, "schedule": "cosine"}}
    assert differences({"stage": {"lr": 1e-3}}, new, {"stage.schedule": "cosine"}) == []
    changed = {"stage": {"lr": 1e-3, "schedule": "step"}}
    assert differences({"stage": {"lr": 1e-3}}, changed, {"stage.schedule": "cosine"}) == [
        "stage.schedule was 'cosine' and is now 'step'"
    ]


def test_many_differences_are_counted():
    told = differences({str(i): 0 for i in range(9)}, {str(i): 1 for i in range(9)}, {})
    assert len(told) == 6 and told[-1] == "4 more"
