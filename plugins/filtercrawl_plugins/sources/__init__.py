"""Sources of checkpoints: each folder or module is a plugin that implements `filtercrawl.api.Source`.

Modules are loaded by entry point, so nothing is imported here; `shared` has what several sources use.
"""
