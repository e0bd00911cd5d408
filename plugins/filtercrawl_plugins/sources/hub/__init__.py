"""The source `hub`: weights in the model repositories of the Hugging Face Hub.

Flow: `pattern` parses the selector, `source` lists repositories, `repo_lister` turns each into offers with the help of
`weight_files` (which files are checkpoints), `revision` (at which commit), `model_card` and `model_config` (what is
known about them); `build` constructs the architecture.
"""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Source
from filtercrawl_plugins.sources.hub.source import HubSource


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield HubSource()
