"""The command line inside the tests' own process."""

import json

from nas.cli.main import run


class CommandLine:
    """Runs commands; gives exit code, standard output and standard error."""

    def __init__(self, home, capsys):
        self.home = home
        self._capsys = capsys

    def __call__(self, *arguments):
        code = run([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, *arguments):
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def refused(self, *arguments):
        """The one sentence of a request that is wrong."""
        code, out, err = self(*arguments)
        assert code == 2, (out, err)
        assert out == ""
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err
