"""Histories: a seed draws records, settings, faults and turns; real handlers work them off; what is in the sink is read back and judged."""
