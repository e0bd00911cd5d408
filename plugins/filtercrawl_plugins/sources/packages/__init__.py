"""The source `packages`: weights in installed Python distributions."""
