//! Telling what happened: a row for every endpoint that wants to hear, in the transaction in which it happens.

use platform::{Event, ProjectId};

use crate::database::{Tx, args};
use crate::error::StoreError;

/// Writes an event for every endpoint of the project that listens to its type. The same event twice is told once.
pub(crate) async fn tell(tx: &mut Tx, project: ProjectId, event: Event) -> Result<(), StoreError> {
    let sql = "SELECT id, event_types FROM webhook_endpoints WHERE project = $1 ORDER BY id";
    let word = event.event_type.as_str();
    for row in tx.all(sql, args![project]).await? {
        if row.text("event_types")?.split(' ').any(|listened| listened == word) {
            let sql = "INSERT INTO webhook_deliveries (event, endpoint, event_type, body, event_at, next_at)
                       VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (event, endpoint) DO NOTHING";
            let endpoint = platform::WebhookEndpointId::from_bytes(row.id("id")?);
            tx.execute(sql, args![event.id, endpoint, word, event.body(), event.at]).await?;
        }
    }
    Ok(())
}
