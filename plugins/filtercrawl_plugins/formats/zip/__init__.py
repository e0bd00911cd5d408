"""Zip archives read by byte range: `directory` lists the entries, `archive` opens them as files.

Specification: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
"""

from filtercrawl_plugins.formats.zip.archive import ZipArchive
from filtercrawl_plugins.formats.zip.directory import read_directory
from filtercrawl_plugins.formats.zip.entry import ZipEntry

__all__ = ["ZipArchive", "ZipEntry", "read_directory"]
