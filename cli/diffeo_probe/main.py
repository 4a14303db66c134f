"""The command group, and what an error looks like to a user. No torch is imported here: `--help` stays quick."""

from __future__ import annotations

import os
import sys
import traceback

import click

from diffeo_probe import terminal
from diffeo_probe.commands.analyze import analyze
from diffeo_probe.commands.check import check
from diffeo_probe.commands.compare import compare
from diffeo_probe.commands.completion import completion
from diffeo_probe.commands.demo import demo
from diffeo_probe.commands.env import env
from diffeo_probe.commands.explain import explain
from diffeo_probe.commands.inspect import inspect
from diffeo_probe.commands.report import report
from diffeo_probe.commands.spirals import spirals
from diffeo_probe.options.configured import PREFIX
from diffeo_probe.options.usage import usage_error
from resnet_diffeo_probe import __version__
from resnet_diffeo_probe.errors import DiffeoProbeError

__all__ = ["cli", "main"]

INTERNAL_ERROR = 70
INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Exit codes: 0 done · 1 a gate of --fail-on was tripped · 2 usage or configuration ·
3 the input cannot be analysed · 4 partial, some units were not run · 70 a bug of ours ·
130 interrupted, what was measured is saved.""",
)
@click.version_option(__version__, prog_name="diffeo-probe")
def cli() -> None:
    """Is this pretrained ResNet's mapping a bijection, and where does it fold?

    Finds the residual units x + F(x) of a network, computes exact signs and log-magnitudes of their Jacobian
    determinants at your inputs, and writes a self-contained HTML report with the verdicts and what proves them.

    \b
    diffeo-probe demo                                    a small network that ships with the package
    diffeo-probe inspect resnet18.pth                    the units, before anything is computed
    diffeo-probe analyze resnet18.pth --inputs images/   the report
    """  # noqa: D301 - click's mark of a paragraph not to be wrapped is the character itself


for command in (analyze, inspect, demo, report, check, compare, explain, env, completion, spirals):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every mistake of the user's ends in one message without a traceback."""
    screen = sys.stdout
    try:
        code = cli.main(standalone_mode=False, auto_envvar_prefix=PREFIX)
    except DiffeoProbeError as error:
        terminal.print_error(error)
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        code = 2
    except click.ClickException as error:
        terminal.print_error(usage_error(error))
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except SystemExit:
        # click answers a broken pipe with another sys.stdout and the code 1, which is that of a gate here
        if sys.stdout is screen:
            raise
        # whoever read our output has had enough; what is left in the buffer must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), screen.fileno())
        code = 0
    except Exception as error:
        traceback.print_exc()
        click.echo(
            f"\nThis is a bug in diffeo-probe {__version__}, not yours ({type(error).__name__}). "
            "Please report it with the lines above.",
            err=True,
        )
        code = INTERNAL_ERROR
    sys.exit(code if isinstance(code, int) else 0)
