//! One connection: bounded in number, in time and in memory, whoever is at its other end.

use crate::listen::Tls;
use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// More connections at a time are closed as soon as they are accepted.
const CONNECTIONS: usize = 64;
/// For the TLS handshake, and again for the head of the request.
const HEAD: Duration = Duration::from_secs(5);
/// For the whole exchange; what becomes a WebSocket is out of this.
const EXCHANGE: Duration = Duration::from_mins(1);
/// Bytes of a head at most.
const LONGEST_HEAD: usize = 16 << 10;
/// After an error of accept, which as a rule is a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Kept as long as a connection takes one of the places.
#[derive(Clone)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The places of one server.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CONNECTIONS))
}

pub(crate) async fn accept(
    socket: TcpListener,
    tls: Option<Tls>,
    router: Router,
    places: Arc<Semaphore>,
) {
    let acceptor = tls.map(|Tls(config)| TlsAcceptor::from(config));
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&places).try_acquire_owned() else { continue };
        let place = Place { _permit: Arc::new(permit) };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // Frames of a WebSocket are small and must not wait for each other.
            let _ = stream.set_nodelay(true);
            serve(stream, acceptor, router, place).await;
        });
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, router: Router, place: Place) {
    match acceptor {
        None => exchange(stream, router, place).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HEAD, acceptor.accept(stream)).await {
                exchange(stream, router, place).await;
            }
        }
    }
}

/// One request and its answer. There is no second: so nobody keeps a place by being idle.
async fn exchange<S>(stream: S, router: Router, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = router.layer(axum::middleware::map_request(move |mut request: Request| {
        let place = place.clone();
        async move {
            request.extensions_mut().insert(place);
            request
        }
    }));
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection::<_, TowerToHyperService<Router>>(TokioIo::new(stream), service)
        .with_upgrades();
    // A client that breaks the protocol is answered by hyper, if it can be.
    let _ = timeout(EXCHANGE, connection).await;
}
