//! Struct offsets, read off the tiny exported accessors of the very build at hand.

mod accessor;
mod bio;
mod ssl;

#[cfg(test)]
mod tests;

pub use bio::{BioLayout, libcrypto_layout};
pub use ssl::SslLayout;

pub(crate) use accessor::field;
pub(crate) use bio::{ACCESSORS as BIO_ACCESSORS, bio_layout};
pub(crate) use ssl::{ACCESSORS as SSL_ACCESSORS, ssl_layout};
