#!/usr/bin/env bash
# Write the lock files and the SBOM again. `requirements/compile.sh` keeps all versions that still fit, `... --upgrade` takes
# the newest ones, `... --upgrade-package NAME` that of one package. Needs uv, and cyclonedx-bom as in release.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export UV_CUSTOM_COMPILE_COMMAND="requirements/compile.sh"
lock() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate "$@"
}
lock "$@" --all-extras pyproject.toml --output-file requirements/development.txt
lock "$@" requirements/release.in --output-file requirements/release.txt
lock --constraint requirements/development.txt pyproject.toml --output-file requirements/runtime.txt
# The SBOM has names and versions only: the hashes are those of the lock files.
all=$(mktemp)
trap 'rm -f "$all"' EXIT
cyclonedx-py requirements --short-PURLs --output-reproducible --mc-type library --pyproject pyproject.toml \
    --output-file "$all" requirements/runtime.txt
python3 - "$all" requirements/sbom.cdx.json <<'PYTHON'
import json
import sys
from pathlib import Path

sbom = json.loads(Path(sys.argv[1]).read_text("utf-8"))
for component in sbom["components"]:
    component.pop("externalReferences", None)
    component.pop("description", None)
del sbom["metadata"]["tools"]
Path(sys.argv[2]).write_text(json.dumps(sbom, indent=1, sort_keys=True) + "\n", "utf-8")
PYTHON
