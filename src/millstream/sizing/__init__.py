"""How much memory a function needs, how long it takes, and what it costs. Nothing of this is used in a function."""
