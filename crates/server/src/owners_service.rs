//! A service that the owner chose and this program asks in JSON: for an opinion, or for help.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Client;
use reqwest::redirect::Policy as Redirects;
use serde_json::Value;

/// The largest answer that is read.
pub(crate) const MAX_ANSWER_BYTES: usize = 1_000_000;

/// One address. Where it is is the owner's choice, this machine too; no redirect is followed, and no proxy known.
#[derive(Debug)]
pub(crate) struct OwnersService {
    url: String,
    key: Option<String>,
    client: Result<Client, String>,
}

impl OwnersService {
    pub(crate) fn new(url: String, key: Option<String>, timeout: Duration) -> Self {
        // `reqwest` leaves the choice of cryptography to the process. A choice that was made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Redirects::none())
            .no_proxy()
            .timeout(timeout)
            .user_agent(concat!("Misora/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string());
        Self { url, key, client }
    }

    /// What it answers to a question. The error goes on from "the service …", in words for the log.
    pub(crate) async fn ask(&self, question: &Value) -> Result<Bytes, String> {
        let client = self.client.as_ref().map_err(|error| format!("cannot be spoken to: {error}"))?;
        let mut request = client.post(&self.url).header("content-type", "application/json").body(question.to_string());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(|error| {
            String::from(if error.is_timeout() { "did not answer in time" } else { "could not be reached" })
        })?;
        if !response.status().is_success() {
            return Err(format!("answered with status {}", response.status().as_u16()));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| String::from("broke off"))? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err("answered with too much".into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}
