"""The pretrained weights of timm."""
