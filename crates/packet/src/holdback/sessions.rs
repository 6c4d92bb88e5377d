//! Secrets by client random: which are there, and which flows they are for.

use crate::needs::Needs;
use crate::{ClientRandom, FlowKey};
use event::Secret;
use foldhash::fast::RandomState;
use lru::LruCache;
use std::hash::BuildHasher as _;
use std::num::NonZero;

/// The same connection on both sides of an address translation is two flows.
const MOST_FLOWS: usize = 4;
/// More secrets than a connection can have; beyond that nothing is compared.
const MOST_SECRETS: usize = 64;

#[derive(Default)]
struct Session {
    have: Needs,
    /// Hashes of the secrets that were handed on.
    secrets: Vec<u64>,
    flows: Vec<FlowKey>,
}

/// The sessions that were seen last.
pub(super) struct Sessions {
    by_random: LruCache<ClientRandom, Session, RandomState>,
    hasher: RandomState,
}

impl Sessions {
    pub(super) fn new(most: usize) -> Self {
        let most = NonZero::new(most).unwrap_or(NonZero::<usize>::MIN);
        let by_random = LruCache::with_hasher(most, RandomState::default());
        Self { by_random, hasher: RandomState::default() }
    }

    /// Adds a secret, unless it is there: then `None`. Returns what is there now, and for which
    /// flows.
    pub(super) fn add(&mut self, secret: &Secret) -> Option<(Needs, Vec<FlowKey>)> {
        let hash = self.hasher.hash_one((&secret.label, &secret.secret));
        let session = self.by_random.get_or_insert_mut(secret.client_random, Session::default);
        if session.secrets.contains(&hash) {
            return None;
        }
        if session.secrets.len() < MOST_SECRETS {
            session.secrets.push(hash);
        }
        session.have = session.have.with(Needs::of_label(&secret.label));
        Some((session.have, session.flows.clone()))
    }

    /// A flow belongs to the session. Returns what is there of its secrets: nothing if none ever
    /// came.
    pub(super) fn join(&mut self, random: ClientRandom, key: FlowKey) -> Option<Needs> {
        let session = self.by_random.get_or_insert_mut(random, Session::default);
        if !session.flows.contains(&key) {
            if session.flows.len() == MOST_FLOWS {
                session.flows.remove(0);
            }
            session.flows.push(key);
        }
        (!session.secrets.is_empty()).then_some(session.have)
    }
}
