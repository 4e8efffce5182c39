"""Where lookups are read from beyond this machine. Nothing here is imported before a lookup names it."""
