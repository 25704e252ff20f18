"""Progress where there is no terminal: a line now and then, with the time left."""

from nas.cli.console import TerminalProgress


def test_lines_say_the_time_left_of_what_was_done_since_the_start(capsys):
    now_s = [100.0]
    with TerminalProgress(clock=lambda: now_s[0]) as progress:
        # A resumed task: what was done before says nothing about its speed.
        for seconds, done in ((0, 50), (10, 55), (20, 60), (30, 65), (60, 100)):
            now_s[0] = 100.0 + seconds
            progress.update("training", done, 100, {"loss": "1.2"})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 60/100  0:01:20 left  loss 1.2", "training: 100/100  loss 1.2"]
