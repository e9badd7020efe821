//! Writes that are ready together leave together.
//!
//! All calls of one Envoy worker share a connection. When a read brings
//! messages of several calls, each call's reply would be written, and wake
//! Envoy, as soon as it is made. Here a flush first lets every task run that
//! is ready to, so that one write carries all of their replies.
//!
//! Always holds: bytes leave in the order in which they came; a flush ends
//! only when all before it was written; no more than [`GATHERED_BYTES_MAX`] and
//! one smaller write wait here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What waits is written out before it grows beyond this. A write of this size
/// or more is not copied.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// A connection whose writes are gathered until a flush.
pub struct Gathered<IO> {
    io: IO,
    waiting: Vec<u8>,
    /// How much of `waiting` has been written.
    written: usize,
    /// The other tasks have had their turn since the last flush ended.
    yielded: bool,
}

impl<IO> Gathered<IO> {
    pub fn new(io: IO) -> Self {
        Self {
            io,
            waiting: Vec::new(),
            written: 0,
            yielded: false,
        }
    }
}

impl<IO: AsyncWrite + Unpin> Gathered<IO> {
    /// Writes out all that waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.written..).filter(|r| !r.is_empty()) {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.waiting.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for a write of this size; says whether it is to be gathered.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + bytes > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        Poll::Ready(Ok(bytes < GATHERED_BYTES_MAX))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Gathered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Gathered<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(cx, bytes.len()))? {
            return Pin::new(&mut self.io).poll_write(cx, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(self.poll_room(cx, count))? {
            return Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() && !self.yielded {
            self.yielded = true;
            // A task that wakes itself goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.yielded = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<IO: Connected> Connected for Gathered<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    type Writes = Arc<Mutex<Vec<Vec<u8>>>>;

    /// A sink that takes at most `most` bytes a write and notes each.
    struct Sink {
        most: usize,
        writes: Writes,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.writes.lock().unwrap().push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn sink(most: usize) -> (Gathered<Sink>, Writes) {
        let writes = Writes::default();
        let sink = Sink {
            most,
            writes: Arc::clone(&writes),
        };
        (Gathered::new(sink), writes)
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_is_one_write() {
        let (mut gathered, writes) = sink(usize::MAX);
        gathered.write_all(b"one ").await.unwrap();
        gathered.write_all(b"two").await.unwrap();
        assert!(writes.lock().unwrap().is_empty());
        gathered.flush().await.unwrap();
        assert_eq!(*writes.lock().unwrap(), [b"one two".to_vec()]);
        gathered.write_all(b"three").await.unwrap();
        gathered.shutdown().await.unwrap();
        assert_eq!(writes.lock().unwrap()[1], b"three");
    }

    #[tokio::test]
    async fn order_is_kept_at_every_size_and_short_write() {
        let most = GATHERED_BYTES_MAX;
        for take in [1_000, most, usize::MAX] {
            let (mut gathered, writes) = sink(take);
            let mut expected = Vec::new();
            for (n, size) in [
                1,
                most - 1,
                most,
                3 * most + 1,
                7,
                0,
                most / 2,
                most / 2 + 1,
            ]
            .into_iter()
            .enumerate()
            {
                let bytes = vec![u8::try_from(n).unwrap(); size];
                gathered.write_all(&bytes).await.unwrap();
                expected.extend(bytes);
                assert!(gathered.waiting.capacity() <= 2 * most);
            }
            gathered.flush().await.unwrap();
            assert_eq!(writes.lock().unwrap().concat(), expected, "{take}");
        }
    }

    /// Two tasks write over one connection's task; its flush waits for both.
    #[tokio::test]
    async fn a_flush_lets_ready_tasks_go_first() {
        let (near, mut far) = tokio::io::duplex(1_024);
        let mut gathered = Gathered::new(near);
        gathered.write_all(b"a").await.unwrap();
        let ran = Arc::new(Mutex::new(false));
        #[expect(clippy::disallowed_methods, reason = "the task that goes first")]
        let other = tokio::spawn({
            let ran = Arc::clone(&ran);
            async move { *ran.lock().unwrap() = true }
        });
        gathered.flush().await.unwrap();
        assert!(*ran.lock().unwrap(), "the flush did not wait its turn");
        other.await.unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"a");
    }
}
