//! A server thread: it accepts on the listeners it is given, until they are taken away.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::door::Door;

/// A listener, and the door its connections go through.
pub(crate) type Port = (StdListener, Arc<Door>);

/// A message to a thread. It responds when it is done.
enum Command {
    Open(Vec<Port>, mpsc::Sender<io::Result<()>>),
    Close(mpsc::Sender<()>),
}

/// A thread with an event loop of its own. Dropping it stops it and waits.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Taken to stop the thread.
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// # Errors
    ///
    /// What the system says when it has no thread or no event loop left.
    pub(crate) fn start(number: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (commands, received) = unbounded_channel();
        let thread = thread::Builder::new()
            .name(format!("testserver-{number}"))
            // Dropping the runtime at the end drops listeners and connections.
            .spawn(move || runtime.block_on(obey(received)))?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    /// Serves these ports. When this returns, connections are accepted.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot watch a listener.
    pub(crate) fn open(&self, ports: Vec<Port>) -> io::Result<()> {
        self.ask(|done| Command::Open(ports, done)).unwrap_or_else(|| Err(ended()))
    }

    /// Closes every listener and connection. When this returns, they are closed.
    ///
    /// # Errors
    ///
    /// The thread has ended.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.ask(Command::Close).ok_or_else(ended)
    }

    /// Tells the thread to end, and does not wait for it.
    pub(crate) fn stop(&mut self) {
        self.commands = None;
    }

    /// `None` when the thread has ended.
    fn ask<T>(&self, command: impl FnOnce(mpsc::Sender<T>) -> Command) -> Option<T> {
        let (done, answer) = mpsc::channel();
        self.commands.as_ref()?.send(command(done)).ok()?;
        answer.recv().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the server's thread has ended")
}

/// Handles messages until their sender is dropped.
async fn obey(mut commands: UnboundedReceiver<Command>) {
    let mut accepting = JoinSet::new();
    let connections = Arc::new(Connections::default());
    while let Some(command) = commands.recv().await {
        match command {
            Command::Open(ports, done) => {
                let opened = ports.into_iter().try_for_each(|(listener, door)| {
                    let listener = TcpListener::from_std(listener)?;
                    accepting.spawn(accept(listener, door, Arc::clone(&connections)));
                    Ok(())
                });
                let _ = done.send(opened);
            }
            Command::Close(done) => {
                accepting.shutdown().await;
                connections.close().await;
                let _ = done.send(());
            }
        }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, connections: Arc<Connections>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) if door.admits(&stream) => {
                connections.spawn(Arc::clone(&door).enter(stream, peer));
            }
            Ok(_) => {}
            // The client has already gone, or file descriptors have run out: those come back with time.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The open connections of one thread; only that thread takes the lock.
#[derive(Debug, Default)]
struct Connections(Mutex<JoinSet<()>>);

impl Connections {
    /// Amortised O(1): each connection is forgotten once, when a later one comes.
    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(connection);
    }

    /// Ends all of them and waits until their sockets are closed.
    async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}
