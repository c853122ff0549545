//! Frames of HTTP/2 (RFC 9113), written by hand: for clients that send half of something, or too much.

/// The beginning of a connection (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame.
pub const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// The kind of a frame with a piece of a body.
pub const DATA: u8 = 0;

/// The kind of a frame with a head.
pub const HEADERS: u8 = 1;

/// The kind of a frame that asks if the other end lives.
pub const PING: u8 = 6;

/// The flag of the last frame of a stream.
pub const END_STREAM: u8 = 0x1;

/// The flag of the last frame of a head.
pub const END_HEADERS: u8 = 0x4;

/// A frame (RFC 9113 §4.1).
///
/// # Panics
/// If the payload is longer than a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The compressed head of a request (RFC 7541), without any compression.
pub fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    let mut block = Vec::new();
    for (name, value) in pseudo.iter().chain(fields) {
        // A literal that goes into no table, with its name.
        block.push(0);
        for text in [name, value] {
            write_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn write_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).expect("less than 127"));
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("less than 128") | 0x80);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("less than 128"));
}
