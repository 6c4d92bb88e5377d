//! Counting what was not delivered.

use std::collections::BTreeMap;

/// How much was lost at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// Events (library calls or parts of them).
    pub events: u64,
    /// Payload bytes.
    pub bytes: u64,
}

/// Losses by the place where they happened; the names are part of the summary's format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LossTable {
    by: BTreeMap<&'static str, Loss>,
}

impl LossTable {
    /// Adds a loss at `place`.
    pub fn add(&mut self, place: &'static str, events: u64, bytes: u64) {
        if events == 0 && bytes == 0 {
            return;
        }
        let loss = self.by.entry(place).or_default();
        loss.events += events;
        loss.bytes += bytes;
    }

    /// The sum over all places.
    pub fn total(&self) -> Loss {
        self.by.values().fold(Loss::default(), |sum, loss| Loss {
            events: sum.events + loss.events,
            bytes: sum.bytes + loss.bytes,
        })
    }

    /// Each place that lost something, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Loss)> + '_ {
        self.by.iter().map(|(place, loss)| (*place, *loss))
    }

    /// True if nothing was lost anywhere.
    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_the_sum_over_places() {
        let mut table = LossTable::default();
        table.add("ring", 2, 100);
        table.add("ring", 1, 50);
        table.add("user_memory", 1, 7);
        table.add("nothing", 0, 0);
        assert_eq!(table.total(), Loss { events: 4, bytes: 157 });
        assert_eq!(table.iter().count(), 2);
    }
}
