"""Open the catalog at the start of a run, and repair what a killed run or an older version left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory  # noqa: TID251 - in the dataset folder, which is cleared up by each run

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.formatting import shown
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.rebuild import rebuild_catalog
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.atomic import remove
from filtercrawl.dataset.files.dataset_folder import DatasetFolder, no_dataset
from filtercrawl.dataset.files.layer_store import LayerStore, LocalLayerStore
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.files.stored_layers import absent, delete_orphans
from filtercrawl.dataset.files.table_files import has_table
from filtercrawl.dataset.files.unpublished import CATALOG, OUTLINE, TEMPORARY
from filtercrawl.dataset.schema.arrow import INDEX, LEDGER, MODELS
from filtercrawl.dataset.schema.validation import unfit


@contextmanager
def open_dataset(
    settings: Settings,
    progress: Progress | None = None,
    layer_store: LayerStore | None = None,
    *,
    create: bool = False,
) -> Iterator[WritableDataset]:
    """Lock a dataset folder and open its catalog.

    Args:
        settings: The dataset folder, and whether to rebuild the catalog.
        progress: Receives a line for each checkpoint whose rows are removed.
        layer_store: Where the layers files are stored; None for the dataset folder alone.
        create: Make the folder if there is none, or if it holds no dataset yet.

    Raises:
        ConflictError: Another run works on the dataset.
        DatasetError: There is no dataset, a newer version wrote it, or it cannot be read or written.
    """
    folder, store = settings.dataset, layer_store or LocalLayerStore(settings.dataset)
    if (folder / OUTLINE).is_dir() and not (folder / CATALOG).is_file() and not has_table(folder, "models"):
        raise no_dataset(folder)  # an empty one in its place would be another dataset
    with locked(folder, create=create), open_catalog(settings, progress, store) as catalog:
        yield WritableDataset(folder=folder, catalog=catalog, layer_store=store)


def open_catalog(
    settings: Settings, progress: Progress | None = None, layer_store: LayerStore | None = None
) -> Catalog:
    """Open the catalog; rebuild one that is missing from the published tables, if there are any.

    If the last run did not write the tables, rows that they cannot hold are removed.

    Args:
        settings: The dataset folder, and whether to rebuild.
        progress: Receives a line for each checkpoint whose rows are removed.
        layer_store: Where the layers files are stored; None for the dataset folder alone.

    Raises:
        DatasetError: A newer version wrote the dataset, or it cannot be read.
    """
    dataset = settings.dataset
    DatasetFolder(dataset).schema_version()
    published = has_table(dataset, "models")
    if settings.rebuild:
        if not published:
            raise DatasetError(f"{dataset}: holds no published tables to rebuild the catalog from")
        _replace_catalog(dataset)
    catalog = Catalog(dataset)
    try:
        if not catalog.dataset_id:
            if published:
                rebuild_catalog(dataset, catalog)
            else:
                # From the path, not random: two runs that start in one empty folder give the same files.
                catalog.set_meta("dataset_id", hashlib.sha256(str(dataset.resolve()).encode()).hexdigest()[:16])
        elif catalog.needs_export:
            drop_unfit(catalog, settings, progress or NullProgress(), layer_store or LocalLayerStore(dataset))
    except BaseException as error:
        catalog.__exit__(type(error), error, error.__traceback__)
        raise
    return catalog


def _replace_catalog(dataset: Path) -> None:
    """Rebuild the catalog from the published tables; the one that is there stays where that fails."""
    held, release, are_elsewhere = _known_of_layers(dataset)
    staging = dataset / TEMPORARY
    staging.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=staging) as folder:
        with Catalog(Path(folder)) as catalog:
            rebuild_catalog(dataset, catalog, "run `filtercrawl sync` without --rebuild, which writes it again")
            if held:
                catalog.put_released(held, release)
            if are_elsewhere is not None:
                catalog.layers_are_elsewhere = are_elsewhere
        Catalog.remove(dataset)
        (Path(folder) / CATALOG).replace(dataset / CATALOG)


def drop_unfit(catalog: Catalog, settings: Settings, progress: Progress, layer_store: LayerStore) -> None:
    """Fail every checkpoint with a row that the tables cannot hold, as older versions wrote some; it is read again.

    Rows that have not changed since the tables were written need no check.
    """
    changed = catalog.changed_models()
    faults = {row.model_id: fault for row, fault in unfit(catalog.models_of(changed), MODELS)}
    for layer, fault in unfit(catalog.index(catalog.models_of(changed)), INDEX):
        faults.setdefault(layer.model_id, f"the layer {shown(layer.layer)}: {fault}")
    for entry, fault in unfit(catalog.ledger(catalog.models_of(changed)), LEDGER):
        faults.setdefault(entry.model_id, f"the tensor {shown(entry.tensor)}: {fault}")
    if not faults:
        return
    dataset = WritableDataset(folder=settings.dataset, catalog=catalog, layer_store=layer_store)
    ownership = WeightOwnership(dataset=dataset, license_policy=settings.license_policy)
    stores_weights = {row.model_id for row in catalog.models_by_id(faults) if row.layers_file is not None}
    # Duplicates first: none of them may be asked to store the weights of another.
    for model_id in sorted(faults, key=lambda name: (name in stores_weights, name)):
        reason = f"an older version stored what the tables cannot hold: {faults[model_id]}; it is read again"
        progress.message(f"{model_id}: {reason}")
        ownership.fail(model_id, reason)


def _known_of_layers(dataset: Path) -> tuple[list[tuple[str, str]], str, bool | None]:
    """Return what a catalog knows of the layers files, which the tables do not say; nothing of one that is damaged.

    Returns:
        Path and hash of those in the last version, that version, and whether layers were never in the folder.
    """
    try:
        with Catalog(dataset) as catalog:
            held = catalog.released()
            files = [(path, sha) for path, _, sha in catalog.layer_files() if path in held]
            return files, catalog.release or "", catalog.layers_are_elsewhere if catalog.dataset_id else None
    except DatasetError:
        return [], "", None


def repair_after_crash(dataset: WritableDataset, progress: Progress) -> None:
    """Repair what a killed run left: remove what it had not committed, and mark what is lost to be read again.

    Tables that are damaged are written again at the end of the run.

    Args:
        dataset: The dataset.
        progress: Receives a line for each checkpoint that is read again.
    """
    catalog = dataset.catalog
    if not catalog.needs_export and (damaged := DatasetFolder(dataset.folder).damaged_tables()):
        progress.message(f"{damaged[0]}: is damaged; the tables are written again")
        catalog.set_meta("stale", "1")
    _delete_cut_layers(dataset, progress)
    sent = catalog.uploaded()
    elsewhere = (path for path in absent(catalog.layers_files(), dataset.folder) if not catalog.is_released(path))
    missing = list(catalog.models_with_file(path for path in elsewhere if not dataset.layer_store.contains(path)))
    if missing and not sent and catalog.layers_are_elsewhere and not (dataset.folder / "data/layers").is_dir():
        return  # only the tables were fetched
    for row in missing:
        progress.message(f"{row.model_id}: its layers file is missing and will be written again")
        if row.layers_file in sent:
            _forget(catalog, row.model_id)
        elif catalog.has_layer_file(str(row.layers_file)):
            catalog.update_model(row.unread())
    if not catalog.needs_export:  # else the published tables may still name files that the catalog has forgotten
        delete_orphans(dataset.folder, catalog)


def _delete_cut_layers(dataset: WritableDataset, progress: Progress) -> None:
    """Delete layers files that have another size than was written: no reader opens them, and they count as lost."""
    for path, size, _ in list(dataset.catalog.layer_files()):
        file = dataset.folder / path
        if file.is_file() and file.stat().st_size != size:
            progress.message(f"{path}: {file.stat().st_size} bytes, but {size} were written; it is deleted")
            remove(file)


def _forget(catalog: Catalog, model_id: str) -> None:
    """Take a checkpoint for one that could not be read, and those that share its weights.

    The next version then lists no weights that are lost, however many runs it takes to read them again.
    """
    sharing = catalog.with_layers(catalog.fingerprint(model_id) or "")
    with catalog.transaction():
        for row in sharing:
            catalog.drop_content(row.model_id)
            catalog.put_model(
                row.with_lost_weights("its weights went with a version that was not made; it is read again")
            )


def export_if_needed(dataset: Path, catalog: Catalog) -> None:
    """Write the tables, the card and the manifest as the catalog has them; nothing where they are not out of date."""
    if catalog.needs_export:
        export_tables(dataset, catalog)
        catalog.set_meta("stale", "0")
        delete_orphans(dataset, catalog)


def export_tables(dataset: Path, catalog: Catalog) -> None:
    """Write the tables, the card and the manifest; also in the middle of a run, which writes them again at its end."""
    from filtercrawl.dataset.tables.export import export  # with templates and pictures; most runs write no table

    catalog.delete_unused()
    export(dataset, catalog)
