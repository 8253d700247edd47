//! Requests in a minute. What writes is counted in the store, exactly across all nodes; what reads is counted on
//! this node, so that polling costs no transaction. Each has the whole limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use platform::{RateDecision, RateState, Timestamp, header_duration, rate_decision};

/// What was counted on this node, for each project, address or other key.
#[derive(Debug)]
pub(crate) struct NodeLimit<K>(Mutex<HashMap<K, RateState>>);

impl<K> Default for NodeLimit<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> NodeLimit<K> {
    /// Counts one.
    pub(crate) fn count(&self, key: K, per_minute: u32, now: Timestamp) -> RateDecision {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if states.len() > 10_000 {
            states.retain(|_, state| state.timestamp() > now);
        }
        let state = states.entry(key).or_default();
        let decision = rate_decision(*state, per_minute, now);
        *state = decision.state;
        decision
    }
}

/// The three headers of a decision.
pub(crate) fn rate_headers(decision: &RateDecision, headers: &mut HeaderMap) {
    let reset = header_duration(decision.reset_after);
    let limit = HeaderName::from_static("x-ratelimit-limit-requests");
    headers.insert(limit, HeaderValue::from(decision.limit));
    let remaining = HeaderName::from_static("x-ratelimit-remaining-requests");
    headers.insert(remaining, HeaderValue::from(decision.remaining));
    if let Ok(reset) = HeaderValue::from_str(&reset) {
        headers.insert(HeaderName::from_static("x-ratelimit-reset-requests"), reset);
    }
}
