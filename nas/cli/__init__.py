"""The command line: thin commands over :mod:`nas.workflows`."""
