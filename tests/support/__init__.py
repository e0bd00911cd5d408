"""What the tests share: servers on loopback, files and datasets to test with, references in plain numpy."""
