//! Granted folders from inside: what leads nowhere, and what counts.
