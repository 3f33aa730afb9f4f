//! How a process ends, as a number that scripts can act on.

use sdk::Kind;

/// Exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed for a reason without a code of its own.
    Failure = 1,
    /// The words make no sense (also clap's own code).
    Usage = 2,
    /// A file or a value in it is invalid.
    Invalid = 3,
    /// It does not exist.
    NotFound = 5,
    /// Refused: not enough coin, or not allowed.
    Refused = 6,
    /// Network or node not reached; trying again may help.
    Unavailable = 7,
    /// Waited as long as allowed.
    TimedOut = 8,
    /// A contract refused.
    Reverted = 9,
    /// The job ran, and failed.
    JobFailed = 20,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Invalid => Self::Invalid,
            Kind::NotFound => Self::NotFound,
            Kind::Refused => Self::Refused,
            Kind::Unavailable => Self::Unavailable,
            Kind::TimedOut => Self::TimedOut,
            Kind::Reverted => Self::Reverted,
            Kind::Untrue | Kind::Other => Self::Failure,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
