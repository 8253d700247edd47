use store::{Objects, ObjectsPlace, Store, StoreError, backup, restore};

use crate::bed::{Bed, paper};

#[tokio::test]
async fn a_backup_taken_while_it_runs_is_restored_whole() {
    let mut bed = Bed::sqlite().await;
    let objects = bed.folder.path().join("objects");
    bed.objects = Objects::open(&ObjectsPlace::Folder(objects)).unwrap();
    let done = bed.accept(bed.project).await.id;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    let outputs = bed.outputs(done, 1).await;
    bed.store.finish(&lease, &outputs, bed.now).await.unwrap();
    let queued = bed.accept(bed.project).await.id;

    let place = bed.folder.path().join("backup");
    backup(&bed.store, &bed.objects, &place).await.unwrap();
    assert!(matches!(backup(&bed.store, &bed.objects, &place).await, Err(StoreError::Backup { .. })));
    bed.accept(bed.project).await;

    let new = tempfile::tempdir().unwrap();
    let (database, objects) = (new.path().join("misora.sqlite"), new.path().join("objects"));
    restore(&place, &database, &objects).unwrap();
    assert!(matches!(restore(&place, &database, &objects), Err(StoreError::Backup { .. })), "nothing is overwritten");
    let store = Store::open(&format!("sqlite:{}", database.display())).await.unwrap();
    store.migrate().await.unwrap();
    for id in [done, queued] {
        let (was, is) = (bed.store.generation(bed.project, id).await, store.generation(bed.project, id).await);
        assert_eq!(is.unwrap(), was.unwrap());
    }
    assert_eq!(store.queue_depth().await.unwrap().queued, 1);
    let video = store.generation(bed.project, done).await.unwrap().video.unwrap();
    let bytes = Objects::open(&ObjectsPlace::Folder(objects)).unwrap().get_all(&video.key).await.unwrap();
    assert_eq!(bytes, bed.objects.get_all(&video.key).await.unwrap());
}

#[tokio::test]
async fn postgres_is_left_to_its_own_tools() {
    let bed = Bed::postgres().await;
    let place = bed.folder.path().join("backup");
    assert!(matches!(backup(&bed.store, &bed.objects, &place).await, Err(StoreError::BackupNeedsPgDump)));
}
