//! Ends of models and services: asked for, confirmed, announced, withdrawn, and whom a letter told of them.

use platform::{IdentityId, Sunset, SunsetId, SunsetStep, SunsetSubject, Timestamp, sunset_step};

use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::moment;
use crate::letter::{Letter, insert_letter};
use crate::store::Store;

/// An end to ask for.
#[derive(Clone, Copy, Debug)]
pub struct NewSunset<'a> {
    /// Its id.
    pub id: SunsetId,
    /// Of what.
    pub subject: &'a SunsetSubject,
    /// Where people can go on instead.
    pub successor: &'a str,
    /// When it comes.
    pub ends_at: Timestamp,
    /// Whether it is meant that it comes sooner than it may.
    pub nearer: bool,
}

impl Store {
    /// Asks for an end: it is announced, or waits for other administrators if it is nearer than it may be and that is meant. Whoever
    /// asks confirms it; an operator at the machine is nobody.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an end that is too near; [`StoreError::Exists`] if there is one of the same thing.
    pub async fn ask_sunset(
        &self,
        wish: &NewSunset<'_>,
        by: Option<IdentityId>,
        now: Timestamp,
    ) -> Result<Sunset, StoreError> {
        let NewSunset { id, subject, successor, ends_at, nearer } = *wish;
        let step = sunset_step(ends_at, nearer, usize::from(by.is_some()), now)?;
        let announced_at = (step == SunsetStep::Announce).then_some(now);
        let mut tx = self.database.begin().await?;
        let sql = "INSERT INTO sunsets (id, kind, name, successor, asked_at, ends_at, announced_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (kind, name) WHERE withdrawn_at IS NULL DO NOTHING";
        let args = args![id, subject.kind(), subject.name(), successor, now, ends_at, announced_at];
        if tx.execute(sql, args).await? == 0 {
            return Err(StoreError::Exists("sunset"));
        }
        if let Some(by) = by {
            confirm(&mut tx, id, by, now).await?;
        }
        let sunset = read(&mut tx, id).await?;
        tx.commit().await?;
        Ok(sunset)
    }

    /// Another administrator confirms an end that waits; enough of them announce it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it does not wait; [`StoreError::Refused`] if its moment is over.
    pub async fn confirm_sunset(&self, id: SunsetId, by: IdentityId, now: Timestamp) -> Result<Sunset, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id FROM sunsets WHERE id = $1 AND announced_at IS NULL AND withdrawn_at IS NULL{}",
            tx.for_update()
        );
        tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("sunset"))?;
        confirm(&mut tx, id, by, now).await?;
        let sunset = read(&mut tx, id).await?;
        if sunset_step(sunset.ends_at, true, sunset.confirmed_by.len(), now)? == SunsetStep::Announce {
            tx.execute("UPDATE sunsets SET announced_at = $2 WHERE id = $1", args![id, now]).await?;
        }
        let sunset = read(&mut tx, id).await?;
        tx.commit().await?;
        Ok(sunset)
    }

    /// Takes an end back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub async fn withdraw_sunset(&self, id: SunsetId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sunsets SET withdrawn_at = $2 WHERE id = $1 AND withdrawn_at IS NULL";
        match self.database.execute(sql, args![id, now]).await? {
            0 => Err(StoreError::NotFound("sunset")),
            _ => Ok(()),
        }
    }

    /// All ends that were not taken back, the nearest first: announced ones, those that wait, and those that have come.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn sunsets(&self) -> Result<Vec<Sunset>, StoreError> {
        let rows =
            self.database.all("SELECT * FROM sunsets WHERE withdrawn_at IS NULL ORDER BY ends_at, id", args![]).await?;
        let sql = "SELECT sunset, identity FROM sunset_confirmations ORDER BY at, identity";
        let confirmations = self.database.all(sql, args![]).await?;
        rows.iter().map(|row| from_row(row, &confirmations)).collect()
    }

    /// Whom an end concerns who were not yet written to so many days before it: members of the service, or whoever has clips of the model.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn sunset_audience(
        &self,
        sunset: &Sunset,
        days: u32,
        limit: u32,
    ) -> Result<Vec<(IdentityId, String)>, StoreError> {
        let concerned = match sunset.subject {
            SunsetSubject::Model(_) => "EXISTS (SELECT 1 FROM generations g WHERE g.identity = i.id AND g.model = $3)",
            SunsetSubject::Service(_) => {
                "EXISTS (SELECT 1 FROM memberships m WHERE m.identity = i.id AND m.service = $3
                         AND m.state IN ('active', 'restricted', 'suspended'))"
            }
        };
        let sql = format!(
            "SELECT i.id, i.email FROM identities i WHERE {concerned} AND NOT EXISTS (
                 SELECT 1 FROM sunset_letters l WHERE l.sunset = $1 AND l.identity = i.id AND l.days = $2)
             ORDER BY i.id LIMIT $4"
        );
        let rows = self.database.all(sql, args![sunset.id, days, sunset.subject.name(), limit]).await?;
        rows.iter().map(|row| Ok((IdentityId::from_bytes(row.id("id")?), row.text("email")?))).collect()
    }

    /// Puts a letter of an end on its way, once for each person and day; says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_sunset_letter(
        &self,
        sunset: SunsetId,
        identity: IdentityId,
        days: u32,
        letter: &Letter,
    ) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql =
            "INSERT INTO sunset_letters (sunset, identity, days, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        if tx.execute(sql, args![sunset, identity, days, letter.at]).await? == 0 {
            return Ok(false);
        }
        insert_letter(&mut tx, self.sealer()?, letter).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn confirm(tx: &mut Tx, id: SunsetId, by: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO sunset_confirmations (sunset, identity, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    tx.execute(sql, args![id, by, now]).await.map(|_| ())
}

async fn read(tx: &mut Tx, id: SunsetId) -> Result<Sunset, StoreError> {
    let row =
        tx.first("SELECT * FROM sunsets WHERE id = $1", args![id]).await?.ok_or(StoreError::NotFound("sunset"))?;
    let sql = "SELECT sunset, identity FROM sunset_confirmations WHERE sunset = $1 ORDER BY at, identity";
    let confirmations = tx.all(sql, args![id]).await?;
    from_row(&row, &confirmations)
}

fn from_row(row: &Row, confirmations: &[Row]) -> Result<Sunset, StoreError> {
    let id = row.id("id")?;
    let (kind, name) = (row.text("kind")?, row.text("name")?);
    let mut confirmed_by = Vec::new();
    for confirmation in confirmations {
        if confirmation.id("sunset")? == id {
            confirmed_by.push(IdentityId::from_bytes(confirmation.id("identity")?));
        }
    }
    Ok(Sunset {
        id: SunsetId::from_bytes(id),
        subject: SunsetSubject::from_words(&kind, &name).ok_or_else(|| corrupt("name", name))?,
        successor: row.text("successor")?,
        asked_at: Timestamp::from_micros(row.int("asked_at")?),
        ends_at: Timestamp::from_micros(row.int("ends_at")?),
        announced_at: moment(row, "announced_at")?,
        confirmed_by,
    })
}
