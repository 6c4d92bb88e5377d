//! The servers' thread.

use crate::hub::Hub;
use crate::listen::Listener;
use crate::request::{self, Requests};
use crate::{api, connection, stream};
use axum::Router;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How log lines and heartbeats become messages: the schema is not our business.
pub trait Encode: Send + Sync + 'static {
    /// A line of the log as an encoded `LogEntry`.
    fn log(&self, line: &str) -> Vec<u8>;
    /// A heartbeat as an encoded `LogEntry`.
    fn heartbeat(&self, seconds: i64, count: i64, message: &str) -> Vec<u8>;
}

/// The event stream: where, and how its messages are encoded.
pub struct Stream {
    /// Where it listens.
    pub listener: Listener,
    /// What it sends.
    pub hub: Hub,
    /// How.
    pub encode: Box<dyn Encode>,
}

/// The running servers; stopped on drop.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts them in a thread of their own. `module` is the subcommand that runs.
    pub fn start(
        api: Option<Listener>,
        stream: Option<Stream>,
        module: &'static str,
    ) -> io::Result<(Self, Requests)> {
        let (asker, requests) = request::channel()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut servers = Vec::new();
        if let Some(Listener { sockets, tls, access }) = api {
            servers.push((sockets, tls, api::router(asker, module, Arc::new(access))));
        }
        if let Some(Stream { listener, hub, encode }) = stream {
            let Listener { sockets, tls, access } = listener;
            servers.push((sockets, tls, stream::router(hub, encode.into(), Arc::new(access))));
        }
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async move {
                for (sockets, tls, router) in servers {
                    let places = connection::places();
                    for socket in sockets {
                        let (tls, router): (_, Router) = (tls.clone(), router.clone());
                        match TcpListener::from_std(socket) {
                            Ok(socket) => {
                                let places = Arc::clone(&places);
                                tokio::spawn(connection::accept(socket, tls, router, places));
                            }
                            Err(error) => tracing::error!("cannot serve: {error}"),
                        }
                    }
                }
                // An error says that the server was dropped, which is the same.
                let _ = stopped.await;
            });
        })?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, requests))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
