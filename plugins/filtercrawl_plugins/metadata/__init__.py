"""What names in the zoos mean: tables that turn tags, paths and modules into the dataset's axes."""
