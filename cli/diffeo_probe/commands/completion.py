"""`diffeo-probe completion`."""

from __future__ import annotations

import click

__all__ = ["completion"]

_PROGRAM = "diffeo-probe"
_VARIABLE = "_DIFFEO_PROBE_COMPLETE"

_INSTALLED = {
    "bash": 'eval "$(diffeo-probe completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(diffeo-probe completion zsh)"    # in ~/.zshrc, after compinit',
    "fish": "diffeo-probe completion fish > ~/.config/fish/completions/diffeo-probe.fish",
}


@click.command(
    short_help="Print the script that lets a shell complete commands, options and files.",
    epilog="\b\n" + "\n".join(_INSTALLED.values()),
)
@click.argument("shell", type=click.Choice(list(_INSTALLED)), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script for SHELL (bash 4.4 or newer). Names of units are not completed: that would load the model."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:  # click has all three
        raise click.UsageError(f"{shell} is not known to this version of click")
    script = kind(ctx.find_root().command, {}, _PROGRAM, _VARIABLE)
    # not `source()`: it runs the shell to look at its version, which need not be the one here
    click.echo(script.source_template % script.source_vars())
    return 0
