//! Letters about decisions: whoever is limited is told why at once, and what an appeal came to; whoever administers is called to an
//! appeal that is late.

use std::time::Duration;

use store::StoreError;

use crate::app::App;
use crate::letters::letter;
use crate::web::{outcome_letter, overdue_letter, statement_letter};

/// How long refused words are gathered, so that whoever tries ten times gets one letter. Letters leave within a minute.
const GATHERED: Duration = Duration::from_secs(30);
/// Letters of one round.
const AT_ONCE: u32 = 50;

/// Puts on their way the letters about what was decided; says how many. Several nodes can do it at once, and each letter is posted by one.
///
/// # Errors
/// [`StoreError`]; what was posted stays posted, and the rest is due at the next round.
pub async fn post_due(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let mut posted = 0;
    for untold in app.store.untold_decisions(now - GATHERED, AT_ONCE).await? {
        let (subject, body) = statement_letter(app, &untold.decisions, untold.more);
        let letter = letter(app, &untold.email, subject, body);
        posted += usize::from(app.store.post_statement(&untold, &letter, now).await?);
    }
    for (email, decision) in app.store.untold_outcomes(AT_ONCE).await? {
        let Some(appeal) = &decision.appeal else { continue };
        let (subject, body) = outcome_letter(app, &decision);
        posted += usize::from(app.store.post_outcome(appeal.id, &letter(app, email, subject, body), now).await?);
    }
    Ok(posted)
}

/// Raises the alarm about appeals that are late, and lifts their limits meanwhile; says how many.
///
/// # Errors
/// [`StoreError`]; what was done stays done.
pub(crate) async fn watch(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let mut raised = 0;
    for decision in app.store.late_appeals(AT_ONCE, now).await? {
        let Some(appeal) = &decision.appeal else { continue };
        let (subject, body) = overdue_letter(app, &decision);
        let mut letters = Vec::new();
        for email in app.store.administrators().await? {
            letters.push(letter(app, email, subject.clone(), body.clone()));
        }
        if app.store.raise_alarm(appeal.id, &letters, now).await? {
            raised += 1;
            tracing::warn!(appeal = %appeal.id, "an appeal is late: its limit is lifted unless it is held to be against the law");
        }
    }
    if raised > 0 {
        app.keys.clear();
    }
    Ok(raised)
}
