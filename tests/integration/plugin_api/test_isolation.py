"""Plugins are imported when they are needed, can be chosen, and one that is broken stops nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conftest import Sync
from filtercrawl import api
from filtercrawl.api.errors import UsageError
from filtercrawl.api.extras import EXTRAS
from filtercrawl.api.plugin_manager import Plugins, implemented_kinds, load_plugins
from filtercrawl.api.plugin_modules import group_of
from filtercrawl.cli.app import build
from support.plugins import declared
from support.zoo_files import put, state

SOURCE = """
from filtercrawl.api import Checkpoint, hookimpl
{head}
class Zoo:
    name = "{name}"

    def checkpoints(self, transport, query):
        yield from ()

@hookimpl
def filtercrawl_sources():
    yield Zoo()
"""
COMMAND = """
import {heavy}
from filtercrawl.api import Command, hookimpl

def hello():
    "Say hello."
    print("hello", {heavy}.__name__)

@hookimpl
def filtercrawl_commands():
    yield Command(name="hello", run=hello)
"""
Write = Callable[..., EntryPoint]
Call = Callable[..., Result]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a plugin's module where it can be imported, and return its entry point."""
    place = tmp_path / "plugins"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    written: list[str] = []

    def make(name: str, text: str, kind: str = "sources") -> EntryPoint:
        module = f"isolated_{name}_{tmp_path.name.replace('-', '_')}"
        (place / f"{module}.py").write_text(text, "utf-8")
        written.append(module)
        return EntryPoint(name=name, value=module, group=f"filtercrawl.{kind}")

    return make


@pytest.fixture
def call() -> Call:
    def run(plugins: Plugins, *words: object) -> Result:
        return CliRunner().invoke(build(plugins), [str(word) for word in words])

    return run


def test_a_plugin_is_imported_when_something_of_its_kind_is_asked_for(write: Write) -> None:
    one, two = write("one", SOURCE.format(head="", name="one")), write("two", COMMAND.format(heavy="json"), "commands")
    plugins = load_plugins([one, two])
    assert not {one.value, two.value} & sys.modules.keys()
    assert plugins.readers == ()
    assert not {one.value, two.value} & sys.modules.keys()
    assert list(plugins.sources) == ["one"]
    assert two.value not in sys.modules
    assert [command.name for command in plugins.commands] == ["hello"]
    assert two.value in sys.modules


def test_a_source_that_is_named_as_its_plugin_is_imported_alone(write: Write) -> None:
    entries = [write(name, SOURCE.format(head="", name=name.replace("_", "-"))) for name in ("one", "two_three")]
    plugins = load_plugins(entries)
    assert plugins.sources["two-three"].name == "two-three"
    assert plugins.origin["two-three"] == "two_three"
    assert entries[0].value not in sys.modules
    assert "four" not in plugins.sources  # it takes all plugins to know
    assert entries[0].value in sys.modules


@pytest.mark.parametrize("ask_first", [True, False])
def test_of_two_sources_of_one_name_the_one_named_as_its_plugin_counts(write: Write, ask_first: bool) -> None:
    other, own = write("other", SOURCE.format(head="", name="zoo")), write("zoo", SOURCE.format(head="", name="zoo"))
    plugins = load_plugins([other, own])
    if ask_first:
        assert type(plugins.sources["zoo"]).__module__ == own.value
    assert [failure.plugin for failure in plugins.broken] == ["other"]
    assert [type(source).__module__ for source in plugins.sources.values()] == [own.value]


def test_commands_that_share_their_first_word_are_a_group(write: Write, call: Call) -> None:
    one = write("one", COMMAND.format(heavy="json").replace('"hello", run', '"say hello", run'), "commands")
    two = write("two", COMMAND.format(heavy="csv").replace('"hello", run', '"say more", run'), "commands")
    taken = write("three", COMMAND.format(heavy="html").replace('"hello", run', '"sync more", run'), "commands")
    plugins = load_plugins([one, two, taken])
    assert call(plugins, "say", "hello").stdout == "hello json\n"
    assert call(plugins, "say", "more").stdout == "hello csv\n"
    assert "One of the commands hello, more." in call(plugins, "--help").stdout
    assert "Options" in call(plugins, "sync", "--help").stdout  # a command of that name is no group
    assert call(plugins, "say", "nothing").exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "from {other} import *\n",
        "from {other} import filtercrawl_sources as filtercrawl_sources\n",
        "from filtercrawl.api import hookimpl\n"
        "@hookimpl(specname='filtercrawl_sources')\ndef mine():\n    import {other}\n"
        "    return [{other}.Zoo()]\n",
    ],
)
def test_a_hook_that_comes_from_elsewhere_is_found(write: Write, text: str) -> None:
    other = write("other", SOURCE.format(head="", name="one"))
    assert list(load_plugins([write("front", text.format(other=other.value))]).sources) == ["one"]


def test_an_object_in_a_module_may_be_the_plugin(write: Write) -> None:
    text = SOURCE.format(head="", name="one").replace("@hookimpl\ndef", "class Plugin:\n  @hookimpl\n  def")
    text = text.replace("():\n    yield Zoo", "(self):\n    yield Zoo") + "\nplugin = Plugin()\n"
    module = write("held", text)
    assert list(load_plugins([EntryPoint("held", f"{module.value}:plugin", "filtercrawl.sources")]).sources) == ["one"]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("raise SystemExit(0)", "SystemExit"),
        ("def f(:", "SyntaxError"),
        ("FILTERCRAWL_API = 2", "built for version 2 of the plugin interface"),
        ("FILTERCRAWL_API = '1'", "built for version '1' of the plugin interface"),
        ("FILTERCRAWL_API = True", "built for version True"),
    ],
)
def test_what_cannot_be_used_is_told_once_and_left_out(write: Write, head: str, reason: str) -> None:
    bad, good = write("bad", SOURCE.format(head=head, name="bad")), write("good", SOURCE.format(head="", name="good"))
    told: list[str] = []
    plugins = load_plugins([bad, good], on_error=lambda broken: told.append(f"{broken.plugin}: {broken.reason}"))
    assert list(plugins.sources) == ["good"]
    assert [broken.plugin for broken in plugins.broken] == ["bad"]
    assert len(told) == 1
    assert told[0].startswith("bad: ")
    assert reason in told[0]


def test_a_plugin_may_state_the_version_that_it_is_built_for(write: Write) -> None:
    text = SOURCE.format(head=f"FILTERCRAWL_API = {api.API_VERSION}", name="one")
    assert list(load_plugins([write("one", text)]).sources) == ["one"]


def test_a_plugin_that_is_left_out_is_not_even_imported(write: Write, call: Call) -> None:
    bad, good = write("bad", SOURCE.format(head="1/0", name="bad")), write("good", SOURCE.format(head="", name="good"))
    found = json.loads(call(load_plugins([bad, good]), "--no-plugin", "bad", "sources", "--json").stdout)
    assert ([row["name"] for row in found["sources"]], found["broken"]) == (["good"], [])
    assert bad.value not in sys.modules
    with pytest.raises(UsageError, match=r"--no-plugin nosuch: .* installed are bad, good"):
        load_plugins([bad, good]).without_plugin("nosuch")


def test_a_module_that_is_not_installed_can_be_used(write: Write, call: Call) -> None:
    extra = write("extra", SOURCE.format(head="", name="extra"))
    hello = write("hello", COMMAND.format(heavy="json"))
    result = call(load_plugins([]), "--plugin", extra.value, "sources", "-v")
    assert result.stdout.startswith("extra ")
    assert f"not installed, {extra.value}" in result.stdout
    assert call(load_plugins([]), "--plugin", hello.value, "hello").stdout == "hello json\n"
    assert "Say hello." in call(load_plugins([]), "--plugin", hello.value, "--help").stdout
    bad = write("bad", SOURCE.format(head="1/0", name="bad"))
    with pytest.raises(UsageError, match=f"{bad.value}: ZeroDivisionError"):
        load_plugins([]).with_plugin(bad.value)


def test_a_module_in_this_folder_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "my_zoo.py").write_text(SOURCE.format(head="", name="mine"), "utf-8")
    code = "import sys; sys.path.remove(''); from filtercrawl.cli import main; main()"
    words = ["--plugin", "my_zoo", "sources"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert "mine " in done.stdout


def test_sources_shows_where_each_comes_from(plugins: Plugins, call: Call) -> None:
    rows = json.loads(call(plugins, "sources", "-v", "--json").stdout)["sources"]
    local = next(row for row in rows if row["name"] == "local")
    assert (
        local | {"plugin": "local", "distribution": "filtercrawl", "module": "filtercrawl_plugins.sources.local.source"}
        == local
    )
    assert local["version"][0].isdigit()
    lines = call(plugins, "sources", "--verbose").stdout.splitlines()
    assert all("filtercrawl_plugins." in line for line in lines)
    assert len(lines) == len(rows)


IMPORTS = """
import sys
sys.argv = ["filtercrawl", *{words}]
from filtercrawl.cli import main
heavy = "torch timm torchvision matplotlib datasets huggingface_hub pandas scipy onnx sympy h5py duckdb"
heavy = [*heavy.split(), "httpx2", "pyarrow.compute", "rich"]
try:
    main()
finally:
    print([name for name in heavy if name in sys.modules])
"""


def heavy_imports(*words: object) -> list[str]:
    """Return the lines that a command prints, and in the last one the heavy libraries that it has imported."""
    code = IMPORTS.format(words=[str(word) for word in words])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "words", [["--help"], ["sync", "--help"], ["plugin", "--help"], ["analyze", "--help"], ["config"], ["--version"]]
)
def test_what_needs_no_heavy_library_imports_none(words: list[str]) -> None:
    assert heavy_imports(*words)[-1] == "[]"


def test_a_sync_that_finds_nothing_new_imports_no_heavy_library(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    (zoo / "notes.txt").write_text("of no known format: every reader is asked each time")
    run_sync()
    *lines, heavy = heavy_imports("sync", f"local:{zoo}", "--dataset", dataset)
    assert (lines[0], heavy) == ("checkpoints: 1 unchanged, 1 ignored", "[]")
    assert heavy_imports("status", "--dataset", dataset)[-1] == "[]"


def test_the_bundled_plugins_declare_every_hook_that_they_implement() -> None:
    entries = declared()
    assert load_plugins(entries).broken == ()
    for module in {entry.value for entry in entries}:
        groups = {entry.group for entry in entries if entry.value == module}
        assert {group_of(kind) for kind in implemented_kinds(module)} == groups


def test_config_says_what_holds_and_why_and_shows_no_secret(
    write: Write, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "filtercrawl.toml").write_text(
        """
        [sync]
        jobs = 3
        kernel_size = "all"
        max_bytes = "1500k"
        [license]
        unknown = "drop"
        [publish]
        notify_cmd = "curl -H token:s3cret https://hooks.example"
        [sources.acme]
        index = "https://me:s3cret@zoo.example/index.json?key=s3cret"
        api_token = "s3cret"
        depth = { password = "s3cret", level = 2 }
        [auth."https://zoo.example"]
        token_env = "ZOO_TOKEN"
        [auth."https://other.example"]
        token_env = "NOT_SET"
        [mirrors]
        "https://zoo.example/" = "https://mirror.example/"
        """,
        "utf-8",
    )
    monkeypatch.setenv("ZOO_TOKEN", "s3cret")
    monkeypatch.setenv("FILTERCRAWL_KERNEL_SIZE", "3x3")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    plugins = load_plugins([write("acme", SOURCE.format(head="", name="acme"))])
    text, as_json = call(plugins, "config").stdout, call(plugins, "config", "--json").stdout
    assert "s3cret" not in text + as_json
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(as_json)["settings"]}
    assert rows["jobs"] == ("3", "filtercrawl.toml [sync] jobs")
    assert rows["kernel_size"] == ("3x3", "FILTERCRAWL_KERNEL_SIZE")
    assert rows["publish.notify_cmd"] == ("curl ...", "filtercrawl.toml [publish] notify_cmd")
    assert rows["retry"] == ("due", "default")
    assert rows["max_bytes"] == ("1500k", "filtercrawl.toml [sync] max_bytes")
    assert (rows["cache_size"], rows["max_disk"]) == (("16G", "default"), (None, "default"))
    assert rows["license.unknown"] == ("drop", "filtercrawl.toml [license] unknown")
    assert rows["license.default"] == ("keep", "default")
    assert rows["cache"] == (str(tmp_path / "cache/filtercrawl"), "default")
    assert rows["sources.acme.index"] == ("https://zoo.example/index.json", "filtercrawl.toml")
    assert rows["sources.acme.depth"] == ("password=(hidden), level=2", "filtercrawl.toml")
    assert rows['auth."https://zoo.example"'] == ("$ZOO_TOKEN (set)", "filtercrawl.toml")
    assert rows['auth."https://other.example"'] == ("$NOT_SET (not set)", "filtercrawl.toml")
    assert rows['mirrors."https://zoo.example/"'] == ("https://mirror.example/", "filtercrawl.toml")


def test_doctor_finds_a_broken_plugin_and_a_missing_token(write: Write, call: Call, tmp_path: Path, zoo: Path) -> None:
    good, bad = write("good", SOURCE.format(head="", name="good")), write("bad", "1/0  # filtercrawl_sources")
    sound = call(load_plugins([good]), "doctor", "--json")
    assert (sound.exit_code, json.loads(sound.stdout)["sound"]) == (0, True)
    (tmp_path / "filtercrawl.toml").write_text('[auth."https://zoo.example"]\ntoken_env = "NOT_SET"\n', "utf-8")
    file = put(zoo / "net.safetensors", state())
    result = call(load_plugins([good, bad]), "doctor", "--dataset", file / "below", "--json")
    assert result.exit_code == 1
    problems = {check["name"]: check["problem"] for check in json.loads(result.stdout)["checks"] if check["problem"]}
    assert "--no-plugin bad" in problems["plugin"]
    assert "NOT_SET" in problems["token"]
    assert "is not a folder" in problems["dataset"]
    assert "problem" in call(load_plugins([bad]), "doctor").stdout


def test_doctor_names_a_package_that_was_not_installed(
    write: Write, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "analysis", (write("copied", "").value,))
    result = call(load_plugins([]), "doctor")
    assert (result.exit_code, "of unknown version" in result.stdout) == (0, True)


def test_doctor_asks_servers_only_when_told_to(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.http_server import Answer, FileServer

    with FileServer() as server:
        server.on("/", lambda asked: Answer(status=204))
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert call(load_plugins([]), "doctor").exit_code == 0
        assert server.log == []
        result = call(load_plugins([]), "doctor", "--network")
        assert f"{server.url} answers 204" in result.stdout
        assert [asked.path for asked in server.log] == ["/"]


def test_the_version_is_told_without_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "filtercrawl", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("filtercrawl ")
