//! The themes: what the rows are grouped by where they are told.

use super::{Kind, Network, RuntimeKind};
use serde::{Deserialize, Serialize};

/// What a workload is about, in the order in which the themes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    Tasks,
    Channels,
    Locks,
    Timers,
    Network,
    Memory,
    Stalls,
}

impl Theme {
    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Theme::Tasks => "Tasks",
            Theme::Channels => "Channels and select",
            Theme::Locks => "Locks and cancellation",
            Theme::Timers => "Timers and idleness",
            Theme::Network => "Network",
            Theme::Memory => "Memory",
            Theme::Stalls => "Tasks that block or spin",
        }
    }
}

impl Kind {
    /// What it is about.
    pub fn theme(self) -> Theme {
        match self {
            Kind::Runtime(kind) => match kind {
                RuntimeKind::Spawn
                | RuntimeKind::Detached
                | RuntimeKind::Outside
                | RuntimeKind::Chain
                | RuntimeKind::ForkJoin(_)
                | RuntimeKind::Uneven
                | RuntimeKind::Yields
                | RuntimeKind::Token
                | RuntimeKind::ForeignWake => Theme::Tasks,
                RuntimeKind::Timeout
                | RuntimeKind::TimersFired
                | RuntimeKind::Sleep(_)
                | RuntimeKind::IdleTick
                | RuntimeKind::Idle => Theme::Timers,
                RuntimeKind::Memory => Theme::Memory,
            },
            Kind::Network(Network::Idle) => Theme::Memory,
            Kind::Network(_) => Theme::Network,
            Kind::Channel(_) | Kind::Select { .. } => Theme::Channels,
            Kind::Lock(_) | Kind::Cancel(_) => Theme::Locks,
            Kind::Stall(_) => Theme::Stalls,
        }
    }
}
