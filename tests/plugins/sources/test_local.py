"""The source `local`: which files it offers, under which names, and what it does not walk into."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.api.local_file import file_version
from filtercrawl.api.source import Query, Source
from filtercrawl_plugins.sources.local.source import filtercrawl_sources


class NoNetwork:
    def get_json(self, url: str) -> object:
        raise AssertionError(url)

    def pages(self, url: str) -> Iterator[object]:
        raise AssertionError(url)


def offers(pattern: str | None) -> list[Offer]:
    (source,) = filtercrawl_sources()
    assert isinstance(source, Source)
    assert source.name == "local"
    return list(source.checkpoints(NoNetwork(), Query(pattern=pattern)))


def names(pattern: object) -> list[str]:
    return [offer.name for offer in offers(str(pattern)) if isinstance(offer, Checkpoint)]


def skipped(pattern: object) -> dict[str, str]:
    return {offer.name: offer.reason for offer in offers(str(pattern)) if isinstance(offer, Skipped)}


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_folder_gives_every_file_by_its_path_sorted_as_whole_names(tmp_path: Path) -> None:
    for name in ("b/x.pt", "b.pt", "b-c/y", "a/b/c/d.onnx", "README.md", "Ünï 1.pth"):
        put(tmp_path / name)
    assert names(tmp_path) == sorted(["b/x.pt", "b.pt", "b-c/y", "a/b/c/d.onnx", "README.md", "Ünï 1.pth"])
    assert skipped(tmp_path) == {}


def test_an_offer_says_where_the_file_is_and_when_to_look_again(tmp_path: Path) -> None:
    path = put(tmp_path / "nets" / "100% #1?.pt", b"12345")
    (offer,) = offers(str(tmp_path))
    assert isinstance(offer, Checkpoint)
    (file,) = offer.files
    parts = urlsplit(file.url)
    assert parts.scheme == "file"
    assert Path(unquote(parts.path)) == path
    assert not parts.query
    assert not parts.fragment
    assert (file.size, file.etag, file.path, file.sha256) == (5, file_version(path.stat()), "nets/100% #1?.pt", None)
    assert offer.revision is None
    path.write_bytes(b"54321")
    (again,) = offers(str(tmp_path))
    assert isinstance(again, Checkpoint)
    assert again.name == offer.name
    assert again.files[0].etag != file.etag


def test_a_file_is_offered_by_its_own_name(tmp_path: Path) -> None:
    path = put(tmp_path / "deep" / "net.pt")
    put(tmp_path / "deep" / "other.pt")
    assert names(path) == ["net.pt"]
    assert names(f"{path} as=mine") == ["mine/net.pt"]


def test_a_label_stands_before_the_names_and_not_in_the_paths(tmp_path: Path) -> None:
    put(tmp_path / "a b" / "x.pt")
    (offer,) = offers(f"{tmp_path / 'a b'} as=lab/nets")
    assert isinstance(offer, Checkpoint)
    assert offer.name == "lab/nets/x.pt"
    assert offer.files[0].path == "x.pt"


@pytest.mark.parametrize("label", ["", "..", "../up", "/root", ".", "a/", "a//b", "a/./b", "a\\b", "c:d", "a\nb"])
def test_a_label_that_is_no_relative_name_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(UsageError, match="label"):
        offers(f"{tmp_path} as={label}")


@pytest.mark.parametrize("pattern", [None, "", "  "])
def test_no_path_is_refused(pattern: str | None) -> None:
    with pytest.raises(UsageError, match="local needs a path: local:PATH"):
        offers(pattern)


def test_a_pattern_chooses_among_the_files_of_its_folder(tmp_path: Path) -> None:
    for name in ("m/a.pth", "m/b.onnx", "m/sub/c.pth", "m/x[1].pth", "m/run-1/d.pth", "other/e.pth"):
        put(tmp_path / name)
    assert names(tmp_path / "m/*.pth") == ["a.pth", "run-1/d.pth", "sub/c.pth", "x[1].pth"]
    assert names(tmp_path / "m/x[1].pth") == ["x[1].pth"]
    assert names(tmp_path / "m/run-?/*") == ["run-1/d.pth"]
    assert names(f"{tmp_path}/*/*.onnx as=lab") == ["lab/m/b.onnx"]
    with pytest.raises(UsageError, match=r"no file below '.*m' matches '\*\.tflite'"):
        offers(f"{tmp_path}/m/*.tflite")
    with pytest.raises(UsageError, match=r"cannot list '.*nowhere'"):
        offers(f"{tmp_path}/nowhere/*.pth")


def test_a_missing_path_and_a_special_file_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as missing:
        offers(str(tmp_path / "nowhere"))
    assert "nowhere" in str(missing.value)
    assert "\n" not in str(missing.value)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        offers(str(tmp_path / "fifo"))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="cannot list"):
        offers(str(tmp_path / "loop"))
    with pytest.raises(UsageError, match="local:PATH"):
        offers("a\0b")
    with pytest.raises(UsageError, match="home folder"):
        offers("~nobody-of-this-name/x")


def test_home_is_put_in_the_place_of_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "nets" / "x.pt")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/nets") == ["x.pt"]


def test_relative_paths_give_absolute_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "nets" / "x.pt")
    monkeypatch.chdir(tmp_path)
    for pattern in ("nets", "./nets/", "nets/../nets", "."):
        (offer,) = offers(pattern)
        assert isinstance(offer, Checkpoint)
        assert offer.files[0].url == (tmp_path / "nets" / "x.pt").as_uri()


def test_links_that_stay_are_followed_and_links_that_leave_are_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = put(tmp_path / "outside" / "secret.pt").parent
    put(tmp_path / "root-twin" / "near.pt")
    put(root / "real" / "x.pt", b"real")
    (root / "alias.pt").symlink_to("real/x.pt")
    (root / "folder").symlink_to(root / "real")
    (root / "out.pt").symlink_to(outside / "secret.pt")
    (root / "out").symlink_to(outside)
    (root / "twin.pt").symlink_to("../root-twin/near.pt")
    (root / "gone.pt").symlink_to("nothing.pt")
    (root / "circle.pt").symlink_to("circle.pt")
    assert names(root) == ["alias.pt", "folder/x.pt", "real/x.pt"]
    found = skipped(root)
    assert {found[name] for name in ("out.pt", "out", "twin.pt")} == {"symlink leaves the folder"}
    assert found["gone.pt"] == "symlink leads nowhere"
    assert found["circle.pt"].startswith("cannot be opened: ")
    assert len(found) == 5
    link = next(offer for offer in offers(str(root)) if offer.name == "alias.pt")
    assert isinstance(link, Checkpoint)
    assert link.files[0].size == 4


def test_a_linked_root_is_walked(tmp_path: Path) -> None:
    put(tmp_path / "real" / "x.pt")
    (tmp_path / "link").symlink_to("real")
    assert names(tmp_path / "link") == ["x.pt"]


def test_links_in_circles_and_links_to_each_other_end(tmp_path: Path) -> None:
    folders = [tmp_path / f"d{i:02}" for i in range(12)]
    for folder in folders:
        put(folder / "x.pt")
        (folder / "up").symlink_to("..")
        (folder / "self").symlink_to(".")
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    found = names(tmp_path)
    assert {name for name in found if name.count("/") == 1} == {f"{folder.name}/x.pt" for folder in folders}
    assert len(found) == 12 * 12


def test_other_programs_folders_and_datasets_are_not_entered(tmp_path: Path) -> None:
    put(tmp_path / "x.pt")
    put(tmp_path / ".hidden" / "y.pt")
    for name in (".git", ".cache", "sub/.git"):
        put(tmp_path / name / "no.pt")
    put(tmp_path / "dataset" / "manifest.json")
    put(tmp_path / "dataset" / "data" / "layers" / "local" / "00" / "z.parquet")
    put(tmp_path / "begun" / ".filtercrawl" / "catalog.sqlite")
    put(tmp_path / "begun" / "no.pt")
    put(tmp_path / "zoo" / "manifest.json")
    put(tmp_path / "zoo" / "data" / "w.pt")
    assert names(tmp_path) == [".hidden/y.pt", "x.pt", "zoo/data/w.pt", "zoo/manifest.json"]
    with pytest.raises(UsageError, match=r"dataset' is a dataset of filtercrawl, .*name the folder of the checkpoints"):
        offers(str(tmp_path / "dataset"))


@pytest.mark.parametrize("suffix", [".part", ".crdownload", ".TMP", ".incomplete"])
def test_unfinished_downloads_are_skipped_unless_named(tmp_path: Path, suffix: str) -> None:
    unfinished = put(tmp_path / f"a.pth{suffix}")
    put(tmp_path / "b.pth")
    assert names(tmp_path) == ["b.pth"]
    assert "still being downloaded" in skipped(tmp_path)[unfinished.name]
    assert names(unfinished) == [unfinished.name]


def test_special_files_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "x.pt")
    os.mkfifo(tmp_path / "fifo.pt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.pt"))
        assert names(tmp_path) == ["x.pt"]
        assert skipped(tmp_path) == {}


def test_names_that_are_no_text_are_skipped_with_an_escaped_name(tmp_path: Path) -> None:
    put(tmp_path / "ok.pt")
    invisible = "zero\u200bwidth".encode()
    for raw in (b"bad\xff.pt", b"bad\\xff.pt", b"new\nline.pt", b"esc\x1b[0m.pt", invisible):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(b"x")
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/dir\xfe/x.pt")))
    assert names(tmp_path) == ["ok.pt"]
    shown = [r"bad\xff.pt", r"bad\x5cxff.pt", r"new\x0aline.pt", r"esc\x1b[0m.pt", r"zero\U0000200bwidth"]
    assert set(skipped(tmp_path)) == {*shown, r"dir\xfe"}
    put(tmp_path / "by\\hand.pt")
    assert "by\\hand.pt" in names(tmp_path)
    with pytest.raises(UsageError, match="printable"):
        offers(str(tmp_path / "new\nline.pt"))


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder everybody may read, seen by somebody who is not root: root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        was = os.geteuid()
        put(Path(folder) / "open" / "x.pt")
        put(Path(folder) / "open" / "locked.pt").chmod(0)
        put(Path(folder) / "open" / "locked.log").chmod(0)
        put(Path(folder) / "open" / "shut" / "y.pt").parent.chmod(0)
        if was == 0:
            os.seteuid(65534)
        try:
            yield Path(folder) / "open"
        finally:
            os.seteuid(was)
            (Path(folder) / "open" / "shut").chmod(0o755)


def test_what_may_not_be_read_is_skipped_with_the_reason_unless_it_is_weights(as_nobody: Path) -> None:
    assert names(as_nobody) == ["locked.pt", "x.pt"]  # reading it will say why not, and fails it
    assert skipped(as_nobody) == {
        "locked.log": "cannot be opened: Permission denied",
        "shut": "cannot be listed: Permission denied",
    }
    with pytest.raises(UsageError, match="Permission denied"):
        offers(str(as_nobody / "shut"))


def test_listing_is_lazy_and_deeper_than_the_call_stack(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1010):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x.pt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    put(tmp_path / "a.pt")
    (source,) = filtercrawl_sources()
    listing = source.checkpoints(NoNetwork(), Query(pattern=str(tmp_path)))
    assert next(listing).name == "a.pt"
    (deep,) = listing
    assert deep.name == "d/" * 1010 + "x.pt"
    # Whoever clears up after the tests may walk folders by calling itself.
    (tmp_path / deep.name).unlink()
    os.removedirs(tmp_path / deep.name.removesuffix("/x.pt"))


_part = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", "..", ".git", ".cache", ".filtercrawl"}
)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.lists(_part, min_size=1, max_size=3).map(tuple), max_size=6))
def test_every_file_is_offered_or_skipped_once_whatever_it_is_called(paths: set[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for parts in paths:
            path = Path(folder, *parts)
            try:
                put(path)
            except OSError:  # a file stands where a folder should be, or the system takes no such name
                continue
        found = offers(folder)
        plain = [offer.name for offer in found if isinstance(offer, Checkpoint)]
        assert plain == sorted(plain)
        assert len(plain) == len(set(plain))
        assert all(Path(folder, name).is_file() for name in plain)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        odd = [path for path in files if not path.relative_to(folder).as_posix().isprintable()]
        assert len(files) - len(odd) <= len(plain) <= len(files)
        assert all(offer.name.isprintable() for offer in found)
        assert len({offer.name for offer in found}) == len(found)


# The cache of huggingface_hub.


def put_snapshot(repository: Path, revision: str, files: dict[str, bytes]) -> Path:
    """Lay out a snapshot as `snapshot_download` does."""
    snapshot = repository / "snapshots" / revision
    for name, data in files.items():
        blob = put(repository / "blobs" / hashlib.sha256(data).hexdigest(), data)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def test_a_snapshot_is_listed_by_its_names(tmp_path: Path) -> None:
    repository = tmp_path / "models--org--net"
    snapshot = put_snapshot(repository, "a" * 40, {"model.safetensors": b"one", "unet/model.safetensors": b"two"})
    assert names(snapshot) == ["model.safetensors", "unet/model.safetensors"]
    assert names(snapshot / "unet") == ["model.safetensors"]
    (offer,) = offers(str(snapshot / "model.safetensors"))
    assert isinstance(offer, Checkpoint)
    assert (offer.name, offer.files[0].url) == ("model.safetensors", (snapshot / "model.safetensors").as_uri())
    assert skipped(snapshot) == {}


@pytest.mark.parametrize("below", ["", "hub"])
def test_of_a_cached_repository_the_snapshot_of_main_is_listed(tmp_path: Path, below: str) -> None:
    repository = tmp_path / "hub" / "models--org--net"
    for revision in "abc":
        put_snapshot(repository, revision * 40, {"model.safetensors": revision.encode()})
    put(repository / "refs" / "main", b"b" * 40)
    put(tmp_path / "hub" / "version.txt")
    prefix = "" if below else "hub/"
    expected = [f"{prefix}models--org--net/snapshots/{'b' * 40}/model.safetensors", f"{prefix}version.txt"]
    assert names(tmp_path / below) == expected
    assert names(repository) == [f"snapshots/{'b' * 40}/model.safetensors"]
    assert len(names(repository / "snapshots")) == 3


@pytest.mark.parametrize("main", [None, b"d" * 40, b"../../..", b"", b"x" * 1000])
def test_without_a_branch_the_snapshot_that_changed_last_is_listed(tmp_path: Path, main: bytes | None) -> None:
    repository = tmp_path / "models--org--net"
    for time, revision in ((2, "a"), (3, "b"), (1, "c")):
        snapshot = put_snapshot(repository, revision * 40, {"model.safetensors": revision.encode()})
        os.utime(snapshot, (time, time))
    if main is not None:
        put(repository / "refs" / "main", main)
    assert names(tmp_path) == [f"models--org--net/snapshots/{'b' * 40}/model.safetensors"]


def test_links_of_a_snapshot_lead_to_its_own_blobs_only(tmp_path: Path) -> None:
    snapshot = put_snapshot(tmp_path / "models--org--net", "a" * 40, {"model.safetensors": b"one"})
    other = put_snapshot(tmp_path / "models--org--other", "a" * 40, {"model.safetensors": b"two"})
    put(tmp_path / "secret.pt")
    (snapshot / "secret.pt").symlink_to("../../../secret.pt")
    (snapshot / "other.pt").symlink_to(other / "model.safetensors")
    (snapshot / "all").symlink_to("../../blobs")
    (snapshot / "up").symlink_to("../..")
    assert names(snapshot) == ["model.safetensors"]
    assert skipped(snapshot).keys() == {"secret.pt", "other.pt", "all", "up"}


def test_folders_of_a_cached_repository_that_are_links_are_not_trusted(tmp_path: Path) -> None:
    put(tmp_path / "outside" / "blob.pt")
    repository = tmp_path / "root" / "models--org--net"
    (repository / "snapshots" / "a").mkdir(parents=True)
    (repository / "blobs").symlink_to("../../outside")
    (repository / "snapshots" / "a" / "x.pt").symlink_to("../../blobs/blob.pt")
    assert names(repository / "snapshots" / "a") == []
    (repository / "snapshots" / "b").symlink_to("../../../outside")
    put(repository / "refs" / "main", b"b")
    assert names(tmp_path / "root") == []


def test_a_named_link_stands_beside_its_target(tmp_path: Path) -> None:
    put(tmp_path / "runs" / "7" / "net.onnx")
    (tmp_path / "latest.onnx").symlink_to("runs/7/net.onnx")
    (tmp_path / "runs" / "best.onnx").symlink_to("../latest.onnx")
    for link in (tmp_path / "latest.onnx", tmp_path / "runs" / "best.onnx"):
        (offer,) = offers(str(link))
        assert isinstance(offer, Checkpoint)
        assert offer.name == link.name
        assert offer.files[0].url == (tmp_path / "runs" / "7" / "net.onnx").as_uri()
