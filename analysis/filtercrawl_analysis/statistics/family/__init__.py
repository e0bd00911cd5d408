"""How far each model is from the others of its family, and whether that is far for the family."""
