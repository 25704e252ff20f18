"""``hwnas agent``: measures networks on this machine for a remote service."""

from pathlib import Path
from typing import Annotated

import typer


def agent(
    server: Annotated[
        str, typer.Option("--server", envvar="HWNAS_SERVER", help="Address of the service, such as https://HOST:8000.")
    ],
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="HWNAS_AGENT_TOKEN",
            help="Token that `hwnas agents create` printed. Other users of this machine can see command lines;"
            " to hide it from them, use the variable or --token-file.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File that holds the token.", exists=True, dir_okay=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Refuse to start unless the token belongs to this agent.")
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", min=1, help="Threads per runtime; repeat it to offer several numbers. Default: 1."),
    ] = None,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            "--memory-mb",
            min=256,
            help="Memory limit in MB of the process that runs networks. Default: 3/4 of the machine's memory.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder for downloaded files. Default: the user's cache folder.")
    ] = None,
) -> None:
    """Measure networks on this machine for a service, until Ctrl-C.

    Connects to the service, so that nothing listens here. Takes one network at a time, checks its hash and the
    service's signature, runs it in a process with limits (and without network, if bubblewrap is installed),
    and reports the raw times. Needs a runtime (pip install 'hwnas[agent]'), but not torch or XGBoost. The device ids
    are then NAME/RUNTIME on the service: `hwnas calibrate NAME/onnxruntime --space SPACE`.
    """
    # What follows takes no part in other commands.
    import platformdirs

    from hw_profiles.agent.agent import AgentSettings, run_agent
    from hw_profiles.agent.service import Service
    from hw_profiles.agent.tokens import AgentToken, key_sha256
    from hw_profiles.confinement import ProcessLimits
    from search_spaces.errors import UsageError

    if token_file is not None:
        token = token_file.read_text("utf-8")
    if token is None:
        raise UsageError("an agent needs its token: give --token-file, HWNAS_AGENT_TOKEN or --token.")
    parsed = AgentToken.parse(token)
    # A folder for each token: several agents may run on one machine.
    own = platformdirs.user_cache_path("hwnas") / "agents" / key_sha256(parsed.authentication_key)[:12]
    settings = AgentSettings(
        folder=folder or own,
        name=name,
        threads=tuple(dict.fromkeys(threads or [1])),
        limits=None if memory_mb is None else ProcessLimits(memory_bytes=memory_mb << 20),
    )
    run_agent(Service(server, parsed), settings, lambda message: typer.echo(message, err=True))
