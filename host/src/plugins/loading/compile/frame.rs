//! The frames between the parent and the child: a greeting, one job, one answer. All numbers are little-endian.

use std::io;
use std::time::Duration;

use super::outcome::Allowance;
use crate::config::ByteSize;

/// The child's first bytes, before the name of the code that it makes.
const GREETING: &[u8; 8] = b"tmcp-c01";

/// Bytes of a name of code; see [`crate::plugins::sandbox::engine::Engine::code_version`].
const VERSION_BYTES: usize = 32;

/// Bytes of a greeting.
pub(super) const GREETING_BYTES: usize = GREETING.len() + VERSION_BYTES;

/// Bytes before the component in a job.
pub(super) const JOB_HEAD_BYTES: usize = 8 + 8 + 8 + 1;

/// Bytes before the payload of an answer.
pub(super) const ANSWER_HEAD_BYTES: usize = 1 + 8 + 8 + 8;

/// The child's job.
pub(super) struct CompileJob<'a> {
    pub(super) allowance: Allowance,
    /// It will take longer than a moment.
    pub(super) is_long: bool,
    pub(super) bytes: &'a [u8],
}

/// The same, as the child reads it.
pub(super) struct JobHead {
    pub(super) cpu: Duration,
    pub(super) memory: ByteSize,
    pub(super) is_long: bool,
    pub(super) bytes: u64,
}

/// The bytes before the payload of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) kind: PayloadKind,
    /// Processor time that was used, in milliseconds.
    pub(super) cpu_ms: u64,
    /// The most memory that was resident; 0 if that is not known.
    pub(super) memory_bytes: u64,
    pub(super) payload_bytes: u64,
}

/// The kind of an answer's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadKind {
    /// Machine code.
    Code = 0,
    /// The reason why the component is not valid.
    Invalid = 1,
    /// There was not enough memory.
    Memory = 2,
    /// Features that the component uses and this host lacks.
    Unsupported = 3,
}

/// A greeting that names the code that the child makes.
pub(super) fn greeting(code_version: &str) -> Vec<u8> {
    [GREETING, code_version.as_bytes()].concat()
}

impl CompileJob<'_> {
    pub(super) fn head(&self) -> [u8; JOB_HEAD_BYTES] {
        let cpu_ms = u64::try_from(self.allowance.cpu.duration().as_millis()).unwrap_or(u64::MAX);
        let mut head = [0; JOB_HEAD_BYTES];
        let numbers = [cpu_ms, self.allowance.memory.bytes(), self.bytes.len() as u64];
        write(&mut head, numbers);
        head[JOB_HEAD_BYTES - 1] = u8::from(self.is_long);
        head
    }
}

impl JobHead {
    pub(super) fn parse(head: &[u8; JOB_HEAD_BYTES]) -> Self {
        let [cpu_ms, memory, bytes] = read(head);
        Self {
            cpu: Duration::from_millis(cpu_ms),
            memory: ByteSize::from_bytes(memory),
            is_long: head[JOB_HEAD_BYTES - 1] != 0,
            bytes,
        }
    }
}

impl AnswerHead {
    pub(super) fn bytes(self) -> [u8; ANSWER_HEAD_BYTES] {
        let mut head = [0; ANSWER_HEAD_BYTES];
        write(&mut head, [self.cpu_ms, self.memory_bytes, self.payload_bytes]);
        head[ANSWER_HEAD_BYTES - 1] = self.kind as u8;
        head
    }

    pub(super) fn parse(head: &[u8; ANSWER_HEAD_BYTES]) -> io::Result<Self> {
        let [cpu_ms, memory_bytes, payload_bytes] = read(head);
        let kind = match head[ANSWER_HEAD_BYTES - 1] {
            0 => PayloadKind::Code,
            1 => PayloadKind::Invalid,
            2 => PayloadKind::Memory,
            3 => PayloadKind::Unsupported,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Self { kind, cpu_ms, memory_bytes, payload_bytes })
    }
}

fn write(head: &mut [u8], numbers: [u64; 3]) {
    for (place, number) in head.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

fn read(head: &[u8]) -> [u64; 3] {
    let mut numbers = [0; 3];
    for (number, bytes) in numbers.iter_mut().zip(head.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written() {
        let answer = AnswerHead { kind: PayloadKind::Memory, cpu_ms: 1, memory_bytes: 2, payload_bytes: u64::MAX };
        assert_eq!(AnswerHead::parse(&answer.bytes()).unwrap(), answer);
        let mut damaged = answer.bytes();
        damaged[ANSWER_HEAD_BYTES - 1] = 4;
        assert!(AnswerHead::parse(&damaged).is_err());

        let allowance = Allowance { cpu: Duration::from_secs(3).into(), memory: ByteSize::from_bytes(4) };
        let job = CompileJob { allowance, is_long: true, bytes: b"wasm" };
        let head = JobHead::parse(&job.head());
        assert_eq!((head.cpu, head.memory, head.bytes), (Duration::from_secs(3), ByteSize::from_bytes(4), 4));
        assert!(head.is_long);
    }
}
