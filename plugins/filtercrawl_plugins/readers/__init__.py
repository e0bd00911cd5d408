"""Readers of checkpoint file formats: each is a plugin that implements `filtercrawl.api.Reader`.

Modules are loaded by entry point, so nothing is imported here.
"""
