//! What a register or stack slot is known to hold, in terms of the function's own arguments.

/// A value as far as it is known. `Unknown` is always right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Unknown,
    /// A constant; 32-bit results are zero-extended, as the processor does.
    Const(i64),
    /// The n-th argument of the function (0 is `%rdi`), possibly cut to 32 bits.
    Arg {
        index: u8,
        whole: bool,
    },
    /// The n-th argument plus an offset.
    ArgPlus {
        index: u8,
        offset: i64,
    },
    /// An address in the function's frame, relative to `%rsp` at its entry.
    Frame(i64),
    /// What the object that the first argument points at holds at `offset`.
    Field {
        offset: u32,
        size: u8,
    },
    /// What the pointer at `outer` of that object points at holds at `inner`.
    Pointee {
        outer: u32,
        inner: u32,
    },
    /// What a call on this path returned.
    Result(u16),
    /// The frame slot whose address was passed to a call, as that call left it.
    Written {
        call: u16,
        slot: i64,
    },
}

impl Value {
    pub(crate) const fn argument(index: u8) -> Self {
        Self::Arg { index, whole: true }
    }

    /// The value's low 32 bits, zero-extended.
    pub(crate) fn low_half(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(value & 0xffff_ffff),
            Self::Arg { index, .. } => Self::Arg { index, whole: false },
            Self::Field { offset, size } => Self::Field { offset, size: size.min(4) },
            Self::Result(_) | Self::Written { .. } => self,
            _ => Self::Unknown,
        }
    }

    /// The value moved by a constant.
    pub(crate) fn plus(self, delta: i64) -> Self {
        match self {
            _ if delta == 0 => self,
            Self::Const(value) => Self::Const(value.wrapping_add(delta)),
            Self::Frame(at) => at.checked_add(delta).map_or(Self::Unknown, Self::Frame),
            Self::Arg { index, whole: true } => Self::ArgPlus { index, offset: delta },
            Self::ArgPlus { index, offset } => {
                offset.checked_add(delta).map_or(Self::Unknown, |offset| match offset {
                    0 => Self::argument(index),
                    offset => Self::ArgPlus { index, offset },
                })
            }
            _ => Self::Unknown,
        }
    }

    /// The offset from the first argument, if that is what this address is.
    pub(crate) fn object_offset(self) -> Option<u32> {
        match self {
            Self::Arg { index: 0, whole: true } => Some(0),
            Self::ArgPlus { index: 0, offset } => u32::try_from(offset).ok(),
            _ => None,
        }
    }

    pub(crate) fn is_argument(self, wanted: u8) -> bool {
        self == Self::argument(wanted)
    }

    /// The argument, whole or sign- or zero-extended from its low half.
    pub(crate) fn carries_argument(self, wanted: u8) -> bool {
        matches!(self, Self::Arg { index, .. } if index == wanted)
    }

    /// A constant that is zero or less as a C `int`.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Const(value) if value as i32 <= 0)
    }
}
