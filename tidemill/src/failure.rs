//! An act that failed: what, whose fault, what to do; and the exit code and HTTP status that follow.

use std::fmt;

/// Shorthand for this crate's results.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The command line was wrong: exit code 2.
    Usage,
    /// Something named does not exist: exit code 1, status 404.
    NotFound,
    /// The input is wrong: exit code 1, status 400.
    Input,
    /// It is not there yet: exit code 1, status 501.
    Unsupported,
    /// Another process or state stands against it: exit code 1, status 409.
    Conflict,
    /// No place in the queue, or not ready: exit code 1, status 503.
    Busy,
    /// Disk or memory ran out: exit code 1, status 507.
    Exhausted,
    /// The user stopped it: exit code 1.
    Stopped,
    /// Files, system, or ourselves: exit code 1, status 500.
    Ours,
}

/// An act that failed. The message names the thing, the place and the remedy.
#[derive(Debug)]
pub struct Failure {
    /// Whose fault it is.
    pub fault: Fault,
    /// What happened, in lower case and without a full stop.
    pub message: String,
    /// The command's JSON document was printed and says so: there is to be one alone.
    pub(crate) is_documented: bool,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), is_documented: false }
    }

    /// The same after the command's JSON document was printed.
    pub(crate) fn documented(self) -> Self {
        Self { is_documented: true, ..self }
    }

    /// The input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Fault::Input, message)
    }

    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Fault::NotFound, message)
    }

    /// Reading or writing `path` failed.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound => Fault::NotFound,
            std::io::ErrorKind::StorageFull => Fault::Exhausted,
            _ => Fault::Ours,
        };
        Self::new(fault, format!("{}: {error}", path.display()))
    }

    /// The same with the place in front: `model "churn": ...`.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        let notes: String = error.notes.iter().map(|note| format!("; {note}")).collect();
        Self::new(Fault::NotFound, format!("{}{notes}", error.message))
    }
}

impl From<data::Error> for Failure {
    fn from(error: data::Error) -> Self {
        use data::ErrorKind as Kind;
        let fault = match error.kind() {
            Kind::NotFound => Fault::NotFound,
            Kind::Invalid | Kind::Corrupt => Fault::Input,
            Kind::Unsupported => Fault::Unsupported,
            Kind::Exhausted => Fault::Exhausted,
            Kind::Conflict => Fault::Conflict,
            Kind::Busy => Fault::Busy,
            Kind::Io | Kind::Internal => Fault::Ours,
        };
        Self::new(fault, error.to_string())
    }
}

impl From<learn::Error> for Failure {
    fn from(error: learn::Error) -> Self {
        use learn::ErrorKind as Kind;
        let fault = match error.kind() {
            Kind::NotFound => Fault::NotFound,
            Kind::Invalid => Fault::Input,
            Kind::Unsupported => Fault::Unsupported,
            Kind::Exhausted => Fault::Exhausted,
            Kind::Corrupt | Kind::Io | Kind::Internal => Fault::Ours,
        };
        Self::new(fault, error.to_string())
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        use store::ErrorKind as Kind;
        let fault = match error.kind() {
            Kind::NotFound => Fault::NotFound,
            Kind::Invalid => Fault::Input,
            Kind::Unsupported => Fault::Unsupported,
            Kind::Exhausted => Fault::Exhausted,
            Kind::Conflict => Fault::Conflict,
            Kind::Corrupt | Kind::Io | Kind::Internal => Fault::Ours,
        };
        Self::new(fault, error.to_string())
    }
}
