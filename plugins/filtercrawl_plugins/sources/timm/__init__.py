"""The source `timm`: the pretrained weights that the installed timm lists."""
