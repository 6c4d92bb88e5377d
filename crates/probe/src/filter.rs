//! Whose calls are captured, changed while programs run: the writing side of `include/filter.h`.

use crate::error::Error;
use crate::object;
use libbpf_rs::{MapCore, MapFlags, MapHandle, Object};
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};

/// Whose calls are captured; nothing but `None` is everybody's.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these processes.
    pub pids: Option<Vec<u32>>,
    /// Only threads whose effective user is this.
    pub uid: Option<u32>,
    /// Only tasks in this cgroup (v2) or below it.
    pub cgroup: Option<OwnedFd>,
}

impl Filter {
    /// Where filters do not change: says it to the programs once.
    pub(crate) fn set_once(&self, object: &Object) -> Result<(), Error> {
        for pid in self.pids.iter().flatten() {
            object::add_pid(object, *pid)?;
        }
        self.cgroup.as_ref().map_or(Ok(()), |cgroup| object::set_cgroup(object, cgroup))
    }
}

/// Forgets what the map `name` holds of processes other than `pids`, which have no probes any more: they would
/// be taken for what they were when they get some again. `process` tells a key's.
pub(crate) fn forget(
    object: &Object,
    name: &'static str,
    pids: Option<&[u32]>,
    process: fn(&[u8]) -> Option<u32>,
) -> Result<(), Error> {
    let Some(pids) = pids else { return Ok(()) };
    let map = object::map(object, name)?;
    let keys: Vec<Vec<u8>> = map.keys().collect();
    for key in keys {
        if process(&key).is_some_and(|pid| !pids.contains(&pid)) {
            // One that is gone by now is as good.
            let _ = map.delete(&key);
        }
    }
    Ok(())
}

/// `struct filter`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Raw {
    uid: u32,
    pid_mask: u8,
    filter_uid: u8,
    filter_cgroup: u8,
}

const BITS: [u8; 2] = [1, 2];

/// Both filters of an object, one of which is in use.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    current: usize,
    raw: [Raw; 2],
    pids: Option<BTreeSet<u32>>,
    /// Whether probes are being replaced, as `struct filters` has it.
    overlap: u64,
    /// How often they were.
    overlaps: u64,
}

impl Filters {
    /// Brings `filter` into use, at one instant for all CPUs. If it fails the old one stays in use.
    pub(crate) fn change(&mut self, object: &Object, filter: &Filter) -> Result<(), Error> {
        let pids: Option<BTreeSet<u32>> =
            filter.pids.as_ref().map(|pids| pids.iter().copied().collect());
        let now = self.raw[self.current].pid_mask;
        let pid_mask = match &pids {
            None => 0,
            // The same processes, and the children that the kernel side has added since.
            Some(_) if pids == self.pids && now != 0 => now,
            Some(pids) => {
                let bit = if now == BITS[0] { BITS[1] } else { BITS[0] };
                mark(object, pids, bit)?;
                bit
            }
        };
        let next = 1 - self.current;
        if let Some(cgroup) = &filter.cgroup {
            object::map(object, "cgroups")?
                .update(
                    &(next as u32).to_ne_bytes(),
                    &(cgroup.as_raw_fd() as u32).to_ne_bytes(),
                    MapFlags::ANY,
                )
                .map_err(|source| Error::Map { map: "cgroups", source })?;
        }
        self.raw[next] = Raw {
            uid: filter.uid.unwrap_or(0),
            pid_mask,
            filter_uid: u8::from(filter.uid.is_some()),
            filter_cgroup: u8::from(filter.cgroup.is_some()),
        };
        // First the filter that is not in use, then the one byte that says which is.
        self.write(object)?;
        self.current = next;
        if let Err(error) = self.write(object) {
            self.current = 1 - next;
            return Err(error);
        }
        self.pids = pids;
        Ok(())
    }

    /// From now on probes of `generation` stand beside older ones, and see to each hit that both see.
    pub(crate) fn begin_overlap(&mut self, object: &Object, generation: u64) -> Result<(), Error> {
        self.overlaps += 1;
        self.overlap = self.overlaps << 1 | (generation & 1);
        self.write(object)
    }

    /// There is one set of probes again.
    pub(crate) fn end_overlap(&mut self, object: &Object) -> Result<(), Error> {
        self.overlap = 0;
        self.write(object)
    }

    fn write(&self, object: &Object) -> Result<(), Error> {
        let map = object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(".data.filters"))
            .ok_or(Error::Missing("filters"))?;
        map.update(&0_u32.to_ne_bytes(), &self.to_bytes(), MapFlags::ANY)
            .map_err(|source| Error::Map { map: "filters", source })
    }

    /// `struct filters`
    fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (raw, at) in self.raw.iter().zip([0, 8]) {
            bytes[at..at + 4].copy_from_slice(&raw.uid.to_ne_bytes());
            bytes[at + 4..at + 7].copy_from_slice(&[
                raw.pid_mask,
                raw.filter_uid,
                raw.filter_cgroup,
            ]);
        }
        bytes[16..24].copy_from_slice(&(self.current as u64).to_ne_bytes());
        bytes[24..].copy_from_slice(&self.overlap.to_ne_bytes());
        bytes
    }
}

/// Makes `pids` the processes with `bit`, which no filter in use looks at.
fn mark(object: &Object, pids: &BTreeSet<u32>, bit: u8) -> Result<(), Error> {
    let map = object::map(object, "pids")?;
    let map = MapHandle::try_from(&map).map_err(|source| Error::Map { map: "pids", source })?;
    let failed = |source| Error::Map { map: "pids", source };
    let look = |key: &[u8]| -> Result<u8, Error> {
        let value = map.lookup(key, MapFlags::ANY).map_err(failed)?;
        Ok(value.and_then(|value| value.first().copied()).unwrap_or(0))
    };
    let marked: Vec<Vec<u8>> = map.keys().collect();
    for key in marked {
        let wanted = <[u8; 4]>::try_from(key.as_slice())
            .is_ok_and(|pid| pids.contains(&u32::from_ne_bytes(pid)));
        let value = look(&key)?;
        if wanted || value & bit == 0 {
            continue;
        }
        // One that is gone by now is as good.
        let _ = match value & !bit {
            0 => map.delete(&key),
            rest => map.update(&key, &[rest], MapFlags::EXIST),
        };
    }
    for pid in pids {
        let key = pid.to_ne_bytes();
        map.update(&key, &[look(&key)? | bit], MapFlags::ANY).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_struct_filters() {
        let filters = Filters {
            current: 1,
            raw: [
                Raw { uid: 0x0102_0304, pid_mask: 1, filter_uid: 1, filter_cgroup: 0 },
                Raw { uid: 5, pid_mask: 2, filter_uid: 0, filter_cgroup: 1 },
            ],
            pids: None,
            overlap: 7,
            overlaps: 3,
        };
        let mut expected = [0; 32];
        expected[0..4].copy_from_slice(&0x0102_0304_u32.to_ne_bytes());
        expected[4..7].copy_from_slice(&[1, 1, 0]);
        expected[8..12].copy_from_slice(&5_u32.to_ne_bytes());
        expected[12..15].copy_from_slice(&[2, 0, 1]);
        expected[16..24].copy_from_slice(&1_u64.to_ne_bytes());
        expected[24..32].copy_from_slice(&7_u64.to_ne_bytes());
        assert_eq!(filters.to_bytes(), expected);
    }
}
