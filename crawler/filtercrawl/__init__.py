"""filtercrawl: trained convolution kernels, crawled from checkpoints into a dataset."""
