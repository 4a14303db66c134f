"""Commands whose options may stand in a TOML file or in the environment: flag > variable > --config > default."""

from __future__ import annotations

import os
from typing import Any

import click

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["PREFIX", "ConfiguredCommand", "ConfiguredGroup", "variable_behind"]

#: Begin of the environment variables that are read; the command's name and the option's follow.
PREFIX = "DIFFEO_PROBE"


class ConfiguredCommand(click.Command):
    """A command with `--config FILE`, which refuses keys and environment variables that it does not know.

    A key of the file is the long name of an option with `_` for `-`, or that of an argument; the file is flat. The
    variable of an option is `DIFFEO_PROBE_<COMMAND>_<OPTION>`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(
            click.Option(
                ["--config"],
                type=click.Path(readable=False),
                is_eager=True,
                expose_value=False,
                callback=_read,
                metavar="FILE",
                help="TOML file with options, as the run.toml of an analysis is one; a flag, or a variable "
                f"{PREFIX}_<COMMAND>_<OPTION>, wins.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look at the environment before the words; `--config` is read by its callback, before other options."""
        if not ctx.resilient_parsing:
            _refuse_variables(ctx, self)
        return super().parse_args(ctx, args)


class ConfiguredGroup(click.Group):
    """A group of such commands."""

    command_class = ConfiguredCommand


def variable_behind(error: click.ClickException) -> str | None:
    """Return the environment variable that a refused value comes from, None where it comes from elsewhere."""
    if not isinstance(error, click.BadParameter) or error.param is None or error.ctx is None:
        return None
    name = error.param.name or ""
    if error.ctx.get_parameter_source(name) is not click.core.ParameterSource.ENVIRONMENT:
        return None
    return f"{error.ctx.auto_envvar_prefix}_{name}".upper()


def _read(ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    from resnet_diffeo_probe.analysis.comparing.settings_file import read_settings

    source = read_settings(value)
    known = {param.name: param for param in ctx.command.params if param.name not in (None, "config", "help")}
    found = {}
    for key, given in source.table.items():
        name = key.replace("-", "_")
        if name not in known:
            source.refuse_unknown(key, [str(each) for each in known])
        if problem := _problem(known[name], given, ctx):
            source.refuse_value(key, problem, f"see diffeo-probe {ctx.info_name} --help")
        found[name] = given
    ctx.default_map = found


def _problem(param: click.Parameter, value: Any, ctx: click.Context) -> str | None:
    """Return what is wrong with a value of a file, None where nothing is."""
    from resnet_diffeo_probe.analysis.comparing.settings_file import kind_of

    values = value if param.multiple and isinstance(value, list) else [value]
    for each in values:
        for kind, python, words in _KINDS:
            if isinstance(param.type, kind) and (
                not isinstance(each, python) or (isinstance(each, bool) and python is not bool)
            ):
                return f"is {kind_of(each)}, not {words}"
        try:
            param.type.convert(each, param, ctx)
        except click.BadParameter as error:
            return f"is {each!r}: {error.message}"
    return None


#: What TOML must hold for an option of a kind; kinds of our own look at the value themselves.
_KINDS: tuple[tuple[type[click.ParamType[Any]], type | tuple[type, ...], str], ...] = (
    (click.types.BoolParamType, bool, "true or false"),
    (click.types.IntParamType, int, "a whole number"),
    (click.types.FloatParamType, (int, float), "a number"),
    (click.types.StringParamType, str, "text"),
    (click.Choice, str, "text"),
    (click.Path, str, "text"),
)


def _refuse_variables(ctx: click.Context, command: click.Command) -> None:
    """Refuse a variable that was meant for this command and has no effect.

    Raises:
        ConfigurationError: with the nearest variable that has one.
    """
    prefix = ctx.auto_envvar_prefix
    if prefix is None:
        return
    known = {f"{prefix}_{param.name}".upper(): param for param in command.params if param.name != "help"}
    short = {f"{PREFIX}_{param.name}".upper(): name for name, param in known.items()}
    for variable in os.environ:
        # Windows alone does not tell the two apart; elsewhere a name in small letters is another name
        name = variable.upper() if os.name == "nt" else variable
        if name in known or not (name.startswith(f"{prefix}_") or name in short):
            continue
        from resnet_diffeo_probe.nearest import nearest

        near = short.get(name) or nearest(name, known)
        raise ConfigurationError(
            f"the environment variable {variable} has no effect",
            why=f"those of this command are {prefix}_<OPTION>, as in {ctx.command_path} --help",
            fix=f"did you mean {near}?" if near else f"unset {variable}",
            code="unknown-variable",
        )
