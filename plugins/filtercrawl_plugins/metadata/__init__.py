"""Tables that map names in model zoos (tags, paths, modules, licenses) to the columns of the dataset."""
