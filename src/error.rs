//! The one error type: what class of failure it is (and so which exit code), whether trying again may help,
//! and what to say to the person who has to act on it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The frozen table of exit codes. Anything else is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The command line is wrong.
    Usage,
    /// Some intervals of several failed.
    Partial,
    /// The data broke its contract or a gate; nothing was published.
    Data,
    /// A model or an input file is missing, damaged or does not match.
    Input,
    /// A database stayed unavailable.
    Unavailable,
    /// A defect of Daymill.
    Defect,
    /// I/O, disk or memory.
    Io,
    /// Another run holds this interval.
    Locked,
    /// This run lost its place to a newer one.
    Fenced,
    /// The commit may or may not have happened.
    InDoubt,
    /// Configuration, permission or TLS.
    Config,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Class {
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::Partial => 3,
            Class::Data => 65,
            Class::Input => 66,
            Class::Unavailable => 69,
            Class::Defect => 70,
            Class::Io => 74,
            Class::Locked => 75,
            Class::Fenced => 76,
            Class::InDoubt => 77,
            Class::Config => 78,
            Class::Interrupted => 130,
            Class::Terminated => 143,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Class::Usage => "usage",
            Class::Partial => "partial",
            Class::Data => "data",
            Class::Input => "input",
            Class::Unavailable => "unavailable",
            Class::Defect => "defect",
            Class::Io => "io",
            Class::Locked => "locked",
            Class::Fenced => "fenced",
            Class::InDoubt => "in_doubt",
            Class::Config => "configuration",
            Class::Interrupted => "interrupted",
            Class::Terminated => "terminated",
        }
    }
}

/// One thing wrong with something the user wrote, with its place.
#[derive(Clone, Debug)]
pub struct Fault {
    pub file: PathBuf,
    /// Counted from 1; 0 when the fault is of the whole file.
    pub line: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message)?,
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Error {
    pub class: Class,
    /// Trying the whole attempt again may succeed.
    pub transient: bool,
    pub message: String,
    /// Underlying causes, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(class: Class, message: impl Into<String>) -> Error {
        Error { class, transient: false, message: message.into(), causes: Vec::new(), hint: None }
    }

    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Class::Usage, message)
    }

    pub fn data(message: impl Into<String>) -> Error {
        Error::new(Class::Data, message)
    }

    pub fn input(message: impl Into<String>) -> Error {
        Error::new(Class::Input, message)
    }

    pub fn config(message: impl Into<String>) -> Error {
        Error::new(Class::Config, message)
    }

    pub fn defect(message: impl Into<String>) -> Error {
        Error::new(Class::Defect, message)
            .hint("this is a defect of Daymill; nothing was published. Please report it with run.json")
    }

    /// An operating-system error on a file, in the words of the person who named the file.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Error {
        let class = if error.kind() == std::io::ErrorKind::PermissionDenied { Class::Config } else { Class::Io };
        Error::new(class, format!("cannot {doing} {}", path.display())).cause(error)
    }

    /// A file that the user named and that must be readable.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Error {
        let class = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory => Class::Input,
            std::io::ErrorKind::PermissionDenied => Class::Config,
            _ => Class::Io,
        };
        Error::new(class, format!("cannot read {}", path.display())).cause(error)
    }

    /// All faults of what the user wrote, at once.
    pub fn faults(mut faults: Vec<Fault>) -> Error {
        faults.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        if faults.len() == 1 {
            return Error::config(faults[0].to_string());
        }
        let mut error = Error::config(format!("{} faults", faults.len()));
        error.causes = faults.iter().map(Fault::to_string).collect();
        error
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// A cause of several lines is several causes.
    pub fn cause(mut self, cause: impl fmt::Display) -> Error {
        self.causes.extend(cause.to_string().lines().map(|line| line.trim_end().to_owned()));
        self
    }

    pub fn transient(mut self) -> Error {
        self.transient = true;
        self
    }

    /// Puts what was being done in front of the message.
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
