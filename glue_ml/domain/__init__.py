"""Values and decisions of the project: standard library only, no I/O, no clock."""
