//! A figure: the name, the unit and the good direction of one number that a workload measures.
//!
//! A workload lists its figures once and returns their values in the same order, so that a child process has to print
//! numbers only.

/// Which way a figure gets better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Costs.
    Lower,
    /// Rates.
    Higher,
    /// Counts of broken promises: anything but 0 is a failure of the runtime.
    Zero,
}

/// What one number means.
pub struct Figure {
    /// What distinguishes it from the other figures of its workload; empty if there is only one.
    pub name: &'static str,
    /// As it is printed.
    pub unit: &'static str,
    /// Which way it gets better.
    pub better: Better,
}

impl Figure {
    /// A cost in `unit`.
    pub const fn cost(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Lower }
    }

    /// A rate in `unit`.
    pub const fn rate(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Higher }
    }

    /// A count that must be 0.
    pub const fn forbidden(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Zero }
    }
}
