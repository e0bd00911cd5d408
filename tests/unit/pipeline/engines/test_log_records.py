"""Log records of workers appear in the log of the run as they were made."""

from __future__ import annotations

import logging
import pickle

import pytest

from filtercrawl.pipeline.engines.workers.log_records import LogCollector, replay


@pytest.fixture
def far() -> tuple[logging.Logger, LogCollector]:
    """A logger whose records are collected, as in a worker."""
    logger, collector = logging.Logger("filtercrawl.far", logging.DEBUG), LogCollector()
    logger.addHandler(collector)
    return logger, collector


def test_message_level_extra_and_traceback_arrive(
    far: tuple[logging.Logger, LogCollector], caplog: pytest.LogCaptureFixture
) -> None:
    logger, collector = far
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError("no such layer")
        except ValueError:
            logger.warning("%s has %d", "net", 3, extra={"checkpoint": "lab/net", "odd": object}, exc_info=True)
        replay(pickle.loads(pickle.dumps(collector.take())))
    [record] = caplog.records
    assert (record.getMessage(), record.levelno, record.name) == ("net has 3", logging.WARNING, "filtercrawl.far")
    assert vars(record)["checkpoint"] == "lab/net"
    assert "ValueError: no such layer" in (record.exc_text or "")


def test_records_are_taken_once_and_those_of_ray_are_left(far: tuple[logging.Logger, LogCollector]) -> None:
    logger, collector = far
    logger.info("one")
    collector.handle(logging.makeLogRecord({"name": "ray.data", "msg": "two"}))
    assert [fields["msg"] for fields in collector.take()] == ["one"]
    assert collector.take() == []


def test_a_logger_that_does_not_want_a_record_does_not_get_it(
    far: tuple[logging.Logger, LogCollector], caplog: pytest.LogCaptureFixture
) -> None:
    logger, collector = far
    logger.debug("details")
    with caplog.at_level(logging.INFO):
        replay(collector.take())
    assert caplog.records == []


def test_a_wrong_log_call_ends_nothing(
    far: tuple[logging.Logger, LogCollector], capsys: pytest.CaptureFixture[str]
) -> None:
    logger, collector = far
    logger.info("%d", "three")
    assert collector.take() == []
    assert "Logging error" in capsys.readouterr().err
