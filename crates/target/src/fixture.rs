//! ELF files assembled by hand, for tests of one planner rule each.

use iced_x86::code_asm::CodeAssembler;

/// A shared library under construction: one function a page, the first of them
/// `__stack_chk_fail`.
pub(crate) struct Fixture {
    pages: Vec<Vec<u8>>,
    symbols: Vec<(String, u64, u64)>,
    relocations: Vec<(u64, u64)>,
}

/// The address of `__stack_chk_fail`.
pub(crate) const FAIL: u64 = 0x1000;
const PAGE: u64 = 0x1000;

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new(), symbols: Vec::new(), relocations: Vec::new() }
            .function("__stack_chk_fail", |a| a.ud2().unwrap())
    }

    /// Where the next function will lie.
    pub(crate) fn next(&self) -> u64 {
        (self.pages.len() as u64 + 1) * PAGE
    }

    /// An exported function.
    pub(crate) fn function(self, name: &str, body: impl FnOnce(&mut CodeAssembler)) -> Self {
        let at = self.next();
        let code = assemble(at, body);
        let size = code.len() as u64;
        self.bytes(name, code, size)
    }

    /// An exported function of these bytes, whose symbol says it has this size.
    pub(crate) fn bytes(mut self, name: &str, code: Vec<u8>, size: u64) -> Self {
        assert!(code.len() as u64 <= PAGE);
        let at = self.next();
        self.symbols.push((name.to_owned(), at, size));
        self.pages.push(code);
        self
    }

    /// A function without a symbol.
    pub(crate) fn internal(mut self, body: impl FnOnce(&mut CodeAssembler)) -> Self {
        let code = assemble(self.next(), body);
        self.pages.push(code);
        self
    }

    /// A function of another file, used here.
    pub(crate) fn import(mut self, name: &str) -> Self {
        self.symbols.push((name.to_owned(), 0, 0));
        self
    }

    /// A pointer at `slot` that the loader makes point at `target`.
    pub(crate) fn relocation(mut self, slot: u64, target: u64) -> Self {
        self.relocations.push((slot, target));
        self
    }

    /// Another name for the last function.
    pub(crate) fn alias(mut self, name: &str) -> Self {
        let (_, at, size) = self.symbols.last().unwrap().clone();
        self.symbols.push((name.to_owned(), at, size));
        self
    }

    /// The file. Everything is in one executable segment, at its file offset.
    pub(crate) fn elf(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut symbols = vec![0; 24];
        for (name, at, size) in &self.symbols {
            symbols.extend((strings.len() as u32).to_le_bytes());
            symbols.extend([0x12, 0, u8::from(*at != 0), 0]);
            symbols.extend(at.to_le_bytes());
            symbols.extend(size.to_le_bytes());
            strings.extend(name.as_bytes());
            strings.push(0);
        }
        let symbols_at = self.next();
        let strings_at = symbols_at + symbols.len() as u64;
        let relocations: Vec<u8> = self
            .relocations
            .iter()
            // R_X86_64_RELATIVE
            .flat_map(|(slot, target)| [*slot, 8, *target])
            .flat_map(u64::to_le_bytes)
            .collect();
        let relocations_at = strings_at + strings.len() as u64;
        let dynamic_at = relocations_at + relocations.len() as u64;
        let entries = [
            (6, symbols_at),
            (5, strings_at),
            (10, strings.len() as u64),
            (7, relocations_at),
            (8, relocations.len() as u64),
            (0u64, 0u64),
        ];
        let dynamic: Vec<u8> = entries
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect();
        let end = dynamic_at + dynamic.len() as u64;
        let mut file = header();
        file.extend(program_header(1, 5, 0, end));
        file.extend(program_header(2, 4, dynamic_at, dynamic.len() as u64));
        for code in &self.pages {
            file.resize(file.len().next_multiple_of(PAGE as usize), 0);
            file.extend(code);
        }
        file.resize(symbols_at as usize, 0);
        file.extend(symbols);
        file.extend(strings);
        file.extend(relocations);
        file.extend(dynamic);
        file
    }
}

/// Machine code for one function.
pub(crate) fn assemble(at: u64, body: impl FnOnce(&mut CodeAssembler)) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(64).unwrap();
    body(&mut assembler);
    assembler.assemble(at).unwrap()
}

fn header() -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    header.extend(0u64.to_le_bytes());
    header.extend(64u64.to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
    header
}

fn program_header(kind: u32, flags: u32, at: u64, size: u64) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(kind.to_le_bytes());
    header.extend(flags.to_le_bytes());
    for field in [at, at, at, size, size, PAGE] {
        header.extend(field.to_le_bytes());
    }
    header
}
