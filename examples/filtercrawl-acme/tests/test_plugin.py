"""The source acme, against an invented zoo on this machine."""

from filtercrawl.testing import sample_weights
from filtercrawl_acme.conformance import conformance


def test_it_keeps_every_promise(check_plugin):
    check_plugin("filtercrawl_acme")


def test_its_kernels_are_kept(file_server, sync_with):
    zoo = conformance(file_server)
    zoo.add("net", sample_weights())
    report = sync_with("filtercrawl_acme", "acme", sources={"acme": zoo.settings})
    assert (report.problems, report.failures) == ({}, {})
    assert report.layers == 2


def test_what_is_retracted_is_skipped(file_server, sync_with):
    zoo = conformance(file_server)
    for number, name in enumerate(("net", "retracted", "third")):
        zoo.add(name, sample_weights(number))
    report = sync_with("filtercrawl_acme", "acme", sources={"acme": zoo.settings})
    assert (report.checkpoints["new"], report.checkpoints["skipped"]) == (2, 1)
    assert not any("/store/retracted" in asked.path for asked in file_server.log)
