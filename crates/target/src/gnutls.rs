//! `GnuTLS`: the functions of its record layer, and where a session keeps its descriptor.
//!
//! What programs rely on, from lib/record.c: a call that was interrupted has encrypted its data,
//! and whatever is passed next only resumes it. Corked data is taken by the call that hands it
//! over; `gnutls_record_uncork` sends it by calling `gnutls_record_send` again. Early data is only
//! buffered by `gnutls_record_send_early_data`, and passes `gnutls_record_send` when it is sent;
//! `gnutls_record_send_file` reads the file and passes that function too, unless the kernel
//! encrypts.

use crate::Error;
use crate::analysis::Analysis;
use crate::api::{self, Table, function};
use crate::code::decode_one;
use crate::elf::Machine;
use crate::family::{Family, gnutls_version};
use crate::image::Image;
use crate::keys;
use crate::layout::field;
use crate::site::{Op, Options, Planner, ResultStyle};
use iced_x86::{FlowControl, OpKind, Register};
use serde::Serialize;

const COUNT: ResultStyle = ResultStyle::ReturnValue { bits: 64 };
const RESUMABLE: ResultStyle = ResultStyle::Resumable;

const FUNCTIONS: [api::Function; 11] = [
    function("gnutls_record_recv", Op::Read, 3, COUNT),
    function("gnutls_record_recv_seq", Op::Read, 4, COUNT),
    function("gnutls_record_recv_early_data", Op::Read, 3, COUNT),
    function("gnutls_record_recv_packet", Op::Read, 2, ResultStyle::Packet),
    function("gnutls_record_send", Op::Write, 3, RESUMABLE),
    function("gnutls_record_send2", Op::Write, 5, RESUMABLE),
    function("gnutls_record_send_range", Op::Write, 4, COUNT),
    function("gnutls_record_uncork", Op::Write, 2, ResultStyle::CountedBefore),
    function("gnutls_record_send_file", Op::Sendfile, 4, COUNT),
    function("gnutls_record_discard_queued", Op::Discard, 1, ResultStyle::None),
    function("gnutls_deinit", Op::Free, 1, ResultStyle::None),
];

static INTERFACE: Table = Table {
    functions: &FUNCTIONS,
    wrappers: &[],
    layered_on: &[("gnutls_record_send", "gnutls_record_send2")],
    built_on: &[],
};

const ACCESSORS: [&str; 3] =
    ["gnutls_transport_get_ptr", "gnutls_transport_get_int", "gnutls_packet_get"];

/// Where a session keeps what it was told to receive from: a descriptor, or a pointer of the
/// program's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transport {
    /// Offset of that pointer-sized field in the session.
    pub descriptor: u32,
    /// Which accessors said so.
    pub derivation: String,
}

/// Analyses a `GnuTLS`.
pub(crate) fn analyze(bytes: &[u8], options: Options) -> Result<Analysis, Error> {
    let names: Vec<&str> = FUNCTIONS
        .iter()
        .map(|function| function.name)
        .chain(ACCESSORS)
        .chain(options.keys.then(keys::names).into_iter().flatten())
        .collect();
    let image = Image::new(bytes, &names)?;
    let carries = |name| !image.definitions(name).is_empty();
    if !carries("gnutls_record_recv") && !carries("gnutls_record_send") {
        return Err(Error::NoGnuTls);
    }
    let mut analysis = Analysis::new(&image, Family::GnuTls, gnutls_version(&image.elf), options);
    (analysis.functions, analysis.notes) = Planner::new(&image, &INTERFACE, options).plan();
    if carries("gnutls_record_recv_packet") && !packets_are_known(&image) {
        analysis.functions.retain(|plan| plan.result != ResultStyle::Packet);
        analysis.notes.push(
            "gnutls_record_recv_packet: not probed: gnutls_packet_get doesn't show where a \
             packet's data is"
                .to_owned(),
        );
    }
    if image.elf.machine == Machine::X86_64 {
        match transport(&image) {
            Ok(found) => analysis.transport = Some(found),
            Err(reason) => analysis.notes.push(format!("no descriptor of a session: {reason}")),
        }
    } else {
        analysis.notes.push("accessors are decoded on x86-64 only: no layouts".to_owned());
    }
    Ok(analysis)
}

fn transport(image: &Image<'_>) -> Result<Transport, String> {
    const POINTER: u8 = 8;
    const INT: u8 = 4;
    let (pointer, _) =
        field(image, "gnutls_transport_get_ptr", POINTER).map_err(|error| error.to_string())?;
    // Half of the field is returned; compilers load all of it too.
    let (int, _) = field(image, "gnutls_transport_get_int", INT)
        .or_else(|_| field(image, "gnutls_transport_get_int", POINTER))
        .map_err(|error| error.to_string())?;
    if pointer != int {
        return Err(format!(
            "gnutls_transport_get_ptr loads {pointer:#x} but gnutls_transport_get_int {int:#x}"
        ));
    }
    Ok(Transport {
        descriptor: pointer,
        derivation: "gnutls_transport_get_ptr, confirmed by gnutls_transport_get_int".to_owned(),
    })
}

/// True if `gnutls_packet_get` takes a packet's data from where the kernel side does: a pointer
/// at 0x18 and bytes to skip at 0x10; the end is at 0x20 (`mbuffer_st` of `lib/gnutls_int.h`).
fn packets_are_known(image: &Image<'_>) -> bool {
    const LONGEST: usize = 64;
    let known = [(0x10, 8), (0x18, 8), (0x20, 4)];
    if image.elf.machine != Machine::X86_64 {
        return false;
    }
    let Some(symbol) = image.function("gnutls_packet_get") else { return false };
    let mut loads = Vec::new();
    let mut at = symbol.vaddr;
    for _ in 0..LONGEST {
        let Some(decoded) = decode_one(&image.elf, at) else { break };
        let instruction = &decoded.instruction;
        if at >= symbol.vaddr.saturating_add(symbol.size)
            || matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        {
            break;
        }
        let loads_field = instruction.op_count() > 1
            && instruction.op1_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RDI
            && instruction.memory_index() == Register::None;
        if loads_field {
            loads.push((instruction.memory_displacement64(), instruction.memory_size().size()));
        }
        at = instruction.next_ip();
    }
    known
        .iter()
        .all(|(offset, size)| loads.iter().any(|(loaded, width)| loaded == offset && width >= size))
}
