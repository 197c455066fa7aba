//! Signals from the operating system.
