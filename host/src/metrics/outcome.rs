//! The ends of a call, as words of lines and labels.

macro_rules! outcomes {
    ($( $(#[$doc:meta])* $case:ident = $word:literal, )*) => {
        /// The end of a call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Outcome { $( $(#[$doc])* $case, )* }

        impl Outcome {
            /// All of them, in their order.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$case),*];

            /// The word.
            pub fn word(self) -> &'static str {
                match self { $( Self::$case => $word, )* }
            }
        }
    };
}

outcomes! {
    /// The plugin has answered.
    Ok = "ok",
    /// The plugin has answered that it failed.
    Failed = "tool_error",
    /// The plugin asks something first; the call is made again with the answers.
    Asked = "asked",
    /// The arguments do not fit the schema.
    Arguments = "arguments",
    /// The deadline has passed.
    Timeout = "timeout",
    /// Too many calls wait.
    Busy = "busy",
    /// The caller has made as many calls as they may.
    TooMany = "rate",
    /// It took more processor time than it may.
    Cpu = "cpu",
    /// It was refused memory.
    Memory = "memory",
    /// It held too many handles.
    Handles = "handles",
    /// It recursed too deeply.
    Stack = "stack",
    /// It ended itself.
    Exited = "exited",
    /// It trapped.
    Crashed = "crashed",
    /// Its result cannot be given to a client.
    Result = "result",
    /// The caller's requests hold too much memory.
    Overdrawn = "overdrawn",
    /// The caller may not use it any more.
    TurnedAway = "turned_away",
    /// The client took it back, or went away.
    Cancelled = "cancelled",
    /// The audit cannot be written.
    Unaudited = "unaudited",
    /// The host failed.
    Host = "host",
}

impl Outcome {
    /// The class of the error, by the conventions for MCP; none for what is no error.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Self::Ok | Self::Asked => None,
            other => Some(other.word()),
        }
    }
}
