"""Options that more than one command has; those of settings are made from the settings' own descriptions."""

from __future__ import annotations

import functools
import inspect
import json
import signal
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Protocol

import typer

from filtercrawl.api.errors import FiltercrawlError, describe_error
from filtercrawl.cli.log_output import LogFormat, configure_logging, redacted
from filtercrawl.config import PublishSettings, Settings
from filtercrawl.config.fields import SettingField, settings_of

SyncOptions = Mapping[str, Any]
# Stands in a command's signature where `with_sync_options` puts the options.
SYNC_OPTIONS: Final[SyncOptions] = MappingProxyType({})


def setting_option(name: str, model: type[Any] = Settings, *, text: str | None = None) -> Any:
    """Return the Typer option of one setting.

    Args:
        name: The setting's field in the model.
        model: The dataclass that describes it.
        text: Help in place of the setting's own, for a command in which it does something else.
    """
    return _option(settings_of(model)[name], text)


def _option(field: SettingField, text: str | None = None) -> Any:
    flag = f"--{field.name.replace('_', '-')}"
    if field.is_flag:
        return typer.Option(flag, help=text or field.about.help)
    return typer.Option(
        flag, metavar=field.metavar, help=text or field.about.help, show_default=field.default_text or False
    )


def _annotation(field: SettingField) -> Any:
    """Return a parameter's annotation: values stay text, so that every source of a setting is read the same way."""
    kind: Any = bool if field.is_flag else list[str] if field.is_list else str
    return Annotated[kind | None, _option(field)]


SelectorsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SELECTOR",
        help="SOURCE or SOURCE:PATTERN, for example local:models or packages:speechmos.",
    ),
]
DatasetOption = Annotated[str | None, setting_option("dataset")]
KernelSizeOption = Annotated[str | None, setting_option("kernel_size")]
SummaryOption = Annotated[Path | None, setting_option("summary", PublishSettings)]
NotifyOption = Annotated[str | None, setting_option("notify_cmd", PublishSettings)]
SpaceOption = Annotated[str | None, setting_option("space", PublishSettings)]
SignKeyOption = Annotated[Path | None, setting_option("sign_key", PublishSettings)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object; everything else goes to stderr.")]


def with_sync_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each setting of the table `[sync]`, where its parameter `options` stands.

    The command receives them as a mapping by setting name, None for those left out.
    """
    signature = inspect.signature(command, eval_str=True)
    described = {name: field for name, field in settings_of(Settings).items() if field.about.option}
    added = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=_annotation(field))
        for name, field in described.items()
    ]
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += added if name == "options" else [parameter]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in described}
        lists = {name: options[name] or None for name, field in described.items() if field.is_list}
        command(**given, options=options | lists)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Write details of the work to stderr.")]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        metavar="text|json",
        help="How lines on stderr are written; json: one object a line, in place of the progress display.",
        show_default="text",
    ),
]


def with_logging_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options `--verbose` and `--log-format`, and configure logging before it runs.

    A command with a parameter `verbose` of its own keeps it, and receives its value.
    """
    signature = inspect.signature(command, eval_str=True)
    own_verbose = "verbose" in signature.parameters
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("verbose", kind, default=False, annotation=VerboseOption),
        inspect.Parameter("log_format", kind, default=LogFormat.TEXT, annotation=LogFormatOption),
    ]
    parameters = [*signature.parameters.values(), *added[own_verbose:]]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        verbose = given["verbose"] if own_verbose else given.pop("verbose")
        configure_logging(given.pop("log_format"), verbose=bool(verbose))
        command(**given)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


# Whether the command that is running has printed its JSON object.
_printed: Final[ContextVar[bool]] = ContextVar("printed", default=False)
_JSON_OPTIONS: Final = ("json", "as_json")
_STOPPED: Final = "stopped by a signal"
# Exit codes of shells for a signal begin above it.
_SIGNALED: Final = 128


def with_json_on_every_exit(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command with `--json` print an object also where it ends before it could: `error` and `exit_code`.

    An error with a `record` has that printed in place of it. Errors are raised all the same.
    """
    name = next((name for name in _JSON_OPTIONS if name in inspect.signature(command).parameters), None)
    if name is None:
        return command

    @functools.wraps(command)
    def run(**given: Any) -> None:
        if not given[name]:
            return command(**given)
        _printed.set(False)
        try:
            command(**given)
        except BaseException as error:
            if not _printed.get() and (ending := _describe_ending(error)):
                print_error(*ending)
            raise

    return run


def _describe_ending(error: BaseException) -> tuple[str, int, Mapping[str, Any] | None] | None:
    """Return text, exit code and record of what ended a command; None for an end without an error."""
    if isinstance(error, FiltercrawlError):
        return str(error), error.exit_code, error.record
    if isinstance(error, KeyboardInterrupt):
        return _STOPPED, _SIGNALED + signal.SIGINT, None
    if isinstance(error, typer.Exit):
        text = _STOPPED if error.exit_code > _SIGNALED else f"ended with exit code {error.exit_code}"
        return (text, error.exit_code, None) if error.exit_code else None
    return describe_error(error), 1, None


def print_error(text: str, exit_code: int, record: Mapping[str, Any] | None = None) -> None:
    """Print how a command with `--json` ended, without tokens and signed URLs."""
    print_json(redacted(record or {"error": text, "exit_code": exit_code}))


class Report(Protocol):
    """What a command has done."""

    def to_dict(self) -> dict[str, Any]: ...


def print_report(report: Report, *, as_json: bool) -> None:
    """Print a report as one JSON object, or as its text."""
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(str(report))


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object in ASCII, so that no text fails to print: names may hold lone surrogates."""
    typer.echo(json.dumps(value, indent=2, default=str))
    _printed.set(True)
