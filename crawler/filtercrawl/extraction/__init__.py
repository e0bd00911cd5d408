"""From tensors to layers: classification, architecture, conversion to float32."""
