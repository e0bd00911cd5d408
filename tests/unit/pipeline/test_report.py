"""Reports of a sync run."""

from __future__ import annotations

from filtercrawl.pipeline.report import WORDS, SyncReport


def test_the_json_has_a_count_for_every_word() -> None:
    report = SyncReport()
    report.count_removed("lab/net")
    content = report.to_dict()
    assert list(content["checkpoints"]) == list(WORDS)
    assert (content["checkpoints"]["removed"], content["removed"]) == (1, ["lab/net"])
    assert content["sources"]["lab"]["removed"] == 1


def test_html_tells_what_was_read_apart_from_the_size_of_the_files() -> None:
    """Parts of a file may be read twice, so the one is no share of the other."""
    page = SyncReport(bytes_fetched=30_000, bytes_offered=18_000)._repr_html_()
    assert "30 kB of" not in page
    for name, size in (("bytes read or fetched", "30 kB"), ("size of their files", "18 kB")):
        assert name in page
        assert size in page


def test_html_shows_counts_and_escapes_names_and_messages() -> None:
    report = SyncReport(layers=1234, failures={"lab/<b>net": "bad <script>alert(1)</script> & more"})
    report.checkpoints["failed"] = 1
    page = report._repr_html_()
    assert "1,234" in page
    assert "lab/&lt;b&gt;net" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
