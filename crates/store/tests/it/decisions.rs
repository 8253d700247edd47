//! Letters about decisions.

use std::time::Duration;

use platform::{LetterId, Timestamp};
use store::{Letter, Untold};

use crate::bed::{Bed, entropy, raw};
use crate::on_both;

on_both!(r16_ten_thousand_refused_prompts_are_one_letter);

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// So many refused prompts of the bed's member, each a microsecond after the one before.
async fn refuse(bed: &Bed, count: u32, at: Timestamp) {
    let subject = platform::hex(&bed.member.identity().bytes());
    let sqlite = bed.url.starts_with("sqlite");
    let subject = if sqlite { format!("X'{subject}'") } else { format!("'{subject}'::uuid") };
    let id = if sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO decisions (id, subject, scope, service, effect, item_kind, item, ground, rule, rule_version, facts, unlawful,
             automated_detection, automated_decision, strikes, decided_at, permanent, state)
         SELECT {id}, {subject}, 'item', 'video', 'refuse', 'prompt', NULL, 'sexual', 'sexual.explicit', '1', '', 0, 1, 1, 0, {} + i, 1,
             'standing' FROM n",
        at.micros()
    );
    raw::execute(&bed.url, &sql).await;
}

/// Letters that are due at a moment, posted: of each how many decisions it tells in full, and how many more there are.
async fn posted(bed: &Bed, now: Timestamp) -> Vec<(usize, u64)> {
    let mut told = Vec::new();
    for untold in bed.store.untold_decisions(now - HALF_A_MINUTE, 50).await.unwrap() {
        let Untold { subject, email, decisions, more, .. } = &untold;
        assert_eq!((*subject, email.as_str()), (bed.member.identity(), "mika@example.org"));
        let letter = Letter {
            id: LetterId::new(now, entropy()),
            to: email.clone(),
            subject: "decisions".into(),
            body: String::new(),
            at: now,
        };
        told.push((decisions.len(), *more));
        assert!(bed.store.post_statement(&untold, &letter, now).await.unwrap());
        // Another node that read the same posts nothing.
        assert!(!bed.store.post_statement(&untold, &letter, now).await.unwrap());
    }
    told
}

async fn r16_ten_thousand_refused_prompts_are_one_letter(bed: Bed) {
    refuse(&bed, 10_000, bed.now).await;
    assert!(posted(&bed, bed.now).await.is_empty(), "they are gathered");
    let mut now = bed.now + HALF_A_MINUTE * 2;
    assert_eq!(posted(&bed, now).await, [(20, 9_980)]);
    assert!(posted(&bed, now).await.is_empty());
    assert_eq!(bed.store.claim_letters(100, now).await.unwrap().len(), 1);
    // Whoever goes on and on gets three letters an hour about it, not one each minute.
    let mut letters = 1;
    for _ in 0..60 {
        refuse(&bed, 3, now).await;
        now = now + HALF_A_MINUTE * 2;
        letters += posted(&bed, now).await.len();
    }
    assert_eq!(letters, 3);
    // Nothing is left untold in the end.
    now = now + Duration::from_secs(3_600);
    posted(&bed, now).await;
    let untold = "SELECT COUNT(*) FROM decisions WHERE told_at IS NULL";
    assert_eq!(raw::number(&bed.url, untold).await, 0);
}
