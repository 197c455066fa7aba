//! Files and directories: std's functions by their names, off the workers.
