import io

from rich.console import Console

from b2scvr.engine.progress import CountProgress, StageProgress


def shown(terminal):
    out = io.StringIO()
    with StageProgress("clip", Console(file=out, force_terminal=terminal, width=100)) as progress:
        progress("read", 0, 0)
        for done in range(4):
            progress("recover", done, 3)
    return out.getvalue()


def test_a_terminal_sees_stage_steps_and_time_left():
    text = shown(True)
    assert "clip: recover" in text and "3/3" in text and "left" in text


def test_nothing_is_written_where_no_terminal_is():
    assert shown(False).strip() == ""


def test_a_count_shows_how_many_and_how_long():
    out = io.StringIO()
    with CountProgress("clips", Console(file=out, force_terminal=True, width=120)) as progress:
        progress(1, 3)
        progress(3, 3, "1 failed")
    assert "3/3" in out.getvalue() and "1 failed" in out.getvalue() and "left" in out.getvalue()
