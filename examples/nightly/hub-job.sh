#!/bin/sh
# A nightly release of a dataset as a scheduled job on the Hub: run this once, logged in as who may write to the dataset.
# The job gets your token as a secret; `hf jobs scheduled ps` lists it, `hf jobs scheduled delete ID` ends it.
set -eu
hf jobs scheduled run --flavor cpu-upgrade --timeout 6h --secrets HF_TOKEN "17 2 * * *" python:3.13 \
    sh -c "pip install 'filtercrawl[analysis,zoos]' && filtercrawl release org/name timm torchvision --time-limit 4h --max-disk 20G --prune --fail-on new"
