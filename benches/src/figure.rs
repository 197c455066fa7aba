//! A figure: the name, the unit and the good direction of one number that a workload measures, and what gambol aims at.
//!
//! A workload lists its figures once and returns their values in the same order, so that a child process has to print
//! numbers only.

use serde::{Deserialize, Serialize};

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Costs.
    Lower,
    /// Rates.
    Higher,
    /// Counts of broken promises: anything but 0 is a failure of the runtime.
    Zero,
    /// Told for the sake of the others, and compared with nobody.
    Neither,
}

/// What one number means.
pub struct Figure {
    /// What distinguishes it from the other figures of its workload; empty if there is only one.
    pub name: &'static str,
    /// As it is printed.
    pub unit: &'static str,
    /// Which way it gets better.
    pub better: Better,
    /// What gambol's median should be at most, with two workers. To miss it is no failure: the machine may have been busy.
    pub aim: Option<f64>,
}

impl Figure {
    /// A cost in `unit`.
    pub const fn cost(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Lower, aim: None }
    }

    /// A rate in `unit`.
    pub const fn rate(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Higher, aim: None }
    }

    /// A count that must be 0.
    pub const fn forbidden(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Zero, aim: None }
    }

    /// A number that says what the others mean.
    pub const fn context(name: &'static str, unit: &'static str) -> Self {
        Figure { name, unit, better: Better::Neither, aim: None }
    }

    /// The same with an aim.
    pub const fn at_most(self, aim: f64) -> Self {
        Figure { aim: Some(aim), ..self }
    }
}
