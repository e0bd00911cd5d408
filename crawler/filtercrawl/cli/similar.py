"""`filtercrawl similar`: the kernels of a dataset that are nearest to one of them, or to those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.cli.options import JsonOption, print_json, setting_option
from filtercrawl.config import resolve


def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID|FILE",
            help="The id of a kernel, layer_id:out:in, or a .npy file with kernels [n, *kernel_size].",
        ),
    ],
    dataset: Annotated[str | None, typer.Option(metavar="DIR|REPO", help="A folder or org/name[@revision].")] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Neighbors of each kernel.")] = 10,
    metric: Annotated[str, typer.Option(metavar="cosine|l2", help="The measure of similarity.")] = "cosine",
    invariant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANGE",
            help="A change that does not count: scale, sign, rotation (quarter turns) or flip (of either axis); may be "
            "repeated. The nearest of all combinations counts.",
        ),
    ] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="A condition over the columns of index, for example depthwise.")
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size of the kernels of a file, such as 3x3.")
    ] = None,
    device: Annotated[str | None, setting_option("device")] = None,
    json: JsonOption = False,
) -> None:
    """Find the kernels of a dataset that are nearest to one of them, or to those of a file, exactly.

    A kernel of the dataset finds itself first.

    For example: filtercrawl similar 'local/a.pth#conv1.weight:0:0' --invariant rotation --invariant sign.
    """
    from filtercrawl.kernel_search import search

    settings = resolve({"device": device})
    found = search(
        dataset or settings.require_folder(),
        _queries(what),
        kernel=kernel,
        k=k,
        metric=metric,  # type: ignore[arg-type]  # checked by `Similarity`
        invariant=tuple(invariant or ()),  # type: ignore[arg-type]  # as above
        where=where,
        device=settings.device,
    )
    if json:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))


def _queries(what: str) -> Any:
    """Return the array of a file, or the text as an id.

    Raises:
        UsageError: The file is no array of numbers.
    """
    path = Path(what)
    if path.suffix != ".npy" and not path.is_file():
        return what
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"{what}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:  # whose text recommends to allow pickles
        raise UsageError(f"{what}: is no .npy file of kernels, or is damaged") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise UsageError(f"{what}: is an archive of arrays; save one of them as a .npy file")
    return found
