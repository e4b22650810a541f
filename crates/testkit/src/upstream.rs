//! An upstream on raw sockets: records the very bytes that reach it, and misbehaves by path.
//!
//! | path | behaviour |
//! |---|---|
//! | `/reset-before-head` | reads the request, resets the connection |
//! | `/reset-mid-upload` | reads the head and some of the body, resets |
//! | `/reset-mid-answer` | sends 10 of 1,000 announced bytes, resets |
//! | `/stall-answer` | sends 10 of 1,000 announced bytes, then nothing |
//! | `/silent` | reads the request, never answers |
//! | `/unread` | reads the head, never the body, never answers |
//! | `/unauthorized` | 401 with `WWW-Authenticate: Negotiate` |
//! | `/switch` | 101, to a protocol that nobody asked for |
//! | `/chatty` | an answer with hop-by-hop fields and fields of the gateway's own names |
//! | `/close` | answers, then closes an HTTP/1.1 connection that it had not said it would close |
//! | `/big/N` | N bytes |
//! | anything else | 200 and the request's body |

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// One request as it reached the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Request line and fields, with their line ends, as sent.
    pub head: String,
    /// The body, its chunks put together.
    pub body: Vec<u8>,
    /// Number of the connection, from 0.
    pub connection: usize,
}

impl Received {
    /// The values of a field, in order.
    #[must_use]
    pub fn field(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .collect()
    }
}

#[derive(Debug, Default)]
struct State {
    received: Mutex<Vec<Received>>,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running upstream; dropping it closes everything.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

impl Upstream {
    /// On a free port of loopback.
    ///
    /// # Panics
    /// Where loopback can't be bound.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Acquire) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::AcqRel);
                if let Ok(clone) = stream.try_clone() {
                    lock(&shared.sockets).push(clone);
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = serve(&stream, number, &shared);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, state, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far, in the order in which their heads arrived.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Acquire)
    }

    /// Closes every connection that is open now, as an upstream's idle time-out would.
    pub fn hang_up(&self) {
        for socket in lock(&self.state.sockets).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Release);
        self.hang_up();
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.hang_up();
    }
}

/// Closes with RST rather than FIN: what was not read, or not sent, is lost.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}

fn serve(stream: &TcpStream, connection: usize, state: &State) -> std::io::Result<()> {
    // Its answers are two small writes: the second must not wait for the other side's delayed acknowledgement of the first.
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    loop {
        let head = read_head(&mut reader)?;
        if head.is_empty() {
            return Ok(());
        }
        let path = head.split(' ').nth(1).unwrap_or("").split('?').next().unwrap_or("").to_owned();
        let at = {
            let mut received = lock(&state.received);
            received.push(Received { head: head.clone(), body: Vec::new(), connection });
            received.len() - 1
        };
        if path == "/unread" {
            return hold(state);
        }
        if path == "/reset-mid-upload" {
            let mut some = [0; 1024];
            reader.read_exact(&mut some)?;
            reset(stream);
            return Ok(());
        }
        let body = read_body(&mut reader, &head)?;
        lock(&state.received)[at].body.clone_from(&body);
        if !answer(stream, &mut writer, &path, &body, state)? {
            return Ok(());
        }
    }
}

/// False: the connection is done.
fn answer(stream: &TcpStream, writer: &mut TcpStream, path: &str, body: &[u8], state: &State) -> std::io::Result<bool> {
    match path {
        "/reset-before-head" => {
            reset(stream);
            return Ok(false);
        }
        "/silent" => return hold(state).map(|()| false),
        "/reset-mid-answer" | "/stall-answer" => {
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")?;
            if path == "/stall-answer" {
                return hold(state).map(|()| false);
            }
            // Let the first bytes arrive: a reset may overtake what its receiver has not read.
            let mut gone = [0; 1];
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            let _ = (&mut &*stream).read(&mut gone);
            reset(stream);
            return Ok(false);
        }
        "/unauthorized" => writer.write_all(b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Negotiate\r\ncontent-length: 0\r\n\r\n")?,
        "/switch" => writer.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n")?,
        "/chatty" => writer.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nairgate-entry: 7\r\n\
              x_airgate_request_id: forged\r\npersistent-auth: true\r\nwww-authenticate: Negotiate abc\r\nx-app: yes\r\n\r\nok",
        )?,
        _ if path.starts_with("/big/") => {
            let size: usize = path[5..].parse().unwrap_or(0);
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")?;
            let block = [b'x'; 16 * 1024];
            let mut left = size;
            while left > 0 {
                let n = left.min(block.len());
                writer.write_all(&block[..n])?;
                left -= n;
            }
        }
        _ => {
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n", body.len())?;
            writer.write_all(body)?;
        }
    }
    Ok(path != "/close")
}

/// Until the upstream is stopped: the peer's patience is what is tested.
fn hold(state: &State) -> std::io::Result<()> {
    while !state.stop.load(Ordering::Acquire) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(String::new());
        }
        if head[before..].trim_end().is_empty() {
            return Ok(head);
        }
    }
}

fn read_body(reader: &mut impl BufRead, head: &str) -> std::io::Result<Vec<u8>> {
    let lower = head.to_ascii_lowercase();
    let field = |name: &str| lower.lines().find_map(|l| l.strip_prefix(name).map(|v| v.trim().to_owned()));
    let mut body = Vec::new();
    if field("transfer-encoding:").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    if let Some(length) = field("content-length:") {
        body.resize(length.parse().map_err(std::io::Error::other)?, 0);
        reader.read_exact(&mut body)?;
    }
    Ok(body)
}
