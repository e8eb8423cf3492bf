//! A tiny HTTP/1.1 client: one connection a request, every byte visible, nothing retried or mended.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// An answer whose head has been read; the body is read piece by piece.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    reader: BufReader<OwnedReadHalf>,
    /// Kept: closing it would tell the server that the client has left.
    _writer: OwnedWriteHalf,
    left: Option<usize>,
}

/// Sends a request and reads the head of its answer. Dropping the answer closes the connection.
///
/// # Panics
/// When the server cannot be reached or speaks no HTTP.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let (read, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    writer.write_all(head.as_bytes()).await.unwrap();
    // A server may answer and close before it has read a body that is too large.
    let _ = writer.write_all(body.as_bytes()).await;
    let mut reader = BufReader::new(read);
    let status = line(&mut reader).await.unwrap();
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    let mut headers = BTreeMap::new();
    while let Some(line) = line(&mut reader).await.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let left = if method == "HEAD" { Some(0) } else { length };
    Answer { status, headers, reader, _writer: writer, left }
}

/// `POST` of a JSON body.
///
/// # Panics
/// As [`send`].
pub async fn post(address: SocketAddr, path: &str, body: &Value) -> Answer {
    send(address, "POST", path, &[], &body.to_string()).await
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> Option<String> {
    let mut line = Vec::new();
    loop {
        match reader.read_u8().await.ok()? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

impl Answer {
    /// The next piece as the server wrote it; `None` at a polite end.
    ///
    /// # Errors
    /// The connection broke in the middle.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, String> {
        let size = match self.left {
            Some(left) => {
                self.left = Some(0);
                left
            }
            None => {
                let size = line(&mut self.reader).await.ok_or("the connection broke")?;
                usize::from_str_radix(&size, 16).map_err(|why| why.to_string())?
            }
        };
        if size == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; size];
        self.reader.read_exact(&mut piece).await.map_err(|why| why.to_string())?;
        if self.left.is_none() {
            line(&mut self.reader).await.ok_or("the connection broke")?;
        }
        Ok(Some(piece))
    }

    /// Pieces until the end.
    ///
    /// # Errors
    /// What came before the connection broke.
    pub async fn pieces(&mut self) -> Result<Vec<Vec<u8>>, Vec<Vec<u8>>> {
        let mut pieces = Vec::new();
        loop {
            match self.piece().await {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => return Ok(pieces),
                Err(_) => return Err(pieces),
            }
        }
    }

    /// The whole body as text, broken off or not.
    pub async fn text(&mut self) -> String {
        let pieces = self.pieces().await.unwrap_or_else(|pieces| pieces);
        String::from_utf8_lossy(&pieces.concat()).into_owned()
    }

    /// The whole body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The data of all events of a stream.
    pub async fn events(&mut self) -> Vec<Value> {
        events(&self.text().await)
    }
}

/// The data of the events in a stream's text.
pub fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}
