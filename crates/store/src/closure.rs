//! The end of a service or of an account: asked for, taken back for a while, then everything that belongs to it erased, step by step, so
//! that a step can be done again after a crash; and the receipts of it.

use platform::{IdentityId, MembershipEvent, MembershipState, Owner, ReceiptId, Service, Timestamp};
use serde_json::{Value as Json, json};

use crate::database::{Row, Tx, Value, args};
use crate::error::{StoreError, corrupt};
use crate::export::drop_exports;
use crate::generation::word;
use crate::holdings::{Held, Holding, RowObjects};
use crate::letter::{Letter, insert_letter};
use crate::likeness::leave_likeness;
use crate::membership::{from_row as membership_from_row, move_membership};
use crate::social::leave;
use crate::store::Store;

/// An end that someone asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// Who.
    pub identity: IdentityId,
    /// Of what: a service, or the account.
    pub owner: Owner,
    /// When.
    pub asked_at: Timestamp,
    /// Until when it can be taken back.
    pub erase_at: Timestamp,
    /// When the erasing began.
    pub begun_at: Option<Timestamp>,
    /// What there was when the erasing began; nothing before.
    pub counted: Option<Vec<Held>>,
    /// When a receipt said that not every place had confirmed.
    pub partial_at: Option<Timestamp>,
}

/// What came of an attempt at erasing rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// All rows are gone.
    Rows,
    /// Something is being made right now; it was asked to stop.
    Later,
}

/// What came of taking an end back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It is as it was.
    Back,
    /// There was no end, or the erasing had begun.
    TooLate,
}

/// A receipt of what was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: ReceiptId,
    /// Whose things.
    pub identity: IdentityId,
    /// Of which service, or the account.
    pub owner: Owner,
    /// Whether every place confirmed.
    pub complete: bool,
    /// When.
    pub written_at: Timestamp,
    /// The signed statement.
    pub body: String,
}

impl Store {
    /// Begins the end of a service: it is closed on every path, and nothing is lost until `erase_at`.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is not open.
    pub async fn close_service(
        &self,
        identity: IdentityId,
        service: Service,
        erase_at: Timestamp,
        now: Timestamp,
    ) -> Result<Closure, StoreError> {
        let mut tx = self.database.begin().await?;
        close(&mut tx, identity, service, erase_at, now).await?;
        tx.commit().await?;
        self.closure(identity, Owner::Service(service)).await?.ok_or(StoreError::NotFound("closure"))
    }

    /// Begins the end of an account with all of its services. Those that were closing already keep their time, if it is sooner.
    ///
    /// # Errors
    /// [`StoreError::State`] if its end was asked for before.
    pub async fn close_account(
        &self,
        identity: IdentityId,
        erase_at: Timestamp,
        now: Timestamp,
    ) -> Result<Closure, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT * FROM memberships WHERE identity = $1 ORDER BY service{}", tx.for_update());
        for row in tx.all(sql, args![identity]).await? {
            let membership = membership_from_row(&row)?;
            if membership.at(now).state.next(MembershipEvent::Close).is_some() {
                close(&mut tx, identity, membership.service, erase_at, now).await?;
            }
        }
        write(&mut tx, identity, Owner::Account, erase_at, now).await?;
        tx.commit().await?;
        self.closure(identity, Owner::Account).await?.ok_or(StoreError::NotFound("closure"))
    }

    /// Takes the end of a service back: everything is as it was, limits that still stand among it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn undo_closure(&self, identity: IdentityId, owner: Owner, now: Timestamp) -> Result<Undone, StoreError> {
        let mut tx = self.database.begin().await?;
        // An account comes back with what was closed in the same moment.
        let sql = format!(
            "SELECT * FROM closures WHERE identity = $1 AND begun_at IS NULL AND (service = $2 OR ($2 = 'account' AND asked_at =
             (SELECT a.asked_at FROM closures a WHERE a.identity = $1 AND a.service = 'account'))) ORDER BY service{}",
            tx.for_update()
        );
        let rows = tx.all(sql, args![identity, owner.as_str()]).await?;
        let closures = rows.iter().map(Closure::from_row).collect::<Result<Vec<_>, _>>()?;
        if !closures.iter().any(|closure| closure.owner == owner) {
            return Ok(Undone::TooLate);
        }
        // A service alone cannot come back while its account ends: the account does, or nothing.
        let sql = "SELECT 1 AS one FROM closures WHERE identity = $1 AND service = 'account' AND $2 <> 'account'";
        if tx.first(sql, args![identity, owner.as_str()]).await?.is_some() {
            return Err(StoreError::State { what: "account", state: MembershipState::Closing.as_str().into() });
        }
        for closure in closures {
            if let Owner::Service(service) = closure.owner {
                move_membership(&mut tx, identity, service, MembershipEvent::Undo, None, now).await?;
            }
            let sql = "DELETE FROM closures WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![identity, closure.owner.as_str()]).await?;
        }
        tx.commit().await?;
        Ok(Undone::Back)
    }

    /// Does not wait any longer before an end that was asked for.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if none was.
    pub async fn erase_now(&self, identity: IdentityId, owner: Owner, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE closures SET erase_at = $3 WHERE identity = $1 AND erase_at > $3
                   AND (service = $2 OR $2 = 'account')
                   AND EXISTS (SELECT 1 FROM closures a WHERE a.identity = $1 AND a.service = $2)";
        self.database.execute(sql, args![identity, owner.as_str(), now]).await?;
        self.closure(identity, owner).await?.map(|_| ()).ok_or(StoreError::NotFound("closure"))
    }

    /// The end that someone asked for, of this.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn closure(&self, identity: IdentityId, owner: Owner) -> Result<Option<Closure>, StoreError> {
        let sql = "SELECT * FROM closures WHERE identity = $1 AND service = $2";
        let row = self.database.first(sql, args![identity, owner.as_str()]).await?;
        row.as_ref().map(Closure::from_row).transpose()
    }

    /// All ends that someone asked for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn closures(&self, identity: IdentityId) -> Result<Vec<Closure>, StoreError> {
        let sql = "SELECT * FROM closures WHERE identity = $1 ORDER BY service";
        self.database.all(sql, args![identity]).await?.iter().map(Closure::from_row).collect()
    }

    /// Ends whose time has come. An account waits for its services.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn due_closures(&self, limit: u32, now: Timestamp) -> Result<Vec<Closure>, StoreError> {
        let sql = "SELECT * FROM closures WHERE erase_at <= $1 AND (service <> 'account'
                   OR NOT EXISTS (SELECT 1 FROM closures s WHERE s.identity = closures.identity AND s.service <> 'account'))
                   ORDER BY erase_at, identity, service LIMIT $2";
        self.database.all(sql, args![now, limit]).await?.iter().map(Closure::from_row).collect()
    }

    /// Begins to erase: from here on nothing comes back. Writes down what there is, once, and says it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such end.
    pub async fn begin_erasure(&self, closure: &Closure, now: Timestamp) -> Result<Vec<Held>, StoreError> {
        let mut tx = self.database.begin().await?;
        hold(&mut tx, closure).await?;
        // An account that ends with it cannot be taken back any more either.
        let sql = "UPDATE closures SET begun_at = COALESCE(begun_at, $4) WHERE identity = $1
                   AND (service = $2 OR service = 'account') AND asked_at = $3";
        tx.execute(sql, args![closure.identity, closure.owner.as_str(), closure.asked_at, now]).await?;
        tx.commit().await?;
        if let Some(counted) = &closure.counted {
            return Ok(counted.clone());
        }
        let held = self.held(closure.identity, closure.owner).await?;
        let counted: Vec<Json> =
            held.iter().map(|held| json!({ "class": held.class, "count": held.count, "bytes": held.bytes })).collect();
        let sql = "UPDATE closures SET counted = $3 WHERE identity = $1 AND service = $2 AND counted IS NULL";
        let counted = Json::from(counted).to_string();
        self.database.execute(sql, args![closure.identity, closure.owner.as_str(), counted]).await?;
        let kept = self.closure(closure.identity, closure.owner).await?.and_then(|closure| closure.counted);
        kept.ok_or(StoreError::NotFound("closure"))
    }

    /// Erases all rows of an owner, and asks for the deletion of the objects that they named. Done again it goes on. `ghost` is an id that
    /// nobody has, for what others' things hang from.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn erase_rows(&self, closure: &Closure, ghost: IdentityId, now: Timestamp) -> Result<Erased, StoreError> {
        let (identity, owner) = (closure.identity, closure.owner);
        let mut tx = self.database.begin().await?;
        hold(&mut tx, closure).await?;
        if owner == Owner::Account && self.close_the_rest(&mut tx, closure, now).await? {
            tx.commit().await?;
            return Ok(Erased::Later);
        }
        // Archives hold copies of what ends.
        let prefixes = drop_exports(&mut tx, identity, owner).await?;
        ask_deletion(&mut tx, closure, &prefixes, now).await?;
        tx.commit().await?;
        if owner == Owner::Service(Service::Video) && !self.stop_making(identity, now).await? {
            return Ok(Erased::Later);
        }
        if owner == Owner::Service(Service::Likeness) {
            let mut tx = self.database.begin().await?;
            hold(&mut tx, closure).await?;
            leave_likeness(&mut tx, identity, now).await?;
            tx.commit().await?;
        }
        if owner == Owner::Service(Service::Social) {
            let mut tx = self.database.begin().await?;
            hold(&mut tx, closure).await?;
            let prefixes = leave(&mut tx, identity, ghost, now).await?;
            ask_deletion(&mut tx, closure, &prefixes, now).await?;
            tx.commit().await?;
        }
        // The rest of an account goes in one step with its end: until then it is there, to be ended.
        let now_or_last = |holding: &&Holding| owner != Owner::Account || holding.objects != RowObjects::Nothing;
        for holding in self.holdings_of(owner).filter(now_or_last) {
            let mut tx = self.database.begin().await?;
            hold(&mut tx, closure).await?;
            let prefixes = holding.erase(&mut tx, identity).await?;
            ask_deletion(&mut tx, closure, &prefixes, now).await?;
            tx.commit().await?;
        }
        Ok(Erased::Rows)
    }

    /// Ends what of an account is still open when its time has come; says whether there was anything.
    async fn close_the_rest(&self, tx: &mut Tx, closure: &Closure, now: Timestamp) -> Result<bool, StoreError> {
        let mut open = false;
        let sql = "SELECT service FROM memberships WHERE identity = $1 AND state NOT IN ('none', 'closing', 'closed') ORDER BY service";
        for row in tx.all(sql, args![closure.identity]).await? {
            close(tx, closure.identity, word(&row, "service", Service::from_word)?, now, now).await?;
            open = true;
        }
        Ok(open)
    }

    /// Stops what is being made for someone; says whether nothing is any more.
    async fn stop_making(&self, identity: IdentityId, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT g.id, g.project FROM generations g JOIN jobs j ON j.id = g.id WHERE g.identity = $1";
        let rows = self.database.all(sql, args![identity]).await?;
        for row in &rows {
            let project = platform::ProjectId::from_bytes(row.id("project")?);
            self.cancel(project, platform::VideoId::from_bytes(row.id("id")?), now).await?;
        }
        Ok(self.database.first(sql, args![identity]).await?.is_none())
    }

    /// The prefixes of objects that an erasure waits for. Delete them with [`crate::Objects::delete_under`], then say so with
    /// [`Store::object_deletion_done`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn erasure_objects(&self, closure: &Closure) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT prefix FROM object_deletions WHERE erasure = $1 ORDER BY prefix";
        self.database.all(sql, args![mark(closure)]).await?.iter().map(|row| row.text("prefix")).collect()
    }

    /// Writes that an erasure is not whole yet, with its receipt; the end stays open, and is tried again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_partial(&self, closure: &Closure, receipt: &Receipt) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE closures SET partial_at = $3 WHERE identity = $1 AND service = $2 AND partial_at IS NULL";
        let args = args![closure.identity, closure.owner.as_str(), receipt.written_at];
        if tx.execute(sql, args).await? > 0 {
            keep(&mut tx, receipt).await?;
        }
        tx.commit().await
    }

    /// Ends an end, with its receipt: the service is closed, or the account gone. `mail` is the keyed hash of the account's address; limits
    /// that still stand are remembered by it alone. `letter` is the last one to the person. Says whether this call did it: of several nodes one does.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn finish_erasure(
        &self,
        closure: &Closure,
        receipt: &Receipt,
        mail: [u8; 32],
        letter: Option<&Letter>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (identity, owner) = (closure.identity, closure.owner);
        let mut tx = self.database.begin().await?;
        let sql = "DELETE FROM closures WHERE identity = $1 AND service = $2 AND asked_at = $3";
        if tx.execute(sql, args![identity, owner.as_str(), closure.asked_at]).await? == 0 {
            return Ok(false);
        }
        match owner {
            Owner::Service(service) => {
                move_membership(&mut tx, identity, service, MembershipEvent::Finish, None, now).await?;
            }
            Owner::Account | Owner::Installation => {
                let sql = "INSERT INTO standing_limits (mail, service, state, ends_at, left_at)
                           SELECT $2, service, standing, limited_until, $3 FROM memberships
                           WHERE identity = $1 AND standing IS NOT NULL AND (limited_until IS NULL OR limited_until > $3)
                           ON CONFLICT (mail, service) DO UPDATE SET state = excluded.state, ends_at = excluded.ends_at,
                           left_at = excluded.left_at";
                tx.execute(sql, args![identity, mail, now]).await?;
                tx.execute("UPDATE reserved_handles SET identity = NULL WHERE identity = $1", args![identity]).await?;
                for holding in self.holdings_of(Owner::Account) {
                    holding.erase(&mut tx, identity).await?;
                }
            }
        }
        keep(&mut tx, receipt).await?;
        if let Some(letter) = letter {
            insert_letter(&mut tx, self.sealer()?, letter).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Asks again for the ends that were carried out after a backup, whose rows came back with it. `erased` is what the keyring remembers;
    /// whoever came back after that keeps what they have. Says how many ends.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) async fn erase_again(&self, erased: &[(IdentityId, Service, Timestamp)]) -> Result<usize, StoreError> {
        let mut again = 0;
        let mut tx = self.database.begin().await?;
        for (identity, service, at) in erased {
            let sql = "UPDATE memberships SET changed_at = $3, state = 'closing',
                       standing = CASE WHEN state IN ('restricted', 'suspended') THEN state ELSE standing END
                       WHERE identity = $1 AND service = $2 AND changed_at <= $3 AND state NOT IN ('none', 'closed')";
            if tx.execute(sql, args![*identity, service.as_str(), *at]).await? > 0 {
                again += 1;
                write_again(&mut tx, *identity, Owner::Service(*service), *at).await?;
            }
        }
        // Keys of all services that were destroyed at one moment: it was the account.
        for (identity, _, at) in erased {
            let of_person = erased.iter().filter(|(who, _, when)| who == identity && when == at).count();
            let known = tx.first("SELECT 1 AS one FROM identities WHERE id = $1", args![*identity]).await?;
            if of_person == Service::ALL.len() && known.is_some() {
                again += usize::from(write_again(&mut tx, *identity, Owner::Account, *at).await?);
            }
        }
        tx.commit().await?;
        Ok(again)
    }

    /// Puts limits that still stand for an address on whoever comes back with it, in the services that they joined.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn take_up_limits(&self, identity: IdentityId, mail: [u8; 32], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql =
            "UPDATE memberships SET state = s.state, limited_until = s.ends_at, changed_at = $3 FROM standing_limits s
                   WHERE memberships.identity = $1 AND s.mail = $2 AND s.service = memberships.service
                   AND memberships.state = 'active' AND (s.ends_at IS NULL OR s.ends_at > $3)";
        tx.execute(sql, args![identity, mail, now]).await?;
        // What they join later is limited then.
        let sql = "INSERT INTO memberships (identity, service, state, role, standing, limited_until, joined_at, changed_at)
                   SELECT $1, s.service, 'closed', 'member', s.state, s.ends_at, $3, $3 FROM standing_limits s
                   WHERE s.mail = $2 AND (s.ends_at IS NULL OR s.ends_at > $3) ON CONFLICT (identity, service) DO NOTHING";
        tx.execute(sql, args![identity, mail, now]).await?;
        tx.execute("DELETE FROM standing_limits WHERE mail = $1", args![mail]).await?;
        tx.commit().await
    }

    /// Someone's receipts, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn receipts(&self, identity: IdentityId) -> Result<Vec<Receipt>, StoreError> {
        let sql = "SELECT * FROM receipts WHERE identity = $1 ORDER BY id DESC LIMIT 100";
        self.database.all(sql, args![identity]).await?.iter().map(Receipt::from_row).collect()
    }

    /// A receipt by its id, which nobody can guess.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn receipt(&self, id: ReceiptId) -> Result<Receipt, StoreError> {
        let row = self.database.first("SELECT * FROM receipts WHERE id = $1", args![id]).await?;
        Receipt::from_row(&row.ok_or(StoreError::NotFound("receipt"))?)
    }
}

async fn close(
    tx: &mut Tx,
    identity: IdentityId,
    service: Service,
    erase_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    move_membership(tx, identity, service, MembershipEvent::Close, None, now).await?;
    write(tx, identity, Owner::Service(service), erase_at, now).await
}

async fn write(
    tx: &mut Tx,
    identity: IdentityId,
    owner: Owner,
    erase_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO closures (identity, service, asked_at, erase_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (identity, service) DO NOTHING";
    match tx.execute(sql, args![identity, owner.as_str(), now, erase_at]).await? {
        0 => Err(StoreError::State { what: "account", state: MembershipState::Closing.as_str().into() }),
        _ => Ok(()),
    }
}

/// An end that was carried out before, due at once; whether it is new.
async fn write_again(tx: &mut Tx, identity: IdentityId, owner: Owner, at: Timestamp) -> Result<bool, StoreError> {
    let sql = "INSERT INTO closures (identity, service, asked_at, erase_at, begun_at) VALUES ($1, $2, $3, $3, $3)
               ON CONFLICT (identity, service) DO UPDATE SET erase_at = excluded.erase_at, begun_at = excluded.begun_at
               WHERE closures.erase_at > excluded.erase_at";
    Ok(tx.execute(sql, args![identity, owner.as_str(), at]).await? > 0)
}

/// Holds the row of an end for the rest of the transaction: whoever comes too late, because another node finished it, changes nothing.
async fn hold(tx: &mut Tx, closure: &Closure) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT 1 AS one FROM closures WHERE identity = $1 AND service = $2 AND asked_at = $3{}",
        tx.for_update()
    );
    let args = args![closure.identity, closure.owner.as_str(), closure.asked_at];
    tx.first(sql, args).await?.map(|_| ()).ok_or(StoreError::NotFound("closure"))
}

/// What objects that an erasure waits for are marked with.
fn mark(closure: &Closure) -> String {
    format!("{}:{}", closure.identity, closure.owner.as_str())
}

async fn ask_deletion(tx: &mut Tx, closure: &Closure, prefixes: &[String], now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO object_deletions (prefix, asked_at, erasure) VALUES ($1, $2, $3)
               ON CONFLICT (prefix) DO UPDATE SET erasure = excluded.erasure";
    for prefix in prefixes {
        let values: [Value; 3] = [prefix.as_str().into(), now.into(), mark(closure).into()];
        tx.execute(sql, &values).await?;
    }
    Ok(())
}

async fn keep(tx: &mut Tx, receipt: &Receipt) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO receipts (id, identity, service, complete, written_at, body) VALUES ($1, $2, $3, $4, $5, $6)";
    let Receipt { id, identity, owner, complete, written_at, body } = receipt;
    tx.execute(sql, args![*id, *identity, owner.as_str(), *complete, *written_at, body.as_str()]).await.map(|_| ())
}

impl Closure {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            identity: IdentityId::from_bytes(row.id("identity")?),
            owner: word(row, "service", Owner::from_word)?,
            asked_at: Timestamp::from_micros(row.int("asked_at")?),
            erase_at: Timestamp::from_micros(row.int("erase_at")?),
            begun_at: row.opt_int("begun_at")?.map(Timestamp::from_micros),
            counted: row.opt_text("counted")?.map(|text| read_counted(&text)).transpose()?,
            partial_at: row.opt_int("partial_at")?.map(Timestamp::from_micros),
        })
    }
}

impl Receipt {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ReceiptId::from_bytes(row.id("id")?),
            identity: IdentityId::from_bytes(row.id("identity")?),
            owner: word(row, "service", Owner::from_word)?,
            complete: row.int("complete")? == 1,
            written_at: Timestamp::from_micros(row.int("written_at")?),
            body: row.text("body")?,
        })
    }
}

fn read_counted(text: &str) -> Result<Vec<Held>, StoreError> {
    let counted: Vec<Json> = serde_json::from_str(text).map_err(|_| corrupt("counted", text))?;
    let held = |held: &Json| {
        let class = held["class"].as_str()?.to_owned();
        Some(Held { class, count: held["count"].as_u64()?, bytes: held["bytes"].as_u64()? })
    };
    counted.iter().map(|one| held(one).ok_or_else(|| corrupt("counted", text))).collect()
}
