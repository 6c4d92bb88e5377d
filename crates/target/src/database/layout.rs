//! Where a session object keeps what is shown of it, as the server's own accessors read it.

use crate::code::{Assumptions, Decoded, End, Value, decode_one, explore};
use crate::elf::Machine;
use crate::image::Image;
use iced_x86::{FlowControl, Mnemonic, OpKind, Register};
use serde::Serialize;

/// A pointer or number reached from the session object (`THD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// If set, the pointer at this offset of the session leads to the object that holds it.
    pub through: Option<u32>,
    /// Its offset there.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u8,
}

/// What is known of a server's memory. `None`: not shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SessionLayout {
    /// The connection's number.
    pub connection: Option<Place>,
    /// The statement that is executed: a pointer, and its length in the word behind it.
    pub statement: Option<Place>,
    /// Points at the name of the current schema, a C string.
    pub schema: Option<Place>,
    /// Points at the name of the user, a C string.
    pub user: Option<Place>,
    /// Address in the file of `MyProcPort`: null in processes that serve no client.
    pub client: Option<u64>,
    /// How these were found.
    pub derivation: Vec<String>,
}

/// Larger than any `THD`.
const LARGEST_SESSION: u32 = 0x40000;
const POINTER: u8 = 8;

/// What an accessor returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returned {
    /// What is at the place.
    Value(Place),
    /// The address of the place.
    Address(Place),
}

/// What the accessor `name` returns for a session, if there is one such thing.
fn returned(image: &Image<'_>, name: &str) -> Option<Returned> {
    if image.elf.machine != Machine::X86_64 {
        return None;
    }
    let symbol = image.function(name)?;
    let assumptions = Assumptions { object_not_null: true, type_is_zero: false };
    let paths = explore(image, symbol.vaddr, symbol.size, assumptions).ok()?;
    let mut found: Option<Returned> = None;
    for path in paths.iter().filter(|path| path.calls.is_empty()) {
        let End::Return(value) = path.end else { continue };
        let this = match value {
            Value::Field { offset, size } => Returned::Value(Place { through: None, offset, size }),
            Value::Pointee { outer, inner } => Returned::Value(Place {
                through: Some(outer),
                offset: inner,
                size: POINTER,
            }),
            Value::Arg { .. } | Value::ArgPlus { .. } => Returned::Address(Place {
                through: None,
                offset: value.object_offset()?,
                size: POINTER,
            }),
            // A constant for a session that has none.
            Value::Const(_) => continue,
            _ => return None,
        };
        match (found, this) {
            (Some(before), this) if before == this => {}
            // `if (!thd->object) return 0; return thd->object->field;` may return the null
            // pointer that it has just loaded.
            (Some(Returned::Value(Place { through: Some(outer), .. })), Returned::Value(place))
                if place.through.is_none() && place.offset == outer => {}
            (Some(Returned::Value(place)), Returned::Value(Place { through: Some(outer), .. }))
                if place.through.is_none() && place.offset == outer =>
            {
                found = Some(this);
            }
            (Some(_), _) => return None,
            (None, this) => found = Some(this),
        }
    }
    found.filter(|found| {
        let (Returned::Value(place) | Returned::Address(place)) = found;
        place.through.unwrap_or(0) < LARGEST_SESSION && place.offset < LARGEST_SESSION
    })
}

/// The first of `accessors` that returns a number of the session.
pub(super) fn number(image: &Image<'_>, accessors: &[&str]) -> Option<(Place, String)> {
    accessors.iter().find_map(|name| match returned(image, name)? {
        Returned::Value(place) if place.size == 4 || place.size == 8 => {
            Some((place, (*name).to_owned()))
        }
        _ => None,
    })
}

/// The first of `accessors` that returns a pointer of the session, or the address of a string's
/// descriptor, which begins with its pointer.
pub(super) fn pointer(image: &Image<'_>, accessors: &[&str]) -> Option<(Place, String)> {
    accessors.iter().find_map(|name| match returned(image, name)? {
        Returned::Value(place) | Returned::Address(place) if place.size == POINTER => {
            Some((place, (*name).to_owned()))
        }
        _ => None,
    })
}

/// The offset of the field that the accessor stores where its second argument points:
/// `mov field(%rdi), %reg; mov %reg, (%rsi)`.
pub(super) fn stored_field(image: &Image<'_>, name: &str) -> Option<u32> {
    const LONGEST: usize = 12;
    if image.elf.machine != Machine::X86_64 {
        return None;
    }
    let mut at = image.function(name)?.vaddr;
    let mut loaded: Option<(Register, u32)> = None;
    for _ in 0..LONGEST {
        let Decoded { instruction, .. } = decode_one(&image.elf, at)?;
        let at_base = |base| {
            instruction.memory_base() == base && instruction.memory_index() == Register::None
        };
        let is_move = instruction.mnemonic() == Mnemonic::Mov;
        match (instruction.op0_kind(), instruction.op1_kind()) {
            (OpKind::Register, OpKind::Memory)
                if is_move
                    && at_base(Register::RDI)
                    && instruction.op0_register().is_gpr64()
                    && instruction.op0_register() != Register::RDI =>
            {
                let offset = u32::try_from(instruction.memory_displacement64()).ok()?;
                loaded = Some((instruction.op0_register(), offset));
            }
            (OpKind::Memory, OpKind::Register)
                if is_move
                    && at_base(Register::RSI)
                    && instruction.memory_displacement64() == 0 =>
            {
                let (register, offset) = loaded?;
                return (register == instruction.op1_register() && offset < LARGEST_SESSION)
                    .then_some(offset);
            }
            _ if matches!(
                instruction.flow_control(),
                FlowControl::Next | FlowControl::ConditionalBranch
            ) => {}
            _ => return None,
        }
        at = instruction.next_ip();
    }
    None
}
