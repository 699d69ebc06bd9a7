//! An HTTP/1.1 connection that sends the same request over and over.
//!
//! The client runs on the machine that it measures, so it must be cheap: the request is serialised once, and of a
//! response only the status, the length and the end of the body are read.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No response of the server has a longer head.
const MAX_HEAD: usize = 16 * 1024;

/// A URL that the load generator cannot use.
#[derive(Debug, thiserror::Error)]
#[error("{url} is not supported: expected http://HOST:PORT")]
pub struct InvalidUrl {
    url: String,
}

/// A connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A serialised request and its destination.
#[derive(Clone, Debug)]
pub struct Request {
    authority: String,
    bytes: Vec<u8>,
}

impl Request {
    /// A POST of a JSON body. Each line of `headers` ends with CRLF.
    ///
    /// # Errors
    /// If the scheme of the URL is not http.
    pub fn post(base: &str, path: &str, headers: &str, body: &str) -> Result<Self, InvalidUrl> {
        let rest = base.strip_prefix("http://").ok_or_else(|| InvalidUrl {
            url: base.to_owned(),
        })?;
        let (host, prefix) = match rest.split_once('/') {
            Some((host, path)) => (host, format!("/{path}")),
            None => (rest, String::new()),
        };

        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port {
            host.to_owned()
        } else {
            format!("{host}:80")
        };

        let length = body.len();
        let bytes = format!(
            "POST {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        Ok(Self {
            authority,
            bytes: bytes.into_bytes(),
        })
    }
}

/// What is read of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Whether the connection can be used again.
    pub keep_alive: bool,
}

impl Connection {
    /// Connects to the destination of the request.
    ///
    /// # Errors
    /// If the connection cannot be established.
    pub async fn open(request: &Request) -> io::Result<Self> {
        let stream = TcpStream::connect(&request.authority).await?;
        // Requests are smaller than a segment, and must not wait for each other's acknowledgement.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 * 1024),
        })
    }

    /// Sends the request and reads the response to its end.
    ///
    /// # Errors
    /// If the connection is lost, or the response is not HTTP/1.1 with a Content-Length.
    pub async fn send(&mut self, request: &Request) -> io::Result<Response> {
        self.stream.write_all(&request.bytes).await?;
        self.buffer.clear();

        let head = loop {
            self.read_more().await?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() < head.body_offset + head.content_length {
            self.read_more().await?;
        }
        Ok(Response {
            status: head.status,
            keep_alive: head.keep_alive,
        })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    keep_alive: bool,
    content_length: usize,
    body_offset: usize,
}

impl Head {
    /// Parses the head; `None` if it is not complete yet.
    fn parse(buffer: &[u8]) -> io::Result<Option<Self>> {
        let invalid =
            |message: &str| io::Error::new(io::ErrorKind::InvalidData, message.to_owned());

        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return match buffer.len() > MAX_HEAD {
                true => Err(invalid("the head of the response is too long")),
                false => Ok(None),
            };
        };
        let head = std::str::from_utf8(&buffer[..end])
            .map_err(|_| invalid("the head of the response is not UTF-8"))?;

        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|line| line.get(..3)?.parse().ok())
            .ok_or_else(|| invalid("the response is not HTTP/1.1"))?;

        let mut keep_alive = true;
        let mut content_length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                content_length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                keep_alive = !value.trim().eq_ignore_ascii_case("close");
            }
        }

        let content_length =
            content_length.ok_or_else(|| invalid("the response has no Content-Length"))?;
        Ok(Some(Self {
            status,
            keep_alive,
            content_length,
            body_offset: end + 4,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_parsed_once_it_is_complete() {
        assert_eq!(
            Head::parse(b"HTTP/1.1 201 Created\r\nContent-Le").unwrap(),
            None
        );

        let complete =
            b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello";
        assert_eq!(
            Head::parse(complete).unwrap(),
            Some(Head {
                status: 201,
                keep_alive: false,
                content_length: 5,
                body_offset: 62
            })
        );

        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(Head::parse(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn request_is_serialised_for_its_destination() {
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
