//! A TCP proxy between the program and Postgres that slows, slices, cuts and swallows.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done to the bytes that the client sends, until it has been done once.
#[derive(Clone, Debug)]
pub enum Trick {
    /// Nothing.
    Pass,
    /// One byte at a time in both directions.
    Slice,
    /// Each piece waits.
    Delay(Duration),
    /// A session begins without the settings that the client asked for, as behind a pooler.
    DropSettings,
    /// The connection ends after this many bytes of the client.
    CutAt(u64),
    /// The connection ends after this many bytes of the server.
    CutAnswerAt(u64),
    /// After this many bytes of the server nothing goes through any more, and nothing is closed.
    SwallowAnswerAt(u64),
    /// The piece that holds the text goes through, and nothing after it in either direction.
    CutAfter(&'static str),
    /// The piece that holds the text does not go through.
    CutBefore(&'static str),
    /// From the piece with the text on, everything is swallowed and nothing is closed.
    SwallowFrom(&'static str),
}

pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    server: String,
    trick: Mutex<Trick>,
    /// The trick happens once; connections after it pass.
    done: AtomicBool,
    closed: AtomicBool,
    refuse: AtomicBool,
    /// Refuse every connection once the trick has happened.
    for_good: AtomicBool,
    pub sent: AtomicU64,
    answered: AtomicU64,
}

impl Proxy {
    /// `url` is the server's; the answer of [`Proxy::url`] goes through here.
    pub fn new(url: &str, trick: Trick) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let state = Arc::new(State {
            server,
            trick: Mutex::new(trick),
            done: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            refuse: AtomicBool::new(false),
            for_good: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                if shared.refuse.load(Ordering::SeqCst) {
                    drop(client);
                    continue;
                }
                let Ok(server) = TcpStream::connect(&shared.server) else { continue };
                let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
                pump(&shared, &client, &server);
            }
        });
        Proxy { port, state }
    }

    pub fn url(&self, url: &str) -> String {
        let (head, tail) = url.split_once('@').unwrap();
        format!("{head}@127.0.0.1:{}/{}", self.port, tail.split_once('/').unwrap().1)
    }

    pub fn happened(&self) -> bool {
        self.state.done.load(Ordering::SeqCst)
    }

    /// Bytes that clients have sent.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Once the trick has happened new connections are closed at once.
    pub fn for_good(&self) {
        self.state.for_good.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pump(state: &Arc<State>, client: &TcpStream, server: &TcpStream) {
    let swallowing = Arc::new(AtomicBool::new(false));
    let (from, to, own, swallow) =
        (client.try_clone().unwrap(), server.try_clone().unwrap(), state.clone(), swallowing.clone());
    std::thread::spawn(move || {
        upstream(&own, &from, &to, &swallow);
        if !swallow.load(Ordering::SeqCst) {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        }
    });
    let (mut from, mut to, own) = (server.try_clone().unwrap(), client.try_clone().unwrap(), state.clone());
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if swallowing.load(Ordering::SeqCst) {
                continue;
            }
            let before = own.answered.fetch_add(n as u64, Ordering::SeqCst);
            let trick = own.trick.lock().unwrap().clone();
            match trick {
                Trick::CutAnswerAt(at) if !own.happened() && before + n as u64 > at => {
                    let _ = to.write_all(&buffer[..(at - before.min(at)) as usize]);
                    own.happen();
                    break;
                }
                Trick::SwallowAnswerAt(at) if !own.happened() && before + n as u64 > at => {
                    own.happen();
                    swallowing.store(true, Ordering::SeqCst);
                    continue;
                }
                _ => {}
            }
            if own.give(&mut to, &buffer[..n]).is_err() {
                break;
            }
        }
        if !swallowing.load(Ordering::SeqCst) {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        }
    });
}

/// What the client sends.
fn upstream(state: &State, mut from: &TcpStream, to: &TcpStream, swallow: &AtomicBool) {
    let mut to = to.try_clone().unwrap();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..n];
        if swallow.load(Ordering::SeqCst) {
            continue;
        }
        let before = state.sent.fetch_add(n as u64, Ordering::SeqCst);
        let trick = state.trick.lock().unwrap().clone();
        let holds = |text: &str| piece.windows(text.len()).any(|w| w == text.as_bytes());
        let now = !state.happened();
        match trick {
            Trick::CutAt(at) if now && before + n as u64 > at => {
                let _ = to.write_all(&piece[..(at - before.min(at)) as usize]);
                state.happen();
                return;
            }
            Trick::CutAfter(text) if now && holds(text) => {
                state.happen();
                // The answer must not reach the client, so its half goes first.
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.write_all(piece);
                // The server works and answers into nothing.
                std::thread::sleep(Duration::from_millis(300));
                return;
            }
            Trick::CutBefore(text) if now && holds(text) => {
                state.happen();
                return;
            }
            Trick::SwallowFrom(text) if now && holds(text) => {
                state.happen();
                swallow.store(true, Ordering::SeqCst);
                continue;
            }
            _ => {}
        }
        let changed = match trick {
            Trick::DropSettings => without_settings(piece),
            _ => None,
        };
        if state.give(&mut to, changed.as_deref().unwrap_or(piece)).is_err() {
            return;
        }
    }
}

/// A startup message without its parameter `options`.
fn without_settings(message: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"\0options\0";
    let at = message.windows(NAME.len()).position(|w| w == NAME)? + 1;
    let value = at + NAME.len() - 1;
    let end = value + message[value..].iter().position(|b| *b == 0)? + 1;
    let mut short = [&message[..at], &message[end..]].concat();
    let length = short.len() as u32;
    short[..4].copy_from_slice(&length.to_be_bytes());
    Some(short)
}

impl State {
    fn happened(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    fn happen(&self) {
        self.refuse.store(self.for_good.load(Ordering::SeqCst), Ordering::SeqCst);
        self.done.store(true, Ordering::SeqCst);
    }

    fn give(&self, to: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
        let trick = self.trick.lock().unwrap().clone();
        match trick {
            Trick::Slice => piece.iter().try_for_each(|byte| to.write_all(&[*byte])),
            Trick::Delay(time) => {
                std::thread::sleep(time);
                to.write_all(piece)
            }
            _ => to.write_all(piece),
        }
    }
}
