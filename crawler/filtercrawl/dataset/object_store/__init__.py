"""Datasets in an object store: what lies there, who may write, and the working folder of this machine."""
