//! Content blocks.

use crate::tinymcp::plugin::content::{Block, Body, Contents, EmbeddedResource, Media};

/// A red pixel.
pub const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 2,
    0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 12, b'I', b'D', b'A', b'T', 0x08, 0xd7, 0x63, 0xf8, 0xcf, 0xc0, 0, 0, 3,
    1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

/// Two samples of silence: 8 kHz, one channel, 8 bits.
const WAV: &[u8] = &[
    b'R', b'I', b'F', b'F', 38, 0, 0, 0, b'W', b'A', b'V', b'E', b'f', b'm', b't', b' ', 16, 0, 0, 0, 1, 0, 1, 0, 0x40,
    0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0, b'd', b'a', b't', b'a', 2, 0, 0, 0, 0x80, 0x80,
];

pub fn image() -> Block {
    Block::Image(Media { data: PNG.to_vec(), mime_type: "image/png".to_owned(), annotations: None })
}

pub fn audio() -> Block {
    Block::Audio(Media { data: WAV.to_vec(), mime_type: "audio/wav".to_owned(), annotations: None })
}

pub fn resource(uri: &str, mime_type: &str, text: &str) -> Block {
    Block::Resource(EmbeddedResource { contents: contents(uri, mime_type, text), annotations: None })
}

/// The contents of a resource of text.
pub fn contents(uri: &str, mime_type: &str, text: &str) -> Contents {
    Contents {
        uri: uri.to_owned(),
        mime_type: Some(mime_type.to_owned()),
        body: Body::Text(text.to_owned()),
        meta: None,
    }
}
