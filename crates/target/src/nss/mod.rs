//! NSS: the functions behind the TLS layer that it puts on NSPR's descriptors.
//!
//! Programs call NSPR's `PR_Read` and its like, which serve files, pipes and sockets alike and go
//! through the descriptor's table of methods. libssl has one table for its layer
//! (`ssl_SetupIOMethods` of lib/ssl/sslsock.c): the functions in it are called for TLS descriptors
//! only, with plaintext. They are static; [`methods`] finds them.

mod methods;
#[cfg(test)]
mod tests;
mod words;

pub use methods::NoMethods;

use crate::Error;
use crate::analysis::Analysis;
use crate::api::function;
use crate::elf::Symbol;
use crate::family::{Family, nss_version};
use crate::image::Image;
use crate::keys::{self, bounds::Bounds};
use crate::site::{FunctionPlan, Object, Op, Options, Placement, Placer, ResultStyle};
use methods::{Method, Methods};

/// The functions in the table, what programs call to reach each, and what they mean. `ssl_WriteV`
/// is not among them: it calls `ssl_Send`.
const FUNCTIONS: [(Method, &str, &str, Op, usize, ResultStyle); 5] = [
    (Method::Read, "ssl_Read", "PR_Read", Op::Read, 3, ResultStyle::ReturnValue { bits: 32 }),
    (Method::Recv, "ssl_Recv", "PR_Recv", Op::Read, 4, ResultStyle::UnlessPeek),
    (Method::Write, "ssl_Write", "PR_Write", Op::Write, 3, ResultStyle::ReturnValue { bits: 32 }),
    (Method::Send, "ssl_Send", "PR_Send", Op::Write, 4, ResultStyle::ReturnValue { bits: 32 }),
    (Method::Close, "ssl_Close", "PR_Close", Op::Free, 1, ResultStyle::None),
];

/// `secret` of a `PRFileDesc` (prio.h): for the TLS layer its socket. The descriptor itself is no
/// name for a connection: pushing another layer moves what is in it elsewhere.
const SECRET: u8 = 8;

/// Analyses a libssl of NSS.
pub(crate) fn analyze(bytes: &[u8], options: Options) -> Result<Analysis, Error> {
    let names: Vec<&str> = ["SSL_ImportFD"]
        .into_iter()
        .chain(methods::NAMES)
        .chain(options.keys.then(keys::names).into_iter().flatten())
        .collect();
    let image = Image::new(bytes, &names)?;
    if image.definitions("SSL_ImportFD").is_empty() {
        return Err(Error::NoNss);
    }
    let methods = Methods::find(&image)?;
    let mut analysis = Analysis::new(&image, Family::Nss, nss_version(&image.elf), options);
    analysis.object = Object::Behind(SECRET);
    analysis.notes.push(format!(
        "the methods of the TLS layer are those that the code at {:#x} puts into a table whose \
         type is PR_DESC_LAYERED and whose sendfile is PR_EmulateSendFile",
        methods.set_up
    ));
    let bounds = Bounds::new(&image);
    for (method, name, called, op, arguments, result) in FUNCTIONS {
        let vaddr = methods.address(method);
        // No symbol says how long it is.
        let range = bounds.around(vaddr).filter(|range| range.start == vaddr);
        let symbol = Symbol { vaddr, size: range.map_or(0, |range| range.end - range.start) };
        let place = Placer { image: &image, options };
        let function = function(name, op, arguments, result);
        let placed = if options.placement == Placement::Entry {
            place.place_plain(&function, &symbol)
        } else {
            place.place_exported(&function, &symbol)
        };
        match placed {
            Ok(placed) => analysis.functions.push(FunctionPlan {
                name: name.to_owned(),
                covers: vec![called.to_owned()],
                op,
                result,
                entry: placed.entry,
                exit: placed.exit,
                placement: placed.placement,
                why: placed.why,
            }),
            Err(reason) => analysis.notes.push(format!("{name}: not probed: {reason}")),
        }
    }
    Ok(analysis)
}
