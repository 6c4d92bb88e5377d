//! What a register or stack slot is known to hold.

/// Loads that are followed from an argument.
pub(crate) const LONGEST: usize = 4;

/// A pointer reached from an argument: for each step but the last, the pointer at `+ step` is
/// loaded; the last is only added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) argument: u8,
    length: u8,
    steps: [i32; LONGEST],
}

impl Path {
    pub(crate) const fn argument(argument: u8) -> Self {
        Self { argument, length: 1, steps: [0; LONGEST] }
    }

    pub(crate) fn steps(&self) -> &[i32] {
        self.steps.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The argument itself.
    pub(crate) fn is_argument(&self, argument: u8) -> bool {
        *self == Self::argument(argument)
    }

    /// True if both point into the same object.
    fn same_place(&self, other: &Self) -> bool {
        let head = |path: &Self| path.steps().split_last().map(|(_, head)| head.to_vec());
        self.argument == other.argument && head(self) == head(other)
    }

    fn plus(mut self, delta: i64) -> Option<Self> {
        let last = self.steps.get_mut(usize::from(self.length).checked_sub(1)?)?;
        *last = i32::try_from(i64::from(*last).checked_add(delta)?).ok()?;
        Some(self)
    }

    /// The pointer that is stored there.
    fn pointee(mut self) -> Option<Self> {
        *self.steps.get_mut(usize::from(self.length))? = 0;
        self.length += 1;
        Some(self)
    }
}

/// A value as far as it is known. `Unknown` is always right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Unknown,
    Constant(u64),
    /// Relative to the stack pointer at the function's entry.
    Frame(i64),
    Path(Path),
    /// This address or one behind it: a pointer that a loop moves on.
    Along(Path),
    /// The low 32 bits of one.
    Half(Path),
    /// A number of `width` < 8 bytes loaded from there.
    Narrow {
        at: Path,
        width: u8,
    },
    /// The pointer in a slot of the file, such as one of the global offset table.
    Slot(u64),
    /// What the call at this address returned.
    Result(u64),
}

/// A value, and the labels that it may be the address of: one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) known: Known,
    pub(crate) labels: u32,
}

impl Value {
    pub(crate) const UNKNOWN: Self = Self { known: Known::Unknown, labels: 0 };

    pub(crate) const fn of(known: Known) -> Self {
        Self { known, labels: 0 }
    }

    /// Either of two, where this is what was believed before.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { known: self.known.or(other.known), labels: self.labels | other.labels }
    }
}

impl Known {
    fn or(self, other: Self) -> Self {
        match (self, other) {
            _ if self == other => self,
            (Self::Path(one), Self::Path(two)) if one.same_place(&two) => Self::Along(one.min(two)),
            // What was believed only ever becomes less: its start stays.
            (Self::Along(from), Self::Path(at) | Self::Along(at))
                if from.same_place(&at) && from <= at =>
            {
                self
            }
            _ => Self::Unknown,
        }
    }

    /// The value moved by a constant.
    pub(crate) fn plus(self, delta: i64) -> Self {
        match self {
            _ if delta == 0 => self,
            Self::Constant(value) => Self::Constant(value.wrapping_add_signed(delta)),
            Self::Frame(at) => at.checked_add(delta).map_or(Self::Unknown, Self::Frame),
            Self::Path(path) => path.plus(delta).map_or(Self::Unknown, Self::Path),
            Self::Along(_) if delta > 0 => self,
            _ => Self::Unknown,
        }
    }

    /// Its low `width` bytes, zero-extended.
    pub(crate) fn cut(self, width: u8) -> Self {
        match (self, width) {
            (_, 8) | (Self::Constant(0), _) | (Self::Narrow { .. } | Self::Result(_), 4) => self,
            (Self::Constant(value), 4) => Self::Constant(value & 0xffff_ffff),
            (Self::Path(path) | Self::Half(path), 4) => Self::Half(path),
            (Self::Constant(value), 1) => Self::Constant(value & 0xff),
            (Self::Constant(value), 2) => Self::Constant(value & 0xffff),
            _ => Self::Unknown,
        }
    }

    /// What is loaded from this address.
    pub(crate) fn loaded(self, width: u8) -> Self {
        match self {
            Self::Path(path) if width == 8 => path.pointee().map_or(Self::Unknown, Self::Path),
            Self::Path(at) if width < 8 => Self::Narrow { at, width },
            Self::Constant(slot) if width == 8 => Self::Slot(slot),
            _ => Self::Unknown,
        }
    }

    pub(crate) fn path(self) -> Option<Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The argument that this is, whole or cut to 32 bits.
    pub(crate) fn argument(self) -> Option<u8> {
        match self {
            Self::Path(path) | Self::Half(path) if path.is_argument(path.argument) => {
                Some(path.argument)
            }
            _ => None,
        }
    }
}
