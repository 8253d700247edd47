//! Webhook endpoints and the outbox of deliveries.

use std::time::Duration;

use platform::{EventId, EventType, ProjectId, Timestamp, WebhookEndpointId, WebhookSecret, next_delivery};

use crate::database::{Row, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, number, word};
use crate::store::{Page, Store};

/// Where events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose.
    pub project: ProjectId,
    /// What its owner calls it.
    pub name: String,
    /// Its address, checked by the caller.
    pub url: String,
    /// What it hears of.
    pub event_types: Vec<EventType>,
    /// What deliveries are signed with.
    pub secret: WebhookSecret,
    /// The secret before, and until when deliveries carry its signature too.
    pub old_secret: Option<(WebhookSecret, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// One attempt to deliver, for whoever claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The `webhook-id`.
    pub event: EventId,
    /// What happened.
    pub event_type: EventType,
    /// The body, the same bytes at each attempt.
    pub body: String,
    /// When it happened.
    pub event_at: Timestamp,
    /// Attempts that failed before.
    pub failed_attempts: u32,
    /// Where to.
    pub endpoint: WebhookEndpoint,
}

impl Delivery {
    /// The value of `webhook-signature` for an attempt at this moment: two signatures while an old secret is good.
    pub fn signatures(&self, sent_at: Timestamp) -> String {
        let id = self.event.to_string();
        let sign = |secret: &WebhookSecret| secret.signature(&id, sent_at, self.body.as_bytes());
        let mut signatures = sign(&self.endpoint.secret);
        if let Some((old, until)) = &self.endpoint.old_secret
            && *until > sent_at
        {
            signatures = format!("{signatures} {}", sign(old));
        }
        signatures
    }
}

/// The length of a secret in clear; a sealed one is longer.
const CLEAR_BYTES: u32 = 32;

/// How long whoever claimed a delivery has for it. After that it is claimed again.
const CLAIM: Duration = Duration::from_secs(60);

impl Store {
    /// Keeps a new endpoint.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_webhook_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        let sql = "INSERT INTO webhook_endpoints (id, project, name, url, event_types, secret, created_at, updated_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let args = args![
            endpoint.id,
            endpoint.project,
            endpoint.name.as_str(),
            endpoint.url.as_str(),
            words(&endpoint.event_types),
            self.sealed_secret(endpoint.id, &endpoint.secret)?,
            endpoint.created_at,
            endpoint.updated_at,
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// An endpoint of a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another project's.
    pub async fn webhook_endpoint(
        &self,
        project: ProjectId,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpoint, StoreError> {
        let sql = "SELECT * FROM webhook_endpoints WHERE id = $1 AND project = $2";
        let row = self.database.first(sql, args![id, project]).await?;
        self.endpoint_from_row(&row.ok_or(StoreError::NotFound("webhook endpoint"))?)
    }

    /// A project's endpoints by time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the page begins behind one that is not there.
    pub async fn webhook_endpoints(
        &self,
        project: ProjectId,
        page: Page<WebhookEndpointId>,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let (comparison, direction) = page.order.sql();
        let mut args = vec![project.into(), page.limit.into()];
        let mut behind = String::new();
        if let Some(after) = page.after {
            let endpoint = self.webhook_endpoint(project, after).await?;
            args.extend([endpoint.created_at.into(), after.into()]);
            behind = format!("AND (created_at, id) {comparison} ($3, $4)");
        }
        let sql = format!(
            "SELECT * FROM webhook_endpoints WHERE project = $1 {behind}
             ORDER BY created_at {direction}, id {direction} LIMIT $2"
        );
        self.database.all(sql, &args).await?.iter().map(|row| self.endpoint_from_row(row)).collect()
    }

    /// Changes name, address and event types; the other fields are not looked at.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn change_webhook_endpoint(&self, endpoint: &WebhookEndpoint, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_endpoints SET name = $3, url = $4, event_types = $5, updated_at = $6
                   WHERE id = $1 AND project = $2";
        let WebhookEndpoint { id, project, name, url, event_types, .. } = endpoint;
        let args = args![*id, *project, name.as_str(), url.as_str(), words(event_types), now];
        match self.database.execute(sql, args).await? {
            0 => Err(StoreError::NotFound("webhook endpoint")),
            _ => Ok(()),
        }
    }

    /// Gives an endpoint a new secret; the old one signs too until `old_until`, if that is said.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rotate_webhook_secret(
        &self,
        project: ProjectId,
        id: WebhookEndpointId,
        secret: &WebhookSecret,
        old_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_endpoints SET old_secret = CASE WHEN $4 > 0 THEN secret ELSE NULL END,
                   old_secret_until = CASE WHEN $4 > 0 THEN $4 ELSE NULL END, secret = $3, updated_at = $5
                   WHERE id = $1 AND project = $2";
        let until = old_until.map_or(0, Timestamp::micros);
        let sealed = self.sealed_secret(id, secret)?;
        match self.database.execute(sql, args![id, project, sealed, until, now]).await? {
            0 => Err(StoreError::NotFound("webhook endpoint")),
            _ => Ok(()),
        }
    }

    /// Deletes an endpoint and what was still to be sent to it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_webhook_endpoint(&self, project: ProjectId, id: WebhookEndpointId) -> Result<(), StoreError> {
        let sql = "DELETE FROM webhook_endpoints WHERE id = $1 AND project = $2";
        match self.database.execute(sql, args![id, project]).await? {
            0 => Err(StoreError::NotFound("webhook endpoint")),
            _ => Ok(()),
        }
    }

    /// Takes deliveries that are due, none of whoever is out of the `api` service. Whoever does not answer within a minute loses them to the next claim, so an endpoint can hear
    /// the same event twice, with the same id.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim_deliveries(&self, limit: u32, now: Timestamp) -> Result<Vec<Delivery>, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT event, endpoint, event_type, body, event_at, failed_attempts FROM webhook_deliveries
             WHERE next_at <= $1 AND NOT EXISTS (SELECT 1 FROM webhook_endpoints e JOIN projects p ON p.id = e.project
             JOIN memberships m ON m.identity = p.owner AND m.service = 'api' WHERE e.id = webhook_deliveries.endpoint
             AND (m.state IN ('closing', 'closed')
                  OR (m.state = 'suspended' AND (m.limited_until IS NULL OR m.limited_until > $1))))
             ORDER BY next_at LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let mut deliveries = Vec::new();
        for row in tx.all(sql, args![now, limit]).await? {
            let event = EventId::from_bytes(row.id("event")?);
            let endpoint = WebhookEndpointId::from_bytes(row.id("endpoint")?);
            let sql = "UPDATE webhook_deliveries SET next_at = $3 WHERE event = $1 AND endpoint = $2";
            tx.execute(sql, args![event, endpoint, now + CLAIM]).await?;
            let found = tx.first("SELECT * FROM webhook_endpoints WHERE id = $1", args![endpoint]).await?;
            deliveries.push(Delivery {
                event,
                event_type: word(&row, "event_type", EventType::from_word)?,
                body: row.text("body")?,
                event_at: Timestamp::from_micros(row.int("event_at")?),
                failed_attempts: number(&row, "failed_attempts")?,
                endpoint: self.endpoint_from_row(&found.ok_or(StoreError::NotFound("webhook endpoint"))?)?,
            });
        }
        tx.commit().await?;
        Ok(deliveries)
    }

    /// A delivery was answered with 2xx.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delivery_done(&self, delivery: &Delivery, status: u16, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_deliveries SET delivered_at = $3, next_at = NULL, last_status = $4
                   WHERE event = $1 AND endpoint = $2";
        self.database.execute(sql, args![delivery.event, delivery.endpoint.id, now, status]).await.map(|_| ())
    }

    /// A delivery failed. Says when it is tried again; nothing once 72 hours are over.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delivery_failed(
        &self,
        delivery: &Delivery,
        status: Option<u16>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let failed = delivery.failed_attempts + 1;
        let next = next_delivery(delivery.event_at, failed, now);
        // A late word of failure does not undo a delivery, nor count an attempt twice.
        let sql = "UPDATE webhook_deliveries SET failed_attempts = $3, next_at = $4, last_status = $5
                   WHERE event = $1 AND endpoint = $2 AND delivered_at IS NULL AND failed_attempts < $3";
        self.database.execute(sql, args![delivery.event, delivery.endpoint.id, failed, next, status]).await?;
        Ok(next)
    }

    /// Seals the secrets of endpoints that an earlier version wrote in clear; says how many endpoints that were. Call it at start:
    /// running it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSealer`] if this store was not given the key.
    pub async fn seal_webhook_secrets(&self) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id, secret, old_secret FROM webhook_endpoints WHERE length(secret) = $1 OR length(old_secret) = $1{}",
            tx.for_update()
        );
        let rows = tx.all(sql, args![CLEAR_BYTES]).await?;
        for row in &rows {
            let id = WebhookEndpointId::from_bytes(row.id("id")?);
            let seal = |bytes| self.sealed_secret(id, &self.opened_secret(id, bytes)?);
            let (secret, old) = (seal(row.blob("secret")?)?, row.opt_blob("old_secret")?.map(seal).transpose()?);
            let sql = "UPDATE webhook_endpoints SET secret = $2, old_secret = $3 WHERE id = $1";
            tx.execute(sql, args![id, secret, old]).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    fn sealed_secret(&self, id: WebhookEndpointId, secret: &WebhookSecret) -> Result<Vec<u8>, StoreError> {
        Ok(self.sealer()?.seal(&secret.bytes(), &purpose(id)))
    }

    /// A secret as a row holds it: sealed, or in clear until [`Store::seal_webhook_secrets`] has seen it.
    fn opened_secret(&self, id: WebhookEndpointId, bytes: Vec<u8>) -> Result<WebhookSecret, StoreError> {
        let clear =
            if bytes.len() == CLEAR_BYTES as usize { bytes } else { self.sealer()?.open(&bytes, &purpose(id))? };
        clear.try_into().map(WebhookSecret::new).map_err(|_| corrupt("secret", "another length than 32 bytes"))
    }

    fn endpoint_from_row(&self, row: &Row) -> Result<WebhookEndpoint, StoreError> {
        let id = WebhookEndpointId::from_bytes(row.id("id")?);
        let old_secret = match (row.opt_blob("old_secret")?, moment(row, "old_secret_until")?) {
            (Some(bytes), Some(until)) => Some((self.opened_secret(id, bytes)?, until)),
            _ => None,
        };
        let types = row.text("event_types")?;
        let types = types.split_whitespace();
        Ok(WebhookEndpoint {
            id,
            project: ProjectId::from_bytes(row.id("project")?),
            name: row.text("name")?,
            url: row.text("url")?,
            event_types: types
                .map(|word| EventType::from_word(word).ok_or_else(|| corrupt("event_types", word)))
                .collect::<Result<_, _>>()?,
            secret: self.opened_secret(id, row.blob("secret")?)?,
            old_secret,
            created_at: Timestamp::from_micros(row.int("created_at")?),
            updated_at: Timestamp::from_micros(row.int("updated_at")?),
        })
    }
}

/// What a sealed secret is good for: its own endpoint.
fn purpose(id: WebhookEndpointId) -> String {
    format!("webhook secret of {id}")
}

fn words(event_types: &[EventType]) -> String {
    event_types.iter().map(|event_type| event_type.as_str()).collect::<Vec<_>>().join(" ")
}
