"""The source `packages`: files of installed distributions, with what RECORD and METADATA prove about them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from conftest import Sync
from filtercrawl import inspect
from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.api.local_file import file_version
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.source import Query, Source
from filtercrawl_plugins.sources.packages.source import PackagesSource, filtercrawl_sources
from support.plugins import instead
from support.zoo_files import models, put, state


class NoNetwork:
    def get_json(self, url: str) -> object:
        raise AssertionError(url)

    def pages(self, url: str) -> Iterator[object]:
        raise AssertionError(url)


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, files: dict[str, bytes], *headers: str, record: str | None = None) -> Path:
        """Lay down files, METADATA with `headers` and a RECORD; return the dist-info folder."""
        info = f"{name}-1.5.dist-info"
        metadata = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.5", *headers, "", "Text."])
        everything = {**files, f"{info}/METADATA": metadata.encode()}
        lines = []
        for path, data in everything.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            lines.append(record_line(path, data))
        text = "\n".join([*lines, f"{info}/RECORD,,", ""]) if record is None else record
        (self.folder / info / "RECORD").write_text(text)
        return self.folder / info

    def offers(self, pattern: str | None = None) -> list[Offer]:
        return list(PackagesSource([str(self.folder)]).checkpoints(NoNetwork(), Query(pattern=pattern)))

    def names(self, pattern: str | None = None) -> list[str]:
        return [offer.name for offer in self.offers(pattern)]

    def only(self, pattern: str | None = None) -> Checkpoint:
        (offer,) = self.offers(pattern)
        assert isinstance(offer, Checkpoint)
        return offer


def record_line(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f'"{path}",sha256={digest},{len(data)}'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_the_hook_yields_the_source() -> None:
    (source,) = filtercrawl_sources()
    assert isinstance(source, Source)
    assert source.name == "packages"


@pytest.mark.parametrize(("name", "least"), [("silero-vad", 8), ("speechmos", 9)])
def test_a_real_distribution_that_ships_networks(name: str, least: int) -> None:
    try:
        version = distribution(name).version
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed: it comes with the extra `samples`")
    (source,) = filtercrawl_sources()
    offers = list(source.checkpoints(NoNetwork(), Query(pattern=name)))
    assert len(offers) >= least
    for offer in offers:
        assert isinstance(offer, Checkpoint)
        (file,) = offer.files
        path = Path(unquote(urlsplit(file.url).path))
        assert offer.name == f"{name}/{file.path}"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
        assert (file.size, file.etag) == (path.stat().st_size, file_version(path.stat()))
        assert offer.meta.license == "MIT"
        assert offer.meta.license_evidence == "METADATA Classifier: License :: OSI Approved :: MIT License"
        assert offer.meta.extra == {"distribution": name, "version": version}
    assert {Path(offer.name).suffix for offer in offers} >= {".onnx"}


def test_every_distribution_is_listed_sorted_and_once() -> None:
    offers = list(PackagesSource().checkpoints(NoNetwork(), Query()))
    names = [offer.name for offer in offers]
    assert len(names) == len(set(names))
    assert len({name.split("/")[0] for name in names}) > 5
    assert not {Path(name).suffix for name in names} & {".py", ".pyc", ".so", ".h"}
    # Machines change files of distributions: their certificates, for one.
    skipped = [offer.reason for offer in offers if isinstance(offer, Skipped)]
    assert all(reason.startswith("changed since it was installed") for reason in skipped)


def test_names_follow_record_and_code_is_passed_over(site: Site) -> None:
    files = {
        "Nets/b.onnx": b"b",
        "Nets/a": b"a",
        "Nets/code.py": b"",
        "Nets/lib.SO": b"",
        "Nets/x, y.bin": b"c",
    }
    site.install("My_Nets.2", files)
    assert site.names() == ["my-nets-2/Nets/a", "my-nets-2/Nets/b.onnx", "my-nets-2/Nets/x, y.bin"]


def test_what_a_library_tests_itself_with_is_passed_over(site: Site) -> None:
    kept = ["nets/best.onnx", "nets/latest/w.onnx", "nets/tests"]
    site.install("nets", dict.fromkeys((*kept, "nets/test/data/w.onnx", "tests/w.onnx"), b"x"))
    assert site.names() == [f"nets/{path}" for path in kept]


def test_pth_files_are_import_paths_beside_the_packages_and_weights_inside_them(site: Site) -> None:
    site.install("nets", {"nets.pth": b"import sys", "nets/model.pth": b"weights"})
    assert site.names() == ["nets/nets/model.pth"]


def archive(**arrays: tuple[int, ...]) -> bytes:
    made = io.BytesIO()
    np.savez(made, **{name: np.zeros(shape, np.float32) for name, shape in arrays.items()})
    return made.getvalue()


def test_without_a_pattern_archives_of_tables_are_passed_over(site: Site) -> None:
    site.install(
        "plots",
        {
            "plots/table.npz": archive(x=(9,), y=(9, 9), count=()),
            "plots/net.npz": archive(bias=(9,), weight=(9, 3, 3)),
            "plots/broken.npz": b"PK",
            "plots/table.npy": b"\x93NUMPY",
        },
    )
    everything = [f"plots/plots/{name}" for name in ("broken.npz", "net.npz", "table.npy", "table.npz")]
    assert site.names() == everything[:3]
    assert site.names("plots") == site.names("*") == everything
    assert site.only("plots/plots/table.npz").named


def test_what_matplotlib_and_scipy_ship_is_no_network() -> None:
    offers = PackagesSource().checkpoints(NoNetwork(), Query())
    archives = [offer.name for offer in offers if offer.name.endswith(".npz")]
    assert not [name for name in archives if name.startswith(("matplotlib/", "scipy/"))]
    assert len(list(PackagesSource().checkpoints(NoNetwork(), Query(pattern="matplotlib/*.npz")))) >= 1


def test_patterns_match_normalised_names(site: Site) -> None:
    for name in ("Speech_Nets", "speech.tools", "vision"):
        site.install(name, {f"{name}/w.bin": b"x"})
    both = ["speech-nets/Speech_Nets/w.bin", "speech-tools/speech.tools/w.bin"]
    assert site.names("Speech*") == both
    assert site.names("speech_*") == both
    assert site.names("SPEECH-nets") == both[:1]
    assert site.names("  ") == site.names() == [*both, "vision/vision/w.bin"]
    for pattern in ("sound", "sound*", "vis"):
        with pytest.raises(UsageError, match="is installed here") as missing:
            site.names(pattern)
        assert pattern in str(missing.value)
        assert "\n" not in str(missing.value)


def test_every_name_that_is_offered_selects_its_file(site: Site) -> None:
    files = (
        "My_Nets/data/Silero_VAD.16k.safetensors",
        "My_Nets/data/w[1]*.bin",
        "My_Nets/data/w1x.bin",
        "My_Nets/w 1.bin",
    )
    site.install("My_Nets.2", dict.fromkeys(files, b"x"))
    names = site.names("my-nets-2")
    assert names == [f"my-nets-2/{path}" for path in sorted(files)]
    for name in names:
        assert site.names(name) == [name]
        assert site.names(name.replace("my-nets-2", "My_Nets.2")) == [name]


def test_paths_match_wildcards_and_are_not_normalized(site: Site) -> None:
    for name in ("Speech_Nets", "speech.tools", "vision"):
        site.install(name, {f"{name}/data/W_1.bin": b"x", f"{name}/data/W_2.bin": b"x"})
    assert site.names("vision/*") == site.names("vision/") == site.names("vision")
    assert site.names("vision/*_2.bin") == ["vision/vision/data/W_2.bin"]
    assert site.names("Speech*/*/data/W_1.bin") == [
        "speech-nets/Speech_Nets/data/W_1.bin",
        "speech-tools/speech.tools/data/W_1.bin",
    ]
    assert site.names("*/vision/*") == site.names("vision")
    for pattern in ("vision/vision/data/w_1.bin", "vision/vision/data/W-1.bin", "vision/W_1.bin"):
        with pytest.raises(UsageError, match="no distribution 'vision' has a file") as missing:
            site.names(pattern)
        assert pattern.partition("/")[2] in str(missing.value)
        assert "\n" not in str(missing.value)
    with pytest.raises(UsageError, match="no distribution 'sound' is installed here"):
        site.names("Sound/vision/data/W_1.bin")


def test_a_recorded_file_that_is_gone_is_no_wrong_pattern(site: Site) -> None:
    site.install("nets", {"nets/w.bin": b"x", "nets/v.bin": b"x"})
    (site.folder / "nets" / "w.bin").unlink()
    assert site.names("nets/nets/w.bin") == []


def test_an_empty_site_offers_nothing(site: Site) -> None:
    assert site.names() == []


def test_the_first_on_the_path_is_the_one_in_use(tmp_path: Path) -> None:
    first, second = Site(tmp_path / "1"), Site(tmp_path / "2")
    first.install("nets", {"nets/new.bin": b"x"})
    second.install("Nets", {"nets/old.bin": b"x"})
    source = PackagesSource([str(first.folder), str(second.folder), str(tmp_path / "nowhere")])
    assert [offer.name for offer in source.checkpoints(NoNetwork(), Query())] == ["nets/nets/new.bin"]


def test_sys_path_is_where_distributions_are_by_default(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("nets-of-this-test", {"nets/w.bin": b"x"})
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    (source,) = filtercrawl_sources()
    assert [offer.name for offer in source.checkpoints(NoNetwork(), Query())] == ["nets-of-this-test/nets/w.bin"]


def test_paths_that_leave_the_folder_are_passed_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"s")
    site.install("nets", {"nets/w.bin": b"x"})
    lines = [
        "../secret.bin,,",
        "nets/../../secret.bin,,",
        f"{tmp_path}/secret.bin,,",
        "./nets/w.bin,,",
        ".,,",
        ",,",
        "c:\\w.bin,,",
        '"nets/new\nline.bin",,',
        "nets,,",
        "nets/w.bin,,",
        "nets/w.bin,,",
    ]
    site.install("nets", {"nets/w.bin": b"x"}, record="\n".join(lines))
    assert site.names() == ["nets/nets/w.bin"]


def test_what_is_recorded_and_gone_is_gone(site: Site) -> None:
    site.install("nets", {"nets/w.bin": b"x", "nets/v.bin": b"x"})
    (site.folder / "nets" / "w.bin").unlink()
    assert site.names() == ["nets/nets/v.bin"]


def test_a_file_of_another_size_than_recorded_is_skipped(site: Site) -> None:
    site.install("nets", {"nets/w.bin": b"123"})
    (site.folder / "nets" / "w.bin").write_bytes(b"12345")
    reason = "changed since it was installed: has 5 bytes, RECORD says 3"
    assert site.offers() == [Skipped(name="nets/nets/w.bin", reason=reason)]


@pytest.mark.parametrize(
    ("hashed", "size"),
    [
        ("", ""),
        ("md5=AAAA", "1"),
        ("sha256=AAAA", "1"),
        ("sha256=" + "!" * 43, "1"),
        ("sha256", "x"),
        ("sha256=é", "-1"),
    ],
)
def test_a_hash_that_is_no_sha256_is_unknown(site: Site, hashed: str, size: str) -> None:
    site.install("nets", {"nets/w.bin": b"x"}, record=f"nets/w.bin,{hashed},{size}\n")
    assert site.only().files[0].sha256 is None


def test_editable_installs_and_missing_records_offer_nothing(site: Site) -> None:
    editable = site.install("mine", {"mine/w.bin": b"x"})
    (editable / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))
    (site.install("conda", {"conda/w.bin": b"x"}) / "RECORD").unlink()
    (site.install("nameless", {"n/w.bin": b"x"}) / "METADATA").write_text("Version: 1\n\n")
    (site.install("bytes", {"b/w.bin": b"x"}) / "RECORD").write_bytes(b"\xff\xfe,,")
    site.install("broken", {"c/w.bin": b"x"}, record="c/w.bin,,\n" + '"' + "x" * 200_000 + "\n")
    copied = site.install("url", {"u/w.bin": b"x"})
    (copied / "direct_url.json").write_text('["no object"]')
    assert site.names() == ["broken/c/w.bin", "url/u/w.bin"]
    assert site.names("mine") == []


@pytest.mark.parametrize(
    ("headers", "expression", "evidence"),
    [
        (
            ["License-Expression: mit or apache-2.0"],
            "MIT OR Apache-2.0",
            "License-Expression: mit or apache-2.0",
        ),
        (["License-Expression: Whatever"], None, None),
        (["License-Expression: Whatever", "License: MIT"], None, None),
        (
            [
                "License: see file",
                "Classifier: License :: OSI Approved",
                "Classifier: License :: OSI Approved :: ISC License (ISCL)",
            ],
            "ISC",
            "Classifier: License :: OSI Approved :: ISC License (ISCL)",
        ),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)",
                "License: MIT",
            ],
            None,
            None,
        ),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: Free For Home Use",
            ],
            None,
            None,
        ),
        (["Classifier: License :: OSI Approved :: BSD License"], None, None),
        (
            ["Classifier: License :: OSI Approved :: BSD License", "License: BSD-3-Clause"],
            "BSD-3-Clause",
            "License: BSD-3-Clause",
        ),
        (
            ["Classifier: Programming Language :: Python", "License: apache-2.0"],
            "Apache-2.0",
            "License: apache-2.0",
        ),
        (["License: Apache License, Version 2.0"], None, None),
        (["License: " + " OR ".join(["MIT"] * 40)], None, None),
        (["License: UNKNOWN"], None, None),
        (["License:"], None, None),
        (["Licence: MIT"], None, None),
        (["License-Expression: MIT\n AND (("], None, None),
    ],
)
def test_the_licence_is_what_metadata_states_clearly(
    site: Site, headers: list[str], expression: str | None, evidence: str | None
) -> None:
    site.install("nets", {"nets/w.bin": b"x"}, *headers)
    meta = site.only().meta
    assert meta.license == expression
    assert meta.license_evidence == (None if evidence is None else f"METADATA {evidence}")


def test_a_file_that_is_not_what_record_says_is_refused(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    site = tmp_path / "site"
    good, bad = put(site / "acme/good.safetensors", state(1)), put(site / "acme/bad.safetensors", state(2))
    lines = []
    for file in (good, bad):
        digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
        lines.append(f"acme/{file.name},sha256={digest},{file.stat().st_size}")
    data = bytearray(bad.read_bytes())
    data[-1] ^= 1
    bad.write_bytes(data)
    info = site / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: acme\nVersion: 1.0\nLicense-Expression: MIT\n")
    (info / "RECORD").write_text("\n".join(lines))
    plugins = instead(load_plugins(), sources={"packages": PackagesSource([str(site)])})
    report = run_sync("packages:acme", plugins=plugins)
    assert list(report.failures) == ["packages/acme/acme/bad.safetensors"]
    assert "is recorded" in report.failures["packages/acme/acme/bad.safetensors"]
    row = models(dataset)["packages/acme/acme/good.safetensors"]
    assert (row["outcome"], row["verified"], row["license"]) == ("emitted", "sha256", "MIT")
    assert row["license_evidence"] == "METADATA License-Expression: MIT"


def test_inspect_takes_the_names_that_it_offers(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    site = Site(tmp_path / "site")
    data = put(tmp_path / "w.safetensors", state(1)).read_bytes()
    site.install("My_Nets", {"my_nets/data/w_16k.safetensors": data, "my_nets/data/w_8k.safetensors": data + b" "})
    plugins = instead(load_plugins(), sources={"packages": PackagesSource([str(site.folder)])})
    with pytest.raises(UsageError, match="2 checkpoints") as several:
        inspect("packages:My_Nets", plugins=plugins)
    name = site.names()[0]
    assert name in str(several.value)
    assert inspect(f"packages:{name}", plugins=plugins).name == name
    run_sync(f"packages:{name}", plugins=plugins)
    assert list(models(dataset)) == [f"packages/{name}"]
