"""Export into the HDF5 layout of CNN Filter DB: select models, build the table `/meta`, write the file."""

from filtercrawl_publish.export.cnn_filter_db.selection import ExportSelection, select_models
from filtercrawl_publish.export.cnn_filter_db.writer import ExportResult, write_export

__all__ = ["ExportResult", "ExportSelection", "select_models", "write_export"]
