//! What became of an attempt at an interval: the words of the ledger, of run.json and of what is printed.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Succeeded,
    /// It had no rows, and what stood before still stands.
    Skipped,
    /// Also what has not said how it ended.
    #[default]
    Failed,
    Interrupted,
    /// A newer attempt has overtaken it.
    Fenced,
    /// Its process died without a word.
    Abandoned,
}

impl RunState {
    const ALL: [RunState; 7] = [
        RunState::Running,
        RunState::Succeeded,
        RunState::Skipped,
        RunState::Failed,
        RunState::Interrupted,
        RunState::Fenced,
        RunState::Abandoned,
    ];

    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Succeeded => "succeeded",
            RunState::Skipped => "skipped",
            RunState::Failed => "failed",
            RunState::Interrupted => "interrupted",
            RunState::Fenced => "fenced",
            RunState::Abandoned => "abandoned",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_name_everywhere() {
        for state in RunState::ALL {
            assert_eq!(RunState::named(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(format!("{state:12}|"), format!("{:12}|", state.name()));
        }
        assert_eq!(RunState::named("done"), None);
    }
}
