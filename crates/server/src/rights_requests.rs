//! What holders of rights and estates ask to have entered in the registry, without an account: read and filed here, and entered once someone who
//! administers has checked who asks and may speak. Until then it counts for nothing.

use platform::policy::{RightsEntry, RightsKind, RightsUse, Stance};
use platform::{IdentityId, RightsAgentId, RightsId, RightsRequestId, Timestamp, Token, TokenKind};
use serde::{Deserialize, Serialize};
use store::{Letter, NewRightsRequest, RightsAgent, RightsRequest, StoreError};

use crate::app::App;
use crate::http::accounts::{count_attempt, read_email};
use crate::http::auth::ClientAddress;
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::rights::{read_entry, short};
use crate::letters::letter;
use crate::web::{RightsWord, rights_words};

/// What a request says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) name: String,
    /// Where they are reached.
    pub(crate) email: String,
    /// By what they may speak: as the holder, by a mandate, for an estate.
    pub(crate) mandate: String,
    /// Who holds the right, as refusals say it.
    pub(crate) holder: String,
    /// `work`, `character`, `artist` or `name`.
    pub(crate) kind: String,
    /// `opt_out` or `opt_in`.
    pub(crate) stance: String,
    /// The name and its other spellings.
    pub(crate) names: Vec<String>,
    /// What it reaches.
    pub(crate) uses: Vec<String>,
    /// Unix seconds until which it counts.
    pub(crate) until: Option<i64>,
    /// The name as a signature.
    pub(crate) signature: String,
}

/// What a request says, as it was kept.
pub(crate) fn asked(request: &RightsRequest) -> Asked {
    serde_json::from_str(&request.details).unwrap_or_default()
}

/// Reads what someone asks for and files it, with a letter that confirms it. The secret of its page.
pub(crate) async fn file(app: &App, address: ClientAddress, form: &Form) -> Result<String, ApiError> {
    let email = read_email(&short(form, "email")?)?;
    count_attempt(app, address, &email)?;
    let entry = read_entry(app, form)?;
    let asked = Asked {
        name: short(form, "name")?,
        email,
        mandate: short(form, "mandate")?,
        holder: entry.holder,
        kind: entry.kind.as_str().to_owned(),
        stance: entry.stance.as_str().to_owned(),
        names: entry.names,
        uses: entry.uses.iter().map(|reach| reach.as_str().to_owned()).collect(),
        until: entry.until.map(Timestamp::seconds),
        signature: short(form, "signature")?,
    };
    for tick in ["may_speak", "accurate"] {
        if form.flag(tick)? != Some(true) {
            return Err(ApiError::missing(tick));
        }
    }
    let now = app.now();
    let token = Token::new(TokenKind::RightsRequest, app.random());
    let secret = token.reveal();
    let details = serde_json::to_string(&asked).map_err(|error| ApiError::internal(&error))?;
    let request = NewRightsRequest {
        id: RightsRequestId::new(now, app.random()),
        link: token.hash(),
        asker: app.link_key.keyed_hash(&asked.email),
        details: &details,
    };
    let place = format!("{}/rights/status/{secret}", app.settings.base_url);
    // Nobody has checked whose address that is: it gets no words of whoever wrote it down.
    let (subject, text) = rights_words(app, RightsWord::Received);
    let confirming = letter(app, &asked.email, subject, format!("{text}\n\n{place}\n"));
    match app.store.file_rights_request(&request, &[confirming], now).await {
        Err(StoreError::State { .. }) => {
            let message = "Too many requests of this address are open: wait until they are answered.";
            Err(ApiError::forbidden("notices_refused", message))
        }
        filed => Ok(filed.map(|()| secret)?),
    }
}

/// The letter about what was decided: which names, and what of them.
fn tell(app: &App, asked: &Asked, word: RightsWord, more: &str) -> Letter {
    let (subject, text) = rights_words(app, word);
    letter(app, &asked.email, subject, format!("{text}\n\n{}\n\n{more}\n", asked.names.join("\n")))
}

/// Enters what a request asks for, from now on: `proof` is how it was checked that whoever asks may speak.
pub(crate) async fn enter(app: &App, id: RightsRequestId, proof: &str, by: IdentityId) -> Result<(), ApiError> {
    let (request, now) = (app.store.rights_request(id).await?, app.now());
    let asked = asked(&request);
    let agent = RightsAgent {
        id: RightsAgentId::new(now, app.random()),
        name: asked.name.clone(),
        contact: asked.email.clone(),
        proof: proof.to_owned(),
        created_at: now,
        verified: Some((by, now)),
        revoked_at: None,
    };
    let unreadable = || ApiError::internal(&"a request for the registry cannot be read");
    let uses = asked.uses.iter().map(|word| RightsUse::ALL.into_iter().find(|reach| reach.as_str() == word));
    let entry = RightsEntry {
        id: RightsId::new(now, app.random()),
        kind: RightsKind::ALL.into_iter().find(|kind| kind.as_str() == asked.kind).ok_or_else(unreadable)?,
        stance: Stance::ALL.into_iter().find(|stance| stance.as_str() == asked.stance).ok_or_else(unreadable)?,
        names: asked.names.clone(),
        uses: uses.collect::<Option<_>>().ok_or_else(unreadable)?,
        holder: asked.holder.clone(),
        from: now,
        until: asked.until.map(Timestamp::from_seconds),
    };
    entry.check().map_err(|error| ApiError::invalid("until", format!("It cannot be entered so: {error}.")))?;
    let told = tell(app, &asked, RightsWord::Entered, &entry.id.to_string());
    app.store.enter_rights_request(id, (&agent, &entry), &[told], by, now).await?;
    app.judge.forget_rights();
    Ok(())
}

/// Does not enter what a request asks for, and says why.
pub(crate) async fn refuse(app: &App, id: RightsRequestId, why: &str, by: IdentityId) -> Result<(), ApiError> {
    let request = app.store.rights_request(id).await?;
    let told = tell(app, &asked(&request), RightsWord::Refused, why);
    Ok(app.store.refuse_rights_request(id, why, &[told], by, app.now()).await?)
}
