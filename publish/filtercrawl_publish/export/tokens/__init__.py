"""Whole networks as token sequences, in files that SANE's training reads."""

from filtercrawl_publish.export.tokens.report import TokenExportReport, TokenOptions
from filtercrawl_publish.export.tokens.write import write_tokens

__all__ = ["TokenExportReport", "TokenOptions", "write_tokens"]
