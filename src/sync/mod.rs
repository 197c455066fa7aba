//! Locks, permits, notifications and other meeting points of tasks.
