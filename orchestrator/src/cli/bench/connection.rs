//! One HTTP/1.1 connection that sends the same request over and over.
//!
//! The client shares the machine with what it measures, so it must cost next to nothing: the request is built once, and
//! of an answer only the status, the length and where its body ends are looked at.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer's head is below this; a longer one is none of ours.
const HEAD_MOST: usize = 16 * 1024;

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Where to connect, and what to send.
#[derive(Clone, Debug)]
pub struct Request {
    authority: String,
    bytes: Vec<u8>,
}

impl Request {
    /// A POST of a JSON body to `http://AUTHORITY/PATH`.
    ///
    /// # Errors
    /// If the address is not plain http.
    pub fn post(base: &str, path: &str, headers: &str, body: &str) -> Result<Self, String> {
        let plain = || format!("{base} is not plain http, which is all that bench speaks");
        let rest = base.strip_prefix("http://").ok_or_else(plain)?;
        let (host, prefix) = rest
            .split_once('/')
            .map_or((rest, String::new()), |(host, path)| {
                (host, format!("/{path}"))
            });
        let authority = if host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let bytes = format!(
            "POST {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            authority,
            bytes: bytes.into_bytes(),
        })
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Those of the machine.
    pub async fn open(request: &Request) -> io::Result<Self> {
        let stream = TcpStream::connect(&request.authority).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 * 1024),
        })
    }

    /// Sends the request and reads the answer to its end: its status, and whether the connection may be used again.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is not HTTP/1.1 with a Content-Length.
    pub async fn send(&mut self, request: &Request) -> io::Result<(u16, bool)> {
        self.stream.write_all(&request.bytes).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = Head::read(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() < head.end + head.length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok((head.status, head.keep))
    }
}

/// What is looked at of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    keep: bool,
    length: usize,
    end: usize,
}

impl Head {
    /// The head, once it is there as a whole.
    fn read(buffer: &[u8]) -> io::Result<Option<Self>> {
        let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if buffer.len() > HEAD_MOST {
                Err(odd("the answer's head has no end"))
            } else {
                Ok(None)
            };
        };
        let head =
            std::str::from_utf8(&buffer[..end]).map_err(|_| odd("the answer's head is no text"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|line| line.get(..3));
        let status = status
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| odd("the answer is no HTTP/1.1"))?;
        let mut found = Self {
            status,
            keep: true,
            length: 0,
            end: end + 4,
        };
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                found.keep = !value.trim().eq_ignore_ascii_case("close");
            }
        }
        found.length = length.ok_or_else(|| odd("the answer has no Content-Length"))?;
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        assert_eq!(
            Head::read(b"HTTP/1.1 201 Created\r\nContent-Le").unwrap(),
            None
        );
        let whole = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello";
        assert_eq!(
            Head::read(whole).unwrap(),
            Some(Head {
                status: 201,
                keep: false,
                length: 5,
                end: 62
            })
        );
        assert!(Head::read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(Head::read(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_is_built_once_for_its_address() {
        let request = Request::post(
            "http://localhost:81/base",
            "/sagas",
            "Prefer: wait=30\r\n",
            "{}",
        )
        .unwrap();
        assert_eq!(request.authority, "localhost:81");
        let text = String::from_utf8(request.bytes).unwrap();
        assert!(
            text.starts_with("POST /base/sagas HTTP/1.1\r\nHost: localhost:81\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("Prefer: wait=30\r\nContent-Length: 2\r\n\r\n{}"),
            "{text}"
        );
        assert!(Request::post("https://x", "/", "", "").is_err());
    }
}
