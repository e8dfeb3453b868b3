"""How a list is read until no row of it can be missing."""
