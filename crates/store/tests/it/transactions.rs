//! What is given up half way, as a request is when its client goes.

use std::pin::pin;
use std::task::Poll;

use platform::{FolderId, FolderName};
use sqlx::{Connection, PgConnection, Row};
use store::Store;

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(what_is_given_up_half_way_leaves_no_transaction_open);

/// Lets something go on for so many steps, and then gives it up; says whether it came to its end.
async fn given_up_after<F: Future>(steps: usize, work: F) -> bool {
    let (mut work, mut left) = (pin!(work), steps);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|_| true)
    })
    .await
}

async fn what_is_given_up_half_way_leaves_no_transaction_open(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let mut other = match bed.url.starts_with("postgres") {
        true => Some(PgConnection::connect(&bed.url).await.unwrap()),
        false => None,
    };
    // How many steps it takes is the machine's: some rounds meet it where it hurts.
    for round in 0..8 {
        for steps in 1..1000 {
            let folder = FolderId::new(bed.now, entropy());
            let name = FolderName::parse(&format!("boats {round} {steps}")).unwrap();
            let at_end = given_up_after(steps, store.create_folder(me, folder, &name, bed.now)).await;
            if let Some(other) = &mut other {
                none_is_open(other).await;
            }
            if at_end {
                break;
            }
        }
    }
    // What is written afterwards is there for all, on whichever connection it goes.
    for number in 1..20 {
        let folder = FolderId::new(bed.now, entropy());
        store
            .create_folder(me, folder, &FolderName::parse(&format!("ships {number}")).unwrap(), bed.now)
            .await
            .unwrap();
    }
    let folders = Store::open(&bed.url).await.unwrap().folders(me).await.unwrap();
    assert_eq!(folders.iter().filter(|folder| folder.name.as_str().starts_with("ships")).count(), 19);
}

/// Waits until no connection is in a transaction.
async fn none_is_open(other: &mut PgConnection) {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    for _ in 0..1000 {
        let open: i64 = sqlx::query(sql).fetch_one(&mut *other).await.unwrap().get(0);
        if open == 0 {
            return;
        }
        // What was given up is being rolled back.
        tokio::task::yield_now().await;
    }
    panic!("a connection is in a transaction that nobody has");
}
