//! Where a server listens, and under which conditions it may.

use crate::access::Access;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The name has no address.
    #[error("{address} has no address: {source}")]
    Resolve {
        /// As given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Tokens and plaintext would cross a network in the clear.
    #[error(
        "{address} can be reached from other machines: give --tls-cert and --tls-key, or say with \
         --insecure that tokens and plaintext may cross the network in the clear"
    )]
    InTheClear {
        /// The address.
        address: SocketAddr,
    },
    /// The certificate or key cannot be used.
    #[error("{path}: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Tls(pub(crate) Arc<ServerConfig>);

impl Tls {
    /// Reads PEM files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, ListenError> {
        let wrong = |path: &Path, reason: String| ListenError::Certificate {
            path: path.to_owned(),
            reason,
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(certificate, error.to_string()))?;
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(|error| wrong(certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Sockets that are bound, and what holds for those who connect.
#[derive(Debug)]
pub struct Listener {
    pub(crate) sockets: Vec<TcpListener>,
    pub(crate) tls: Option<Tls>,
    pub(crate) access: Access,
}

impl Listener {
    /// Binds every address of `address` (`HOST:PORT`). With neither `tls` nor `insecure` they must be
    /// loopback addresses.
    pub fn bind(
        address: &str,
        tls: Option<Tls>,
        insecure: bool,
        mut access: Access,
    ) -> Result<Self, ListenError> {
        let addresses: Vec<SocketAddr> = address
            .to_socket_addrs()
            .map_err(|source| ListenError::Resolve { address: address.to_owned(), source })?
            .collect();
        let outside = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (Some(outside), None, false) = (outside, &tls, insecure) {
            return Err(ListenError::InTheClear { address: *outside });
        }
        if let Some((name, _port)) = address.rsplit_once(':') {
            access.names.push(name.to_owned());
        }
        let (mut sockets, mut failed) = (Vec::new(), None);
        for address in addresses {
            let socket = TcpListener::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            match socket {
                Ok(socket) => sockets.push(socket),
                // `localhost` is ::1 too, also on hosts without IPv6.
                Err(source) if source.kind() == io::ErrorKind::AddrNotAvailable => {
                    failed = Some(ListenError::Bind { address, source });
                }
                Err(source) => return Err(ListenError::Bind { address, source }),
            }
        }
        match failed {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Self { sockets, tls, access }),
        }
    }

    /// The addresses that it has.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }
}
