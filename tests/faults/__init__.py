"""A world in a process: containers, time and AWS, all of it decided by one seed."""
