//! Opens sockets with nothing but the standard library, and tries what no grant allows.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::Duration;

wit_bindgen::generate!({ world: "sockets", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

const PIECE_BYTES: usize = 256 * 1024;

struct Sockets;

impl Guest for Sockets {
    fn redis(host: String, port: u16, commands: Vec<Vec<String>>) -> Result<Vec<String>, String> {
        let stream = TcpStream::connect((host, port)).map_err(text)?;
        let mut answers = BufReader::new(&stream);
        commands.iter().map(|command| say(&stream, &mut answers, command).map_err(text)).collect()
    }

    fn look_up(name: String) -> Result<Vec<String>, String> {
        Ok((name, 0).to_socket_addrs().map_err(text)?.map(|address| address.ip().to_string()).collect())
    }

    fn connect_to(host: String, port: u16) -> Result<String, String> {
        peer(&TcpStream::connect((host, port)).map_err(text)?)
    }

    fn dial(address: String) -> Result<String, String> {
        let address: SocketAddr = address.parse().map_err(text)?;
        peer(&TcpStream::connect(address).map_err(text)?)
    }

    fn dial_after(name: String, address: String) -> Result<String, String> {
        let found = (name, 0).to_socket_addrs().map_err(text)?;
        if found.count() == 0 {
            return Err("the name has no address".to_owned());
        }
        Self::dial(address)
    }

    fn listen_at(address: String) -> Result<String, String> {
        let listener = TcpListener::bind(address).map_err(text)?;
        Ok(listener.local_addr().map_err(text)?.to_string())
    }

    fn send_datagram(address: String) -> Result<String, String> {
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(text)?;
        socket.send_to(b"datagram", address).map_err(text)?;
        Ok("sent".to_owned())
    }

    fn open_many(host: String, port: u16, count: u32) -> String {
        let mut held = Vec::new();
        for _ in 0..count {
            match TcpStream::connect((host.as_str(), port)) {
                Ok(stream) => held.push(stream),
                Err(error) => return format!("{}: {error}", held.len()),
            }
        }
        held.len().to_string()
    }

    fn open_in_turn(host: String, port: u16, count: u32) -> Result<u32, String> {
        for _ in 0..count {
            drop(TcpStream::connect((host.as_str(), port)).map_err(text)?);
        }
        Ok(count)
    }

    fn drain(host: String, port: u16) -> Result<u64, String> {
        let mut stream = TcpStream::connect((host, port)).map_err(text)?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut total = 0;
        loop {
            match stream.read(&mut piece).map_err(text)? {
                0 => return Ok(total),
                count => total += count as u64,
            }
        }
    }

    fn neglect(host: String, port: u16, ms: u32) -> Result<String, String> {
        let mut stream = TcpStream::connect((host, port)).map_err(text)?;
        thread::sleep(Duration::from_millis(ms.into()));
        let read = match stream.read(&mut [0; 16]) {
            Ok(count) => format!("{count} bytes"),
            Err(error) => text(error),
        };
        let written = match stream.write_all(b"still here") {
            Ok(()) => "taken".to_owned(),
            Err(error) => text(error),
        };
        Ok(format!("read: {read}; written: {written}"))
    }

    fn pour(host: String, port: u16, bytes: u64) -> Result<u64, String> {
        let mut stream = TcpStream::connect((host, port)).map_err(text)?;
        let piece = vec![b'x'; PIECE_BYTES];
        let mut left = bytes;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            stream.write_all(&piece[..now]).map_err(text)?;
            left -= now as u64;
        }
        Ok(bytes)
    }

    fn ask(host: String, port: u16, question: String) -> Result<String, String> {
        let mut stream = TcpStream::connect((host, port)).map_err(text)?;
        stream.write_all(question.as_bytes()).map_err(text)?;
        stream.shutdown(Shutdown::Write).map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        Ok(answer)
    }

    fn impatient(host: String, port: u16, ms: u32) -> Result<String, String> {
        let mut stream = TcpStream::connect((host, port)).map_err(text)?;
        stream.set_read_timeout(Some(Duration::from_millis(ms.into()))).map_err(text)?;
        match stream.read(&mut [0; 16]) {
            Ok(count) => Err(format!("{count} bytes")),
            Err(error) => Ok(format!("{:?}", error.kind())),
        }
    }
}

/// Sends one command, and reads the answer to it (RESP 2).
fn say(mut stream: &TcpStream, answers: &mut impl BufRead, command: &[String]) -> io::Result<String> {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let line = line.trim_end();
    let Some(length) = line.strip_prefix('$') else { return Ok(line.to_owned()) };
    let Ok(length) = length.parse::<usize>() else { return Ok("(nil)".to_owned()) };
    let mut value = vec![0; length + 2];
    answers.read_exact(&mut value)?;
    Ok(String::from_utf8_lossy(&value[..length]).into_owned())
}

fn peer(stream: &TcpStream) -> Result<String, String> {
    Ok(stream.peer_addr().map_err(text)?.to_string())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

export!(Sockets);
