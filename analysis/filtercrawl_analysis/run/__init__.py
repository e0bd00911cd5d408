"""One run over a dataset folder: check the request, run the analyses under the dataset's lock, write the report."""
