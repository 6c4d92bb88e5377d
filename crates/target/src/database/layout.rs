//! Where a session object keeps what is shown of it, as the server's own accessors read it.

use crate::code::{Decoded, decode_one};
use crate::elf::Machine;
use crate::image::Image;
use iced_x86::{ConditionCode, FlowControl, Instruction, Mnemonic, OpKind, Register};
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
    /// The number of the error that the last statement ended with.
    pub error: Option<Place>,
    /// A number beside it, and its value if there is an error.
    pub error_tag: Option<(Place, u32)>,
    /// Address in the file of `MyProcPort`: null in processes that serve no client.
    pub client: Option<u64>,
    /// How these were found.
    pub derivation: Vec<String>,
}

/// Larger than any `THD`.
const LARGEST_SESSION: u32 = 0x40000;
const POINTER: u8 = 8;

/// What a register holds on the way through an accessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The address of a place, or of the session itself.
    Address(Place),
    /// What is at the place.
    Value(Place),
}

/// An accessor, followed along the path on which pointers are not null and what it looks for is
/// there.
struct Followed {
    returned: Option<Held>,
    /// What it looked for: a number at a place, and its value.
    looked_for: Option<(Place, u32)>,
}

/// Follows the accessor `name` of a session.
fn follow(image: &Image<'_>, name: &str) -> Option<Followed> {
    const LONGEST: usize = 32;
    if image.elf.machine != Machine::X86_64 {
        return None;
    }
    let mut at = image.function(name)?.vaddr;
    let session = Held::Address(Place { through: None, offset: 0, size: POINTER });
    let mut registers: Vec<(Register, Held)> = vec![(Register::RDI, session)];
    let mut spilled: Vec<((Register, u64), Held)> = Vec::new();
    let mut looked_for = None;
    // The branch that follows is taken if what was tested is not so.
    let mut tests_null = false;
    for _ in 0..LONGEST {
        let Decoded { instruction, .. } = decode_one(&image.elf, at)?;
        at = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Return => {
                let returned = held(&registers, Register::RAX);
                return Some(Followed { returned, looked_for });
            }
            FlowControl::ConditionalBranch => {
                let taken = match instruction.condition_code() {
                    ConditionCode::e => !tests_null,
                    ConditionCode::ne => tests_null,
                    _ => return None,
                };
                if taken {
                    at = instruction.near_branch_target();
                }
            }
            FlowControl::UnconditionalBranch if instruction.op0_kind() == OpKind::NearBranch64 => {
                at = instruction.near_branch_target();
            }
            FlowControl::Next => match instruction.mnemonic() {
                Mnemonic::Test => tests_null = true,
                Mnemonic::Cmp => {
                    tests_null = false;
                    let place = place(&registers, &instruction)?;
                    let value = u32::try_from(instruction.try_immediate(1).ok()?).ok()?;
                    looked_for = Some((place, value));
                }
                Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => {
                    let slot = frame_slot(&instruction, OpKind::Memory)?;
                    spilled.retain(|(known, _)| *known != slot);
                    let value = held(&registers, instruction.op1_register());
                    spilled.extend(value.map(|value| (slot, value)));
                }
                Mnemonic::Mov if frame_slot(&instruction, OpKind::Register).is_some() => {
                    let slot = frame_slot(&instruction, OpKind::Register)?;
                    let register = instruction.op0_register().full_register();
                    let value = spilled.iter().find(|(known, _)| *known == slot);
                    forget(&mut registers, register);
                    registers.extend(value.map(|(_, value)| (register, *value)));
                }
                Mnemonic::Mov | Mnemonic::Lea => step(&mut registers, &instruction),
                Mnemonic::Push | Mnemonic::Leave | Mnemonic::Endbr64 | Mnemonic::Nop => {}
                Mnemonic::Pop => forget(&mut registers, instruction.op0_register()),
                Mnemonic::Add | Mnemonic::Sub if instruction.op0_register() == Register::RSP => {}
                // A register is cleared for the other path.
                Mnemonic::Xor if instruction.op0_register() == instruction.op1_register() => {
                    forget(&mut registers, instruction.op0_register());
                }
                _ => return None,
            },
            // A check that does not change what is asked for.
            FlowControl::Call => {
                for register in CALL_CLOBBERED {
                    forget(&mut registers, register);
                }
            }
            _ => return None,
        }
    }
    None
}

/// Registers that a called function may change.
const CALL_CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// The slot of the frame that the memory operand names, if it is a whole one; `first` is the kind of
/// operand that comes first.
fn frame_slot(instruction: &Instruction, first: OpKind) -> Option<(Register, u64)> {
    let has_slot = instruction.op0_kind() == first
        && (first == OpKind::Memory || instruction.op1_kind() == OpKind::Memory)
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_base(), Register::RBP | Register::RSP)
        && instruction.memory_size().size() == usize::from(POINTER);
    has_slot.then(|| (instruction.memory_base(), instruction.memory_displacement64()))
}

fn held(registers: &[(Register, Held)], register: Register) -> Option<Held> {
    let full = register.full_register();
    registers.iter().find(|(known, _)| *known == full).map(|(_, held)| *held)
}

fn forget(registers: &mut Vec<(Register, Held)>, register: Register) {
    registers.retain(|(known, _)| *known != register.full_register());
}

/// `mov` or `lea` into a register.
fn step(registers: &mut Vec<(Register, Held)>, instruction: &Instruction) {
    let value = match (instruction.op1_kind(), instruction.mnemonic()) {
        (OpKind::Register, Mnemonic::Mov) => held(registers, instruction.op1_register()),
        (OpKind::Memory, Mnemonic::Mov) => place(registers, instruction).map(Held::Value),
        (OpKind::Memory, Mnemonic::Lea) => place(registers, instruction)
            .map(|place| Held::Address(Place { size: POINTER, ..place })),
        _ => None,
    };
    if instruction.op0_kind() == OpKind::Register {
        let register = instruction.op0_register().full_register();
        forget(registers, register);
        registers.extend(value.map(|value| (register, value)));
    }
}

/// The place that the memory operand names.
fn place(registers: &[(Register, Held)], instruction: &Instruction) -> Option<Place> {
    if instruction.memory_index() != Register::None
        || instruction.memory_base() == Register::None
        || instruction.segment_prefix() != Register::None
    {
        return None;
    }
    let displacement = u32::try_from(instruction.memory_displacement64()).ok()?;
    let size = u8::try_from(instruction.memory_size().size()).ok()?;
    let place = match held(registers, instruction.memory_base())? {
        Held::Address(place) => {
            Place { offset: place.offset.checked_add(displacement)?, size, ..place }
        }
        Held::Value(Place { through: None, offset, size: POINTER }) => {
            Place { through: Some(offset), offset: displacement, size }
        }
        Held::Value(_) => return None,
    };
    (place.through.unwrap_or(0) < LARGEST_SESSION && place.offset < LARGEST_SESSION)
        .then_some(place)
}

/// What the accessor `name` returns of a session.
fn returned(image: &Image<'_>, name: &str) -> Option<Held> {
    follow(image, name)?.returned
}

/// What the accessor `name` returns of the object to which another, `to_object`, leads.
pub(super) fn pointer_of(image: &Image<'_>, name: &str, to_object: &str) -> Option<Place> {
    let Held::Value(object) = returned(image, to_object)? else { return None };
    match returned(image, name)? {
        Held::Value(Place { through, offset, size: POINTER })
            if object.through.is_none() && through == Some(object.offset) =>
        {
            Some(Place { through: None, offset, size: POINTER })
        }
        _ => None,
    }
}

/// The number that the accessor `name` returns if another has a certain value.
pub(super) fn number_if(image: &Image<'_>, name: &str) -> Option<(Place, Place, u32)> {
    let Followed { returned: Some(Held::Value(number)), looked_for: Some((tag, value)) } =
        follow(image, name)?
    else {
        return None;
    };
    (number.size == 4 && tag.size == 4 && number.through == tag.through)
        .then_some((number, tag, value))
}

/// The first of `accessors` that returns a number of the session.
pub(super) fn number(image: &Image<'_>, accessors: &[&str]) -> Option<(Place, String)> {
    accessors.iter().find_map(|name| match returned(image, name)? {
        Held::Value(place) if place.size == 4 || place.size == 8 => {
            Some((place, (*name).to_owned()))
        }
        _ => None,
    })
}

/// The first of `accessors` that returns a pointer of the session, or the address of a string's
/// descriptor, which begins with its pointer.
pub(super) fn pointer(image: &Image<'_>, accessors: &[&str]) -> Option<(Place, String)> {
    accessors.iter().find_map(|name| match returned(image, name)? {
        Held::Value(place) | Held::Address(place) if place.size == POINTER => {
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
