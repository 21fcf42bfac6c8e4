//! The first words of a connection: a whole ClientHello before TLS works for it, and HTTP/1 behind that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The header of a TLS record: its type, the version, and the length of what follows.
const RECORD_HEADER: usize = 5;

/// The type of a record that holds a handshake's message.
const HANDSHAKE: u8 = 22;

/// How long a record may be without its header. Unit: bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// How much is read at a time: what is announced takes no room before it comes. Unit: bytes.
const READ_BYTES: usize = 2 * 1024;

/// Reads the first record of a TLS connection, the header included. Who only begins one costs nothing but the reading.
pub(super) async fn first_record<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut record = vec![0; RECORD_HEADER];
    stream.read_exact(&mut record).await?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    if record[0] != HANDSHAKE || length == 0 || length > RECORD_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not the beginning of a TLS connection",
        ));
    }
    let whole = RECORD_HEADER + length;
    while record.len() < whole {
        let before = record.len();
        record.resize(whole.min(before + READ_BYTES), 0);
        stream.read_exact(&mut record[before..]).await?;
    }
    Ok(record)
}

/// How HTTP/2 begins where nobody agreed on it. No method of HTTP/1 is called so.
const HTTP_2: [u8; 4] = *b"PRI ";

/// A stream that ends where the other side begins with HTTP/2: one connection of that would hold its place for good, since
/// nothing bounds how long it is idle.
pub(super) struct Http1<S> {
    stream: S,
    /// How much of [`HTTP_2`] has come; none once something else came.
    matched: Option<usize>,
}

impl<S> Http1<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            matched: Some(0),
        }
    }

    fn heard(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            match self.matched {
                None => return Ok(()),
                Some(matched) if HTTP_2[matched] != *byte => self.matched = None,
                Some(matched) if matched + 1 == HTTP_2.len() => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "HTTP/2 is not spoken here",
                    ));
                }
                Some(matched) => self.matched = Some(matched + 1),
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.matched.is_some() && matches!(read, Poll::Ready(Ok(()))) {
            let heard = self.heard(&buffer.filled()[before..]);
            if heard.is_err() {
                buffer.set_filled(before);
                return Poll::Ready(heard);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http1<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// threat M
    #[tokio::test]
    async fn threat_m_a_record_is_read_whole_and_nothing_else_is_taken_for_one() {
        let hello = [&[HANDSHAKE, 3, 1, 0x0c, 0x00][..], &[7; 0x0c00]].concat();
        let more = [&hello[..], b"what follows"].concat();
        let mut stream = &more[..];
        assert_eq!(first_record(&mut stream).await.unwrap(), hello);
        assert_eq!(stream, b"what follows");
        for (bad, kind) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], io::ErrorKind::InvalidData),
            (
                &[HANDSHAKE, 3, 1, 0x40, 0x01, 0][..],
                io::ErrorKind::InvalidData,
            ),
            (&[HANDSHAKE, 3, 1, 0, 0][..], io::ErrorKind::InvalidData),
            (&hello[..hello.len() - 1], io::ErrorKind::UnexpectedEof),
            (&[HANDSHAKE][..], io::ErrorKind::UnexpectedEof),
        ] {
            let refused = first_record(&mut &bad[..]).await.unwrap_err();
            assert_eq!(refused.kind(), kind, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn http_2_is_ended_however_it_comes_and_http_1_is_not() {
        let mut buffer = Vec::new();
        for begins in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"PRI "] {
            let mut whole = Http1::new(begins);
            assert!(whole.read_to_end(&mut buffer).await.is_err());
            let (one, rest) = begins.split_at(2);
            let mut parts = Http1::new(one.chain(rest));
            assert!(parts.read_to_end(&mut buffer).await.is_err());
        }
        for begins in [
            "",
            "PRI",
            "PUT /PRI * HTTP/1.1",
            "GET / HTTP/1.1\r\n\r\nPRI * ",
        ] {
            buffer.clear();
            let mut stream = Http1::new(begins.as_bytes());
            assert!(stream.read_to_end(&mut buffer).await.is_ok(), "{begins}");
            assert_eq!(buffer, begins.as_bytes());
        }
    }
}
