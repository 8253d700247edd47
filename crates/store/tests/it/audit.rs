//! The record: chained, never changed, and found out if it was.

use std::time::Duration;

use platform::Timestamp;
use store::{AuditBreak, AuditEntry, Store};

use crate::bed::{Bed, raw};
use crate::on_both;

on_both!(
    a_changed_line_is_found,
    a_line_taken_out_is_found,
    lines_written_past_us_are_found,
    the_database_refuses_to_change_it,
    twenty_writers_make_one_chain,
    what_was_pruned_is_gone_and_the_rest_proves_itself,
    lines_about_one_are_found
);

fn line(bed: &Bed, number: u64) -> AuditEntry {
    AuditEntry {
        at: bed.now + Duration::from_secs(number),
        actor: number.is_multiple_of(2).then(|| bed.member.identity()),
        action: "role.set".into(),
        subject: format!("subject {number}"),
        detail: format!("line {number}"),
    }
}

async fn with_lines(bed: &Bed, count: u64) {
    for number in 1..=count {
        bed.store.record_audit(&line(bed, number)).await.unwrap();
    }
}

/// What someone does who can do everything to the rows but knows of no chain.
async fn behind_the_back(bed: &Bed, sql: &str) {
    let without = match bed.url.starts_with("sqlite") {
        true => "DROP TRIGGER IF EXISTS audit_never_changes; DROP TRIGGER IF EXISTS audit_never_shrinks;",
        false => {
            "DROP TRIGGER IF EXISTS audit_never_changes ON audit; DROP TRIGGER IF EXISTS audit_never_shrinks ON audit;"
        }
    };
    raw::execute(&bed.url, without).await;
    raw::execute(&bed.url, sql).await;
}

async fn broken(bed: &Bed) -> Option<AuditBreak> {
    bed.store.verify_audit().await.unwrap().broken
}

/// What the first line that does not fit says.
async fn misfit(bed: &Bed) -> String {
    match broken(bed).await {
        Some(AuditBreak::Line { entry, .. } | AuditBreak::Unchained { entry, .. }) => entry.detail,
        other => panic!("{other:?}"),
    }
}

async fn a_changed_line_is_found(bed: Bed) {
    with_lines(&bed, 5).await;
    let chain = bed.store.verify_audit().await.unwrap();
    assert_eq!((chain.lines, chain.broken, chain.head.len()), (5, None, 64));
    assert_eq!(chain.since, Some(bed.now + Duration::from_secs(1)));
    behind_the_back(&bed, "UPDATE audit SET subject = 'someone else' WHERE detail = 'line 3'").await;
    assert_eq!(misfit(&bed).await, "line 3");
    behind_the_back(&bed, "UPDATE audit SET subject = 'subject 3' WHERE detail = 'line 3'").await;
    assert_eq!(broken(&bed).await, None);
    behind_the_back(&bed, "UPDATE audit SET actor = NULL WHERE detail = 'line 4'").await;
    assert_eq!(misfit(&bed).await, "line 4");
}

async fn a_line_taken_out_is_found(bed: Bed) {
    with_lines(&bed, 5).await;
    behind_the_back(&bed, "DELETE FROM audit WHERE detail = 'line 5'").await;
    assert_eq!(broken(&bed).await, Some(AuditBreak::End));
    bed.store.record_audit(&line(&bed, 6)).await.unwrap();
    assert_eq!(misfit(&bed).await, "line 6");
    behind_the_back(&bed, "DELETE FROM audit WHERE detail = 'line 2'").await;
    assert_eq!(misfit(&bed).await, "line 3");
    behind_the_back(&bed, "DELETE FROM audit WHERE detail = 'line 1'").await;
    assert_eq!(misfit(&bed).await, "line 3");
    behind_the_back(&bed, "DELETE FROM audit").await;
    assert_eq!(broken(&bed).await, Some(AuditBreak::End));
}

async fn lines_written_past_us_are_found(bed: Bed) {
    with_lines(&bed, 2).await;
    let sql = "INSERT INTO audit (at, actor, action, subject, detail) VALUES (1, NULL, 'a', 'b', 'past us')";
    raw::execute(&bed.url, sql).await;
    bed.store.record_audit(&line(&bed, 3)).await.unwrap();
    assert_eq!(misfit(&bed).await, "past us");
}

async fn the_database_refuses_to_change_it(bed: Bed) {
    with_lines(&bed, 3).await;
    let before = bed.store.audit(10).await.unwrap();
    let mut statements = vec![
        "UPDATE audit SET detail = 'x'",
        "UPDATE audit SET hash = NULL",
        "UPDATE audit SET at = at + 1 WHERE detail = 'line 2'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE detail = 'line 1'",
    ];
    if bed.url.starts_with("postgres") {
        statements.push("TRUNCATE audit");
    }
    for sql in statements {
        let refusal = raw::try_execute(&bed.url, sql).await.unwrap_err().to_string();
        assert!(refusal.contains("lines of the audit log are never"), "{sql}: {refusal}");
    }
    assert_eq!(bed.store.audit(10).await.unwrap(), before);
    assert_eq!(broken(&bed).await, None);
}

async fn twenty_writers_make_one_chain(bed: Bed) {
    // Two stores, as two nodes have.
    let other = Store::open(&bed.url).await.unwrap();
    let writers = (0..20_u64).map(|writer| {
        let store = if writer.is_multiple_of(2) { bed.store.clone() } else { other.clone() };
        let lines: Vec<_> = (0..5).map(|number| line(&bed, writer * 5 + number)).collect();
        tokio::spawn(async move {
            for line in lines {
                store.record_audit(&line).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let chain = bed.store.verify_audit().await.unwrap();
    assert_eq!((chain.lines, chain.broken), (100, None));
}

async fn what_was_pruned_is_gone_and_the_rest_proves_itself(bed: Bed) {
    with_lines(&bed, 10).await;
    let end = bed.now + Duration::from_secs(5);
    assert_eq!(bed.store.prune_audit(Timestamp::from_micros(0), 100).await.unwrap(), 0);
    assert_eq!(bed.store.prune_audit(end, 3).await.unwrap(), 3);
    assert_eq!(bed.store.prune_audit(end, 3).await.unwrap(), 1);
    assert_eq!(bed.store.prune_audit(end, 3).await.unwrap(), 0);
    let chain = bed.store.verify_audit().await.unwrap();
    assert_eq!((chain.lines, chain.pruned, chain.broken, chain.since), (6, 4, None, Some(end)));
    bed.store.record_audit(&line(&bed, 11)).await.unwrap();
    assert_eq!(bed.store.verify_audit().await.unwrap().lines, 7);

    // All of it, and on from there.
    assert_eq!(bed.store.prune_audit(bed.now + Duration::from_secs(99), 100).await.unwrap(), 7);
    assert_eq!(broken(&bed).await, None);
    bed.store.record_audit(&line(&bed, 12)).await.unwrap();
    let chain = bed.store.verify_audit().await.unwrap();
    assert_eq!((chain.lines, chain.pruned, chain.broken), (1, 11, None));
}

async fn lines_about_one_are_found(bed: Bed) {
    with_lines(&bed, 5).await;
    let details = async |subject: &str, actor, after| {
        let lines = bed.store.audit_about(subject, actor, after, 10).await.unwrap();
        lines.into_iter().map(|(_, entry)| entry.detail).collect::<Vec<_>>()
    };
    assert_eq!(details("subject 3", None, 0).await, ["line 3"]);
    assert_eq!(details("subject 3", Some(bed.member.identity()), 0).await, ["line 2", "line 3", "line 4"]);
    let first = bed.store.audit_about("subject 1", None, 0, 10).await.unwrap()[0].0;
    assert!(details("subject 1", None, first).await.is_empty());
}
