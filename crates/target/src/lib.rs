//! What to probe: processes, libraries, ELF files, probe sites, layouts.
