//! Where a TLS object keeps its two BIOs.

use super::accessor::field;
use crate::image::Image;
use serde::Serialize;

/// Offsets in the object that `SSL_read` and `SSL_write` get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SslLayout {
    /// Offset of the pointer to the BIO it reads from.
    pub rbio: u32,
    /// Offset of the pointer to the BIO it writes to.
    pub wbio: u32,
    /// Offset of a 32-bit tag that must be 0 for the other offsets to hold: from OpenSSL 3.2 on
    /// an `SSL` may also be a QUIC object.
    pub zero_if_plain: Option<u32>,
    /// Which accessors said so.
    pub derivation: String,
}

/// The accessors to look up.
pub(crate) const ACCESSORS: [&str; 2] = ["SSL_get_rbio", "SSL_get_wbio"];
const POINTER: u32 = 8;
const POINTER_SIZE: u8 = 8;
/// Larger than any TLS object.
const LARGEST_OBJECT: u32 = 0x8000;

/// Derives the offsets, or says why it could not.
pub(crate) fn ssl_layout(image: &Image<'_>) -> Result<SslLayout, String> {
    let (rbio, typed) = field(image, "SSL_get_rbio", POINTER_SIZE).map_err(|e| e.to_string())?;
    let (wbio, also_typed) =
        field(image, "SSL_get_wbio", POINTER_SIZE).map_err(|e| e.to_string())?;
    // In every known version the two pointers are neighbours.
    if wbio != rbio + POINTER || rbio > LARGEST_OBJECT || rbio % POINTER != 0 || typed != also_typed
    {
        return Err(format!("SSL_get_rbio loads {rbio:#x} but SSL_get_wbio {wbio:#x}"));
    }
    let derivation = if typed {
        "SSL_get_rbio and SSL_get_wbio, on the path where *(int *)ssl is 0"
    } else {
        "SSL_get_rbio and SSL_get_wbio"
    };
    Ok(SslLayout {
        rbio,
        wbio,
        zero_if_plain: typed.then_some(0),
        derivation: derivation.to_owned(),
    })
}
