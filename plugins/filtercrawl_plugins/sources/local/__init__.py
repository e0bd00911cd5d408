"""The source `local`: checkpoints in files and folders of this machine."""
