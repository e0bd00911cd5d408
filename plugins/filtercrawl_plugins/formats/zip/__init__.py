"""Zip archives read by byte range: `archive` parses the central directory, `entry` gives entries as files.

Specification: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
"""

from filtercrawl_plugins.formats.zip.archive import ZipArchive
from filtercrawl_plugins.formats.zip.entry import ZipEntry

__all__ = ["ZipArchive", "ZipEntry"]
