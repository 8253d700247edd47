use crate::bed::{Bed, postgres_database};
use crate::on_both;
use store::{Store, StoreError};

on_both!(migrating_again_changes_nothing);

async fn migrating_again_changes_nothing(bed: Bed) {
    let generation = bed.accept(bed.project).await;
    bed.store.migrate().await.unwrap();
    assert_eq!(bed.store.generation(bed.project, generation.id).await.unwrap(), generation);
}

#[tokio::test]
async fn two_servers_may_migrate_at_once() {
    let url = postgres_database().await;
    let (a, b) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let (first, second) = tokio::join!(a.migrate(), b.migrate());
    first.unwrap();
    second.unwrap();
    assert!(a.tiers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_address_is_named_without_its_password() {
    for url in ["mysql://me:secret@host/db", "misora.sqlite", "sqlite:"] {
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, StoreError::DatabaseUrl(_)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
